import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { TraceFilter } from "../../../src/model/filter.ts";
import { CopyButton } from "../../components/copy.tsx";
import { Icon } from "../../components/icon.tsx";
import { Popover } from "../../components/popover.tsx";
import { formatCount } from "../../format.ts";
import { useShortcut } from "../../keyboard.tsx";
import { filterChips } from "./filter-chips.ts";
import {
  AttributeChoice,
  DurationChoice,
  OperationChoice,
  ServiceChoice,
  StatusChoice,
  TimeChoice,
  UserChoice,
} from "./filter-choices.tsx";
import { SavedFilters } from "./saved-filters.tsx";
import { isGrouped, isPaused, parsed, setFilter, setGrouped, togglePause, waiting } from "./trace-list.ts";

const TYPING_MILLIS = 250;

/** What is listed and how: search, filters, and the switches of the list. */
export function FilterBar(): JSX.Element {
  const filters = useRef<HTMLDivElement>(null);
  const { filter } = parsed.value;
  useShortcut("f", "To the filters", () => filters.current?.querySelector("button")?.focus(), "traces");
  useShortcut("e", "Only traces with an error, or all", toggleErrors, "traces");
  useShortcut("p", "Pause, or go on", togglePause, "traces");
  useShortcut("v", "Group identical requests, or not", () => setGrouped(!isGrouped.peek()), "traces");
  return (
    <div class="filter-bar" role="search" aria-label="Traces">
      <div class="filter-line">
        <TextSearch />
        <div class="filter-buttons" ref={filters}>
          <Choice label="Service" active={filter.service !== undefined} content={() => <ServiceChoice />} />
          <Choice
            label="Operation"
            active={filter.operation !== undefined}
            content={(close) => <OperationChoice close={close} />}
          />
          <Choice label="Status" active={filter.status !== undefined} content={() => <StatusChoice />} />
          <button
            type="button"
            class="button"
            aria-pressed={filter.status === "error"}
            title="Only traces with an error (e)"
            onClick={toggleErrors}
          >
            <Icon name="error" size={14} /> Errors
          </button>
          <Choice
            label="Duration"
            active={filter.minDurationMillis !== undefined || filter.maxDurationMillis !== undefined}
            content={(close) => <DurationChoice close={close} />}
          />
          <Choice
            label="Time"
            active={filter.since !== undefined || filter.until !== undefined}
            content={(close) => <TimeChoice close={close} />}
          />
          <Choice label="User" active={filter.user !== undefined} content={(close) => <UserChoice close={close} />} />
          <Choice
            label="Attribute"
            active={filter.attributes !== undefined}
            content={(close) => <AttributeChoice close={close} />}
          />
        </div>
        <div class="list-tools">
          <SavedFilters />
          <button
            type="button"
            class="button"
            aria-pressed={isGrouped.value}
            title="Group identical requests (v)"
            onClick={() => setGrouped(!isGrouped.value)}
          >
            <Icon name="group" size={14} /> Group
          </button>
          <PauseButton />
          <CopyButton icon="link" label="Copy a link to this list" text={() => location.href} />
        </div>
      </div>
      <Problems />
      <Chips />
    </div>
  );
}

function toggleErrors(): void {
  const { status, ...others } = parsed.peek().filter;
  setFilter(status === "error" ? others : { ...others, status: "error" });
}

function Choice(props: {
  label: string;
  active: boolean;
  content: (close: () => void) => ComponentChildren;
}): JSX.Element {
  return (
    <Popover
      label={props.active ? `${props.label}, filtered` : props.label}
      buttonClass={props.active ? "button is-active" : "button"}
      face={
        <>
          {props.label} <Icon name="chevron-down" size={12} />
        </>
      }
    >
      {props.content}
    </Popover>
  );
}

function TextSearch(): JSX.Element {
  const field = useRef<HTMLInputElement>(null);
  const { text = "" } = parsed.value.filter;
  const [typed, setTyped] = useState(text);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  // The address may change by other means: a chip, the back button.
  useEffect(() => setTyped(text), [text]);
  useShortcut("/", "Search in everything that was captured", () => field.current?.select(), "traces");
  const search = (value: string): void => {
    clearTimeout(timer.current);
    const { text: before, ...others } = parsed.peek().filter;
    const next: TraceFilter = value.trim() === "" ? others : { ...others, text: value.trim() };
    if (before !== next.text) setFilter(next, { replace: true });
  };
  return (
    <label class="text-search">
      <Icon name="search" size={14} />
      <span class="visually-hidden">Search in everything that was captured</span>
      <input
        ref={field}
        class="input"
        type="search"
        placeholder="Search everything captured"
        autocomplete="off"
        spellcheck={false}
        value={typed}
        onInput={(event) => {
          const { value } = event.currentTarget;
          setTyped(value);
          clearTimeout(timer.current);
          timer.current = setTimeout(() => search(value), TYPING_MILLIS);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") search(typed);
          if (event.key === "Escape") {
            event.preventDefault();
            if (typed === "") field.current?.blur();
            else {
              setTyped("");
              search("");
            }
          }
        }}
      />
      <kbd aria-hidden="true">/</kbd>
    </label>
  );
}

function PauseButton(): JSX.Element {
  const count = waiting.value.size;
  if (!isPaused.value)
    return (
      <button type="button" class="button" title="Hold the list still (p)" onClick={togglePause}>
        <Icon name="pause" size={14} /> Pause
      </button>
    );
  return (
    <button type="button" class="button button-paused" title="Show what arrives again (p)" onClick={togglePause}>
      <Icon name="play" size={14} /> Resume
      <span class="badge badge-warn">{count === 0 ? "paused" : `${formatCount(count)} waiting`}</span>
    </button>
  );
}

function Chips(): JSX.Element | null {
  const chips = filterChips(parsed.value.filter);
  if (chips.length === 0) return null;
  return (
    <ul class="chips" aria-label="Filters in use">
      {chips.map(({ name, value, without }) => (
        <li key={`${name} ${value}`} class="chip">
          <span class="chip-name">{name}</span>
          <span class="chip-value truncate" title={value}>
            {value}
          </span>
          <button
            type="button"
            aria-label={`Remove the filter ${name} ${value}`}
            title="Remove"
            onClick={() => setFilter(without)}
          >
            <Icon name="close" size={12} />
          </button>
        </li>
      ))}
      <li>
        <button type="button" class="link-button" onClick={() => setFilter({})}>
          Clear all
        </button>
      </li>
    </ul>
  );
}

/** What of the address was not understood, and is not filtered for. */
function Problems(): JSX.Element | null {
  const { problems, filter } = parsed.value;
  if (problems.length === 0) return null;
  return (
    <div class="filter-problems" role="alert">
      <Icon name="warning" size={14} />
      <span>Not filtered for, as it was not understood: {problems.join("; ")}</span>
      <button type="button" class="link-button" onClick={() => setFilter(filter, { replace: true })}>
        Remove
      </button>
    </div>
  );
}
