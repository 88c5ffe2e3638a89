import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { copyText } from "../../components/copy.tsx";
import { Icon } from "../../components/icon.tsx";
import { toast } from "../../components/toast.tsx";
import { plural } from "../../format.ts";
import { formatJson, type JsonNode, unfold } from "./json.ts";
import { type JsonRow, moveInTree, visibleRows } from "./json-rows.ts";
import { CutMark, LongText, Redacted } from "./parts.tsx";

/** Lines that are shown at first, and more each time more are asked for. */
const LINES = 300;

const NONE: ReadonlySet<string> = new Set();

/**
 * JSON as a tree to open and close. Arrow keys move as in any tree; `c` copies the value that has the focus, `p` its path.
 */
export function JsonView({ label, root }: { label: string; root: JsonNode }): JSX.Element {
  const [toggled, setToggled] = useState(NONE);
  const [limit, setLimit] = useState(LINES);
  const [focused, setFocused] = useState<string>();
  const tree = useRef<HTMLDivElement>(null);
  const mayFocus = useRef(false);
  const { rows, omitted } = useMemo(() => visibleRows(root, toggled, limit), [root, toggled, limit]);
  const current = rows.some(({ id }) => id === focused) ? focused : rows[0]?.id;

  useEffect(() => {
    if (!mayFocus.current) return;
    mayFocus.current = false;
    tree.current?.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
  });

  const toggle = (id: string): void => {
    const next = new Set(toggled);
    if (!next.delete(id)) next.add(id);
    setToggled(next);
    setFocused(id);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || current === undefined) return;
    const row = rows.find(({ id }) => id === current);
    if ((event.key === "c" || event.key === "p") && row !== undefined) {
      event.preventDefault();
      void copyFrom(row, event.key === "c" ? "value" : "path");
      return;
    }
    const move = moveInTree(rows, current, event.key);
    if (move === undefined) return;
    event.preventDefault();
    if (move.toggle !== undefined) toggle(move.toggle);
    if (move.focus === undefined) return;
    mayFocus.current = true;
    setFocused(move.focus);
  };

  if (root.kind !== "object" && root.kind !== "array") return <Leaf node={root} />;
  const [open, close] = root.kind === "object" ? ["{", "}"] : ["[", "]"];
  if (rows.length === 0) {
    return (
      <p class="json-empty">
        {open}
        {close}
      </p>
    );
  }
  return (
    <div class="json">
      <div ref={tree} role="tree" aria-label={label} onKeyDown={onKeyDown}>
        {rows.map((row) => (
          <Row
            key={row.id}
            row={row}
            isCurrent={row.id === current}
            onFocus={() => setFocused(row.id)}
            onToggle={() => toggle(row.id)}
          />
        ))}
      </div>
      {omitted > 0 && (
        <button type="button" class="link-button json-more" onClick={() => setLimit(limit + LINES)}>
          Show more: at least {plural(omitted, "line")} further
        </button>
      )}
      {root.isCut && (
        <p class="json-cut">
          <CutMark />
        </p>
      )}
    </div>
  );
}

function Row(props: { row: JsonRow; isCurrent: boolean; onFocus: () => void; onToggle: () => void }): JSX.Element {
  const { row } = props;
  const { node } = row;
  const inner = unfold(node);
  return (
    <div
      class="json-row"
      role="treeitem"
      aria-level={row.level}
      aria-posinset={row.place}
      aria-setsize={row.siblings}
      aria-expanded={row.isOpen}
      aria-selected={props.isCurrent}
      tabIndex={props.isCurrent ? 0 : -1}
      style={{ "--level": row.level }}
      onFocus={props.onFocus}
      onClick={() => {
        // Whoever selects text does not want it to move.
        if (row.isOpen !== undefined && String(getSelection()) === "") props.onToggle();
      }}
    >
      <span class="json-twist">{row.isOpen !== undefined && <Icon name="chevron-right" size={12} />}</span>
      <span class="json-text">
        <span class={row.isItem ? "json-index" : "json-key"}>{row.key}</span>
        <span class="json-colon">: </span>
        {inner.kind === "object" || inner.kind === "array" ? (
          <Summary node={inner} isOpen={row.isOpen === true} isInString={inner !== node} />
        ) : (
          <Leaf node={node} />
        )}
      </span>
      <span class="json-tools">
        <CopySmall title="Copy the value (c)" onClick={() => void copyFrom(row, "value")} icon="copy" />
        <CopySmall title={`Copy the path ${row.path} (p)`} onClick={() => void copyFrom(row, "path")} icon="code" />
      </span>
    </div>
  );
}

function CopySmall(props: { title: string; icon: "copy" | "code"; onClick: () => void }): JSX.Element {
  return (
    <button
      type="button"
      class="icon-button"
      tabIndex={-1}
      title={props.title}
      aria-label={props.title}
      onClick={(event) => {
        event.stopPropagation();
        props.onClick();
      }}
    >
      <Icon name={props.icon} size={12} />
    </button>
  );
}

/** What a closed object or array holds; open ones show it below. */
function Summary(props: { node: JsonNode; isOpen: boolean; isInString: boolean }): JSX.Element {
  const { node, isOpen, isInString } = props;
  if (node.kind !== "object" && node.kind !== "array") return <></>;
  const { length } = node.entries;
  const [open, close] = node.kind === "object" ? ["{", "}"] : ["[", "]"];
  if (length === 0) return <span class="json-mark">{node.isCut ? `${open}…` : open + close}</span>;
  const count = node.kind === "object" ? plural(length, "key") : plural(length, "item");
  return (
    <span class="json-mark">
      {!isOpen && `${open}…${close}`}
      <span class="json-count">
        {" "}
        {count}
        {isInString && ", JSON in a string"}
      </span>
      {node.isCut && <CutMark />}
    </span>
  );
}

function Leaf({ node }: { node: JsonNode }): JSX.Element {
  if (node.kind === "object" || node.kind === "array") return <></>;
  if (node.kind !== "string") return <span class={`json-${node.kind}`}>{node.text}</span>;
  if (node.text === "REDACTED") return <Redacted />;
  return (
    <span class="json-string">
      "<LongText text={node.text} isFocusable={false} />
      {node.isCut ? <CutMark /> : '"'}
    </span>
  );
}

async function copyFrom({ node, path }: JsonRow, what: "value" | "path"): Promise<void> {
  const value = node.kind === "string" ? node.text : formatJson(node);
  const done = await copyText(what === "path" ? path : value);
  if (done) toast(what === "path" ? `Copied ${path}` : "Copied the value");
  else toast("The browser did not let the page copy.", "error");
}
