import { type JsonNode, unfold } from "./json.ts";

/** A line of a tree that is shown. */
export interface JsonRow {
  /** Keys from the root, as JSON: unique, and stable while the tree is. */
  id: string;
  /** 1 for what the root holds. */
  level: number;
  key: string;
  /** Of the array or object it stands in. */
  isItem: boolean;
  node: JsonNode;
  /** Undefined for what cannot be opened. */
  isOpen?: boolean;
  /** From the root: `items[0].name`. */
  path: string;
  /** Place among its siblings, from 1, and their number. */
  place: number;
  siblings: number;
}

/** Whether a container starts open: the first two levels, as long as they are not long. */
export function startsOpen(level: number, entryCount: number): boolean {
  return level === 1 ? entryCount <= 50 : level === 2 && entryCount <= 12;
}

/**
 * The lines to show, from top to bottom, at most `limit`. `toggled` holds the ids of those that are not as `startsOpen` says;
 * the root's entries always show. `omitted` counts lines beyond the limit.
 */
export function visibleRows(
  root: JsonNode,
  toggled: ReadonlySet<string>,
  limit: number,
): { rows: JsonRow[]; omitted: number } {
  const rows: JsonRow[] = [];
  let omitted = 0;
  const visit = (parent: JsonNode, parentKeys: readonly string[], parentPath: string): void => {
    if (parent.kind !== "object" && parent.kind !== "array") return;
    const level = parentKeys.length + 1;
    for (const [index, { key, node }] of parent.entries.entries()) {
      if (rows.length >= limit) {
        omitted += parent.entries.length - index;
        return;
      }
      // Keys may be there twice; places are not.
      const keys = [...parentKeys, `${index}:${key}`];
      const path = joinPath(parentPath, key, parent.kind === "array");
      const id = JSON.stringify(keys);
      const row: JsonRow = {
        id,
        level,
        key,
        isItem: parent.kind === "array",
        node,
        path,
        place: index + 1,
        siblings: parent.entries.length,
      };
      rows.push(row);
      const inner = unfold(node);
      if ((inner.kind === "object" || inner.kind === "array") && inner.entries.length > 0) {
        row.isOpen = startsOpen(level, inner.entries.length) !== toggled.has(id);
        if (row.isOpen) visit(inner, keys, path);
      }
    }
  };
  visit(root, [], "");
  return { rows, omitted };
}

/** Where the keys go in a tree: the id to focus, or whether to open or close what has the focus. */
export function moveInTree(
  rows: readonly JsonRow[],
  focused: string,
  key: string,
): { focus?: string; toggle?: string } | undefined {
  const index = Math.max(
    0,
    rows.findIndex(({ id }) => id === focused),
  );
  const row = rows[index];
  if (row === undefined) return undefined;
  const at = (place: number): { focus?: string } => {
    const id = rows[place]?.id;
    return id === undefined ? {} : { focus: id };
  };
  switch (key) {
    case "ArrowDown":
      return at(index + 1);
    case "ArrowUp":
      return at(index - 1);
    case "Home":
      return at(0);
    case "End":
      return at(rows.length - 1);
    case "ArrowRight":
      if (row.isOpen === false) return { toggle: row.id };
      return row.isOpen === true ? at(index + 1) : {};
    case "ArrowLeft":
      if (row.isOpen === true) return { toggle: row.id };
      return at(rows.findLastIndex((other, place) => place < index && other.level < row.level));
    case "Enter":
    case " ":
      return row.isOpen === undefined ? {} : { toggle: row.id };
    default:
      return undefined;
  }
}

function joinPath(parent: string, key: string, isItem: boolean): string {
  if (isItem) return `${parent}[${key}]`;
  if (/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key)) return parent === "" ? key : `${parent}.${key}`;
  return `${parent}[${JSON.stringify(key)}]`;
}
