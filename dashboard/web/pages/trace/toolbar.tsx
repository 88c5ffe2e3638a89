import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { parseDuration } from "../../../src/model/filter.ts";
import { Icon } from "../../components/icon.tsx";
import { Segmented } from "../../components/segmented.tsx";
import { formatCount, formatDuration } from "../../format.ts";
import { useShortcut } from "../../keyboard.tsx";
import type { TraceView } from "./view.ts";

/** What is searched, left out and drawn. */
export function Toolbar({ view }: { view: TraceView }): JSX.Element {
  const { view: shown, criticalPath, folding, compress } = view.choices.value;
  const model = view.model.value;
  const hasFolds = (model?.folds.folds.length ?? 0) > 0;
  const hasBreaks = view.scale.value.breaks.length > 0;
  const range = view.range.value;
  const toggle = (name: string, isOn: boolean): void => view.change({ [name]: isOn ? "off" : null });
  return (
    <div class="trace-toolbar" role="toolbar" aria-label="How the trace is shown">
      <Segmented
        label="View"
        name="trace-view"
        value={shown}
        options={[
          { value: "waterfall", label: "Waterfall", icon: "waterfall" },
          { value: "flame", label: "Flame graph", icon: "flame" },
        ]}
        onChange={(value) => view.change({ view: value === "waterfall" ? null : value })}
      />
      <Search view={view} />
      {shown === "waterfall" && (
        <>
          <LeastDuration view={view} />
          <span class="trace-toggles">
            <Toggle
              label="Critical path"
              title="The chain of work that the duration was spent on (c)"
              isOn={criticalPath}
              onToggle={() => toggle("critical", criticalPath)}
            />
            {(hasFolds || !folding) && (
              <Toggle
                label="Fold repeats"
                title="Identical siblings as one row (f)"
                isOn={folding}
                onToggle={() => toggle("fold", folding)}
              />
            )}
            {(hasBreaks || !compress) && (
              <Toggle
                label="Shorten gaps"
                title="Stretches of time in which nothing ran are drawn shorter (x)"
                isOn={compress}
                onToggle={() => toggle("gaps", compress)}
              />
            )}
          </span>
          <span class="trace-zoom">
            {view.isZoomed.value && (
              <button
                type="button"
                class="button button-quiet"
                title="Show all (0)"
                onClick={() => view.setRange(undefined)}
              >
                {formatDuration(Math.max(0, view.scale.value.toReal(range.from)))} –{" "}
                {formatDuration(view.scale.value.toReal(range.to))}
                <Icon name="close" size={14} />
              </button>
            )}
            <button
              type="button"
              class="icon-button"
              aria-label="Zoom out"
              title="Zoom out (-)"
              onClick={() => view.zoomBy(2)}
            >
              <Icon name="minus" />
            </button>
            <button
              type="button"
              class="icon-button"
              aria-label="Zoom in"
              title="Zoom in (+)"
              onClick={() => view.zoomBy(0.5)}
            >
              <Icon name="plus" />
            </button>
          </span>
        </>
      )}
    </div>
  );
}

function Toggle(props: { label: string; title: string; isOn: boolean; onToggle: () => void }): JSX.Element {
  return (
    <button
      type="button"
      class="button button-quiet"
      aria-pressed={props.isOn}
      title={props.title}
      onClick={props.onToggle}
    >
      {props.label}
    </button>
  );
}

function Search({ view }: { view: TraceView }): JSX.Element {
  const field = useRef<HTMLInputElement>(null);
  const { query, only, view: shown } = view.choices.value;
  const count = view.matchCount.value;
  useShortcut("/", "Search in the trace", () => field.current?.select(), "trace");
  return (
    <search class="trace-search">
      <Icon name="search" size={14} />
      <input
        ref={field}
        class="input"
        type="search"
        aria-label="Search in the trace"
        placeholder="Search spans"
        autocomplete="off"
        spellcheck={false}
        value={query}
        onInput={(event) =>
          view.change({ q: event.currentTarget.value || null, ...(event.currentTarget.value === "" && { only: null }) })
        }
        onKeyDown={(event) => {
          if (event.key === "Enter") {
            event.preventDefault();
            view.goToMatch(event.shiftKey ? -1 : 1, { focus: false });
          } else if (event.key === "Escape") {
            event.preventDefault();
            if (query === "") view.focusRow(view.focusIndex.peek());
            else view.change({ q: null, only: null });
          }
        }}
      />
      {query === "" ? (
        <kbd aria-hidden="true">/</kbd>
      ) : (
        <>
          <span class="trace-found" role="status">
            {formatCount(count)} found
          </span>
          {shown === "waterfall" && (
            <>
              <button
                type="button"
                class="icon-button"
                aria-label="Previous one found"
                title="Previous (N)"
                disabled={count === 0}
                onClick={() => view.goToMatch(-1, { focus: false })}
              >
                <Icon name="chevron-up" size={14} />
              </button>
              <button
                type="button"
                class="icon-button"
                aria-label="Next one found"
                title="Next (n)"
                disabled={count === 0}
                onClick={() => view.goToMatch(1, { focus: false })}
              >
                <Icon name="chevron-down" size={14} />
              </button>
              <button
                type="button"
                class="icon-button"
                aria-label="Show only what is found"
                aria-pressed={only}
                title="Show only what is found"
                onClick={() => view.change({ only: only ? null : "1" })}
              >
                <Icon name="filter" size={14} />
              </button>
            </>
          )}
        </>
      )}
    </search>
  );
}

/** "Hide shorter than": typed as `5ms`, in the address at once when it can be read. */
function LeastDuration({ view }: { view: TraceView }): JSX.Element {
  const { min } = view.choices.value;
  const [text, setText] = useState(min);
  useEffect(() => setText(min), [min]);
  const isWrong = text.trim() !== "" && parseDuration(text) === undefined;
  return (
    <label class="trace-min" title="Spans shorter than this are left out, unless they failed or hold longer ones">
      <span>Hide under</span>
      <input
        class="input"
        size={6}
        list="trace-min-choices"
        placeholder="5ms"
        aria-invalid={isWrong}
        value={text}
        onInput={(event) => {
          const value = event.currentTarget.value;
          setText(value);
          if (value.trim() === "") view.change({ min: null });
          else if (parseDuration(value) !== undefined) view.change({ min: value.trim() });
        }}
      />
      <datalist id="trace-min-choices">
        {["100us", "1ms", "5ms", "10ms", "50ms", "100ms"].map((value) => (
          <option key={value} value={value} />
        ))}
      </datalist>
    </label>
  );
}
