import type { ComponentChildren, JSX } from "preact";
import { useId, useState } from "preact/hooks";
import { CopyButton } from "../../components/copy.tsx";
import { Icon, type IconName } from "../../components/icon.tsx";
import { plural } from "../../format.ts";
import { isCutText } from "./body.ts";

/** A part of the panel with a heading that the panel's navigation leads to. `tools` stand at the heading's end. */
export function Section(props: {
  id: string;
  title: string;
  icon?: IconName;
  tone?: "error";
  note?: ComponentChildren;
  tools?: ComponentChildren;
  children: ComponentChildren;
}): JSX.Element {
  const titleId = useId();
  return (
    <section
      class={props.tone === undefined ? "span-section" : `span-section span-section-${props.tone}`}
      id={`span-${props.id}`}
      aria-labelledby={titleId}
    >
      <header class="span-section-header">
        <h3 id={titleId} tabIndex={-1}>
          {props.icon !== undefined && <Icon name={props.icon} size={14} />}
          {props.title}
        </h3>
        {props.note !== undefined && <span class="span-section-note">{props.note}</span>}
        {props.tools !== undefined && <div class="span-section-tools">{props.tools}</div>}
      </header>
      {props.children}
    </section>
  );
}

/** A part that starts closed: what is needed rarely, and then all of it. */
export function ClosedSection(props: {
  id: string;
  title: string;
  count?: number;
  /** It is all there is, and needs no opening. */
  isOpen?: boolean;
  children: ComponentChildren;
}): JSX.Element {
  return (
    <details class="span-section span-closed" id={`span-${props.id}`} open={props.isOpen}>
      <summary class="span-section-header">
        <Icon name="chevron-right" size={14} />
        <h3>{props.title}</h3>
        {props.count !== undefined && <span class="span-count">{props.count}</span>}
      </summary>
      {props.children}
    </details>
  );
}

/** What is left out has no line. */
export type FactList = readonly (readonly [label: string, value: ComponentChildren] | false | undefined)[];

/** Names and their values, side by side; nothing at all when there is none. */
export function Facts({ items }: { items: FactList }): JSX.Element | null {
  const shown = items.filter((item) => item !== false && item !== undefined);
  if (shown.length === 0) return null;
  return (
    <dl class="span-facts">
      {shown.map(([label, value]) => (
        <div key={label} class="span-fact">
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** `[label, value]` where there is a value, false where not: for `Facts`. */
export function fact<T>(
  label: string,
  value: T | undefined,
  show: (value: T) => ComponentChildren = (given) => <Captured text={String(given)} />,
): readonly [string, ComponentChildren] | false {
  return value !== undefined && value !== "" && [label, show(value)];
}

const REDACTED = /REDACTED/g;

/** A captured text: what was redacted is marked, and so is where it was cut. */
export function Captured({ text }: { text: string }): JSX.Element {
  const isCut = isCutText(text);
  const pieces = (isCut ? text.slice(0, -1) : text).split(REDACTED);
  return (
    <>
      {pieces.map((piece, index) => (
        <>
          {index > 0 && <Redacted />}
          {piece}
        </>
      ))}
      {isCut && <CutMark />}
    </>
  );
}

/** A captured text that shows its beginning, 400 characters unless said otherwise, and the rest when asked. */
export function LongText(props: { text: string; limit?: number; isFocusable?: boolean }): JSX.Element {
  const { text, limit = 400, isFocusable = true } = props;
  const [isWhole, setWhole] = useState(false);
  if (isWhole || text.length <= limit * 1.25) return <Captured text={text} />;
  return (
    <>
      <Captured text={text.slice(0, limit)} />
      <button
        type="button"
        class="link-button span-show-all"
        tabIndex={isFocusable ? undefined : -1}
        onClick={(event) => {
          event.stopPropagation();
          setWhole(true);
        }}
      >
        … show all {plural(text.length, "character")}
      </button>
    </>
  );
}

export function Redacted(): JSX.Element {
  return (
    <span class="span-redacted" title="Taken out by the sender: it looked like a secret">
      REDACTED
    </span>
  );
}

export function CutMark(): JSX.Element {
  return (
    <span class="span-cut" title="The sender keeps only the beginning of long values">
      … cut
    </span>
  );
}

/** Code or captured text in a box of its own that scrolls when it is tall. */
export function CodeBox(props: {
  label: string;
  copy?: string;
  copyLabel?: string;
  class?: string;
  children: ComponentChildren;
}): JSX.Element {
  return (
    <div class={`span-code ${props.class ?? ""}`}>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable without a mouse */}
      <pre tabIndex={0} role="region" aria-label={props.label}>
        <code>{props.children}</code>
      </pre>
      {props.copy !== undefined && (
        <CopyButton text={props.copy} label={props.copyLabel ?? `Copy ${props.label.toLowerCase()}`} />
      )}
    </div>
  );
}

/** A small heading inside a section. */
export function Titled(props: { title: string; note?: string; children: ComponentChildren }): JSX.Element {
  return (
    <div class="span-titled">
      <p class="span-titled-title">
        {props.title}
        {props.note !== undefined && <span class="span-titled-note">{props.note}</span>}
      </p>
      {props.children}
    </div>
  );
}

/** A remark below something: why it is not whole, what to know before using it. */
export function Note({ icon = "info", children }: { icon?: IconName; children: ComponentChildren }): JSX.Element {
  return (
    <p class="span-note">
      <Icon name={icon} size={14} />
      <span>{children}</span>
    </p>
  );
}

/** Names of a table's columns, for those who cannot see what they are. */
export function HiddenHead({ titles }: { titles: readonly string[] }): JSX.Element {
  return (
    <thead>
      <tr>
        {titles.map((title) => (
          <th key={title} scope="col">
            <span class="visually-hidden">{title}</span>
          </th>
        ))}
      </tr>
    </thead>
  );
}

/** Two columns of text: headers, query parameters, fields of a form. */
export function NameValueTable(props: {
  label: string;
  nameTitle: string;
  rows: readonly (readonly [name: string, value: ComponentChildren])[];
}): JSX.Element {
  return (
    <table class="span-table" aria-label={props.label}>
      <HiddenHead titles={[props.nameTitle, "Value"]} />
      <tbody>
        {props.rows.map(([name, value], index) => (
          <tr key={`${index}:${name}`}>
            <th scope="row">{name}</th>
            <td>{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
