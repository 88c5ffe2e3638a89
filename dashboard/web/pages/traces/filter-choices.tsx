import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Facets } from "../../../src/model/api.ts";
import { parseDuration, type AttributeCondition, type TraceFilter } from "../../../src/model/filter.ts";
import { api } from "../../api.ts";
import { Icon } from "../../components/icon.tsx";
import { ServiceName } from "../../components/service-name.tsx";
import { SuggestField } from "../../components/suggest-field.tsx";
import { formatCount } from "../../format.ts";
import { OPERATOR_TEXT, spanText } from "./filter-chips.ts";
import { parsed, setFilter } from "./trace-list.ts";
import { httpStatusText } from "./trace-status.ts";

const NO_FACETS: Facets = { services: [], operations: [], statuses: [], users: [], attributeKeys: [] };

/** What there is to choose from, given everything else that is filtered for. The last answer stands until the next is here. */
const lastFacets = signal<Facets>(NO_FACETS);

function useFacets(leftOut: keyof TraceFilter): Facets {
  useEffect(() => {
    const asked = new AbortController();
    const { [leftOut]: _, ...others } = parsed.peek().filter;
    api.facets(others, asked.signal).then(
      (facets) => (lastFacets.value = facets),
      () => {
        // without suggestions anything can still be typed
      },
    );
    return () => asked.abort();
  }, [leftOut]);
  return lastFacets.value;
}

function change(changes: { [Name in keyof TraceFilter]: TraceFilter[Name] | undefined }): void {
  const next = Object.entries({ ...parsed.peek().filter, ...changes }).filter(([, value]) => value !== undefined);
  setFilter(Object.fromEntries(next) as TraceFilter);
}

export function ServiceChoice(): JSX.Element {
  const facets = useFacets("service");
  const [sought, setSought] = useState("");
  const chosen = parsed.value.filter.service ?? [];
  const known = facets.services.map(({ value }) => value);
  const all = [
    ...chosen.filter((service) => !known.includes(service)).map((value) => ({ value, count: 0 })),
    ...facets.services,
  ];
  const shown = all.filter(({ value }) => value.toLowerCase().includes(sought.toLowerCase()));
  const toggle = (service: string): void => {
    const next = chosen.includes(service) ? chosen.filter((other) => other !== service) : [...chosen, service];
    change({ service: next.length === 0 ? undefined : next });
  };
  return (
    <div class="choice">
      {all.length > 8 && (
        <input
          class="input"
          type="search"
          placeholder="Find a service"
          aria-label="Find a service"
          value={sought}
          onInput={(event) => setSought(event.currentTarget.value)}
        />
      )}
      {all.length === 0 && <p class="muted">No service has sent anything yet.</p>}
      <ul class="check-list">
        {shown.map(({ value, count }) => (
          <li key={value}>
            <label class="checkbox check-item">
              <input type="checkbox" checked={chosen.includes(value)} onChange={() => toggle(value)} />
              <ServiceName service={value} />
              <span class="numeric faint">{formatCount(count)}</span>
            </label>
          </li>
        ))}
      </ul>
    </div>
  );
}

export function OperationChoice({ close }: { close: () => void }): JSX.Element {
  const facets = useFacets("operation");
  return (
    <TextChoice
      label="Operation contains"
      placeholder="POST /shorten"
      current={parsed.value.filter.operation}
      suggestions={facets.operations}
      onDone={(operation) => {
        change({ operation });
        close();
      }}
    />
  );
}

export function UserChoice({ close }: { close: () => void }): JSX.Element {
  const facets = useFacets("user");
  return (
    <TextChoice
      label="User id"
      placeholder="u-1042"
      current={parsed.value.filter.user}
      suggestions={facets.users}
      onDone={(user) => {
        change({ user });
        close();
      }}
    />
  );
}

function TextChoice(props: {
  label: string;
  placeholder: string;
  current: string | undefined;
  suggestions: Facets["users"];
  onDone: (value: string | undefined) => void;
}): JSX.Element {
  const [text, setText] = useState(props.current ?? "");
  return (
    <div class="choice">
      <SuggestField
        autofocus
        label={props.label}
        placeholder={props.placeholder}
        value={text}
        onInput={setText}
        onChoose={(value) => props.onDone(value === "" ? undefined : value)}
        suggestions={props.suggestions}
      />
      <ChoiceButtons
        onClear={props.current === undefined ? undefined : () => props.onDone(undefined)}
        onApply={() => props.onDone(text.trim() === "" ? undefined : text.trim())}
      />
    </div>
  );
}

const STATUS_CHOICES = [
  ["", "Any"],
  ["ok", "OK, no error in any span"],
  ["error", "Error in any span"],
  ["2xx", "2xx success"],
  ["3xx", "3xx redirection"],
  ["4xx", "4xx client error"],
  ["5xx", "5xx server error"],
] as const;

export function StatusChoice(): JSX.Element {
  const facets = useFacets("status");
  const current = parsed.value.filter.status ?? "";
  const codes = facets.statuses.filter(({ value }) => /^\d{3}$/.test(value));
  const known: { value: string; label: string; count?: number }[] = STATUS_CHOICES.map(([value, label]) => ({
    value,
    label,
  }));
  known.push(...codes.map(({ value, count }) => ({ value, label: httpStatusText(Number(value)), count })));
  if (!known.some(({ value }) => value === current)) known.push({ value: current, label: current });
  return (
    <fieldset class="choice check-list" aria-label="Status of the request">
      {known.map(({ value, label, count }) => (
        <label key={value} class="checkbox check-item">
          <input
            type="radio"
            name="status"
            checked={value === current}
            onChange={() => change({ status: value === "" ? undefined : value })}
          />
          <span>{label}</span>
          {count !== undefined && <span class="numeric faint">{formatCount(count)}</span>}
        </label>
      ))}
    </fieldset>
  );
}

const SLOW_MILLIS = [100, 500, 1000, 5000];

export function DurationChoice({ close }: { close: () => void }): JSX.Element {
  const { minDurationMillis, maxDurationMillis } = parsed.value.filter;
  const [min, setMin] = useState(minDurationMillis === undefined ? "" : `${minDurationMillis}ms`);
  const [max, setMax] = useState(maxDurationMillis === undefined ? "" : `${maxDurationMillis}ms`);
  const isBad = (text: string): boolean => text.trim() !== "" && parseDuration(text) === undefined;
  const apply = (from: string, to: string): void => {
    if (isBad(from) || isBad(to)) return;
    change({ minDurationMillis: parseDuration(from), maxDurationMillis: parseDuration(to) });
    close();
  };
  return (
    <form
      class="choice"
      onSubmit={(event) => {
        event.preventDefault();
        apply(min, max);
      }}
    >
      <div class="choice-row">
        {SLOW_MILLIS.map((millis) => (
          <button key={millis} type="button" class="button" onClick={() => apply(`${millis}ms`, "")}>
            ≥ {millis < 1000 ? `${millis} ms` : `${millis / 1000} s`}
          </button>
        ))}
      </div>
      <div class="choice-row">
        <DurationField label="At least" value={min} onInput={setMin} isBad={isBad(min)} />
        <DurationField label="At most" value={max} onInput={setMax} isBad={isBad(max)} />
      </div>
      <ChoiceButtons
        onClear={minDurationMillis === undefined && maxDurationMillis === undefined ? undefined : () => apply("", "")}
      />
    </form>
  );
}

function DurationField(props: {
  label: string;
  value: string;
  onInput: (value: string) => void;
  isBad: boolean;
}): JSX.Element {
  return (
    <label class="field">
      <span class="field-label">{props.label}</span>
      <input
        class="input"
        type="text"
        size={10}
        placeholder="150ms, 2s"
        value={props.value}
        aria-invalid={props.isBad}
        onInput={(event) => props.onInput(event.currentTarget.value)}
      />
      {props.isBad && <span class="field-problem">Write 150ms, 2s or 1m</span>}
    </label>
  );
}

const TIME_CHOICES = [300_000, 900_000, 3_600_000, 86_400_000, 7 * 86_400_000];

export function TimeChoice({ close }: { close: () => void }): JSX.Element {
  const { since, until } = parsed.value.filter;
  const [from, setFrom] = useState(localMoment(since));
  const [to, setTo] = useState(localMoment(until));
  const apply = (changes: Pick<TraceFilter, "since" | "until">): void => {
    change({ since: changes.since, until: changes.until });
    close();
  };
  return (
    <form
      class="choice"
      onSubmit={(event) => {
        event.preventDefault();
        apply({ ...moment("since", from), ...moment("until", to) });
      }}
    >
      <div class="choice-row">
        {TIME_CHOICES.map((millis) => (
          <button
            key={millis}
            type="button"
            class="button"
            aria-pressed={since === -millis && until === undefined}
            onClick={() => apply({ since: -millis })}
          >
            Last {spanText(millis)}
          </button>
        ))}
      </div>
      <div class="choice-row">
        <label class="field">
          <span class="field-label">From</span>
          <input
            class="input"
            type="datetime-local"
            step="1"
            value={from}
            onInput={(event) => setFrom(event.currentTarget.value)}
          />
        </label>
        <label class="field">
          <span class="field-label">Until</span>
          <input
            class="input"
            type="datetime-local"
            step="1"
            value={to}
            onInput={(event) => setTo(event.currentTarget.value)}
          />
        </label>
      </div>
      <ChoiceButtons onClear={since === undefined && until === undefined ? undefined : () => apply({})} />
    </form>
  );
}

/** A filter's time as `datetime-local` writes it, by this machine's clock. */
function localMoment(millis: number | undefined): string {
  if (millis === undefined) return "";
  const date = new Date(millis < 0 ? Date.now() + millis : millis);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function moment(name: "since" | "until", text: string): Pick<TraceFilter, "since" | "until"> {
  const millis = Date.parse(text);
  return Number.isNaN(millis) ? {} : { [name]: millis };
}

export function AttributeChoice({ close }: { close: () => void }): JSX.Element {
  const facets = useFacets("attributes");
  const [key, setKey] = useState("");
  const [operator, setOperator] = useState<AttributeCondition["operator"]>("=");
  const [value, setValue] = useState("");
  // What `key=value` in the address could not carry.
  const isBadKey = /[=!<>~\s]/.test(key.trim());
  const isKnown = facets.attributeKeys.includes(key.trim());
  const add = (): void => {
    if (key.trim() === "" || isBadKey) return;
    const condition = { key: key.trim(), operator, value: operator === "exists" ? "" : value.trim() };
    change({ attributes: [...(parsed.peek().filter.attributes ?? []), condition] });
    close();
  };
  return (
    <form
      class="choice choice-attribute"
      onSubmit={(event) => {
        event.preventDefault();
        add();
      }}
    >
      <SuggestField
        autofocus
        mono
        label="Attribute of any span"
        placeholder="http.route"
        value={key}
        onInput={setKey}
        onChoose={(chosen) => {
          setKey(chosen);
          document.querySelector<HTMLElement>(".choice-attribute .choice-value")?.focus();
        }}
        suggestions={isKnown ? [] : facets.attributeKeys.map((known) => ({ value: known }))}
      />
      {isBadKey && <span class="field-problem">A key has no spaces and none of = ! &lt; &gt; ~</span>}
      <div class="choice-row">
        <select
          class="select"
          aria-label="Comparison"
          value={operator}
          onChange={(event) => setOperator(event.currentTarget.value as AttributeCondition["operator"])}
        >
          {Object.entries(OPERATOR_TEXT).map(([name, text]) => (
            <option key={name} value={name}>
              {text}
            </option>
          ))}
        </select>
        <input
          class="input mono choice-value"
          type="text"
          aria-label="Value"
          placeholder={operator === "exists" ? "any value" : "value"}
          disabled={operator === "exists"}
          value={value}
          onInput={(event) => setValue(event.currentTarget.value)}
        />
      </div>
      <div class="choice-buttons">
        <button type="submit" class="button button-primary" disabled={key.trim() === "" || isBadKey}>
          <Icon name="plus" size={14} /> Add condition
        </button>
      </div>
    </form>
  );
}

/** Without `onApply` the first one submits the form it is in. */
function ChoiceButtons(props: { onClear?: (() => void) | undefined; onApply?: () => void }): JSX.Element {
  return (
    <div class="choice-buttons">
      {props.onClear !== undefined && (
        <button type="button" class="button button-quiet" onClick={props.onClear}>
          Clear
        </button>
      )}
      <button
        type={props.onApply === undefined ? "submit" : "button"}
        class="button button-primary"
        onClick={props.onApply}
      >
        Apply
      </button>
    </div>
  );
}
