/**
 * A JSON value as it was written: numbers keep every digit, keys their order and their duplicates. `isCut` marks what the end of
 * the text interrupted, because captured bodies are limited in size.
 */
export type JsonNode =
  | { kind: "object"; entries: readonly JsonEntry[]; isCut: boolean }
  | { kind: "array"; entries: readonly JsonEntry[]; isCut: boolean }
  | { kind: "string"; text: string; isCut: boolean }
  | { kind: "number" | "boolean" | "null"; text: string };

export interface JsonEntry {
  /** Name in an object, place in an array. */
  key: string;
  node: JsonNode;
}

export interface ParsedJson {
  root: JsonNode;
  /** The text ended before the value did. */
  isCut: boolean;
}

interface OpenContainer {
  kind: "object" | "array";
  entries: JsonEntry[];
  isCut: boolean;
}

const SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;
// oxlint-disable-next-line no-control-regex -- JSON does not allow them in strings
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*/y;

/** Whoever nests deeper is testing parsers; what shows the tree may recurse. */
const MAX_DEPTH = 500;

/**
 * Reads an object or array, also one that is cut: with the mark `…` at its end, or without. Undefined when the text is anything
 * else, or nested more than 500 deep.
 */
export function parseJson(text: string): ParsedJson | undefined {
  const end = text.trimEnd().endsWith("…") ? text.lastIndexOf("…") : text.length;
  const open: OpenContainer[] = [];
  let root: JsonNode | undefined;
  let isCut = false;
  let at = 0;
  const skip = (): void => {
    SPACE.lastIndex = at;
    SPACE.test(text);
    at = SPACE.lastIndex;
  };
  const take = (shape: RegExp): string | undefined => {
    shape.lastIndex = at;
    const found = shape.exec(text)?.[0];
    if (found) at += found.length;
    return found || undefined;
  };
  const place = (key: string, node: JsonNode): void => {
    const parent = open.at(-1);
    if (parent === undefined) root = node;
    else parent.entries.push({ key, node });
    if (node.kind === "object" || node.kind === "array") open.push(node as OpenContainer);
  };
  /** Undefined when there is none; with `isCut` when the text ends inside. */
  const string = (): { text: string; isCut: boolean } | undefined => {
    const start = at;
    const found = take(STRING);
    if (found === undefined) return undefined;
    if (text[at] === '"' && at < end) {
      at++;
      return { text: JSON.parse(text.slice(start, at)) as string, isCut: false };
    }
    // Inside an escape, or at the mark of the cut.
    if (at < end && !/^\\u?[\da-fA-F]{0,3}$/.test(text.slice(at, end))) return undefined;
    const body = text.slice(start, Math.min(at, end));
    at = end;
    return { text: JSON.parse(`${body}"`) as string, isCut: true };
  };

  for (;;) {
    skip();
    const parent = open.at(-1);
    if (parent === undefined && root !== undefined) break;
    if (at >= end) {
      isCut = true;
      break;
    }
    let key = "";
    if (parent !== undefined) {
      if (text[at] === (parent.kind === "object" ? "}" : "]")) {
        at++;
        open.pop();
        continue;
      }
      if (parent.entries.length > 0) {
        if (text[at] !== ",") return undefined;
        at++;
        skip();
        if (at >= end) continue;
      }
      key = String(parent.entries.length);
      if (parent.kind === "object") {
        const name = string();
        if (name === undefined) return undefined;
        skip();
        if (name.isCut || at >= end) continue;
        if (text[at] !== ":") return undefined;
        at++;
        skip();
        if (at >= end) continue;
        key = name.text;
      }
    }
    const character = text[at];
    if (character === "{" || character === "[") {
      if (open.length >= MAX_DEPTH) return undefined;
      at++;
      place(key, { kind: character === "{" ? "object" : "array", entries: [], isCut: false });
      continue;
    }
    if (parent === undefined) return undefined;
    if (character === '"') {
      const value = string();
      if (value === undefined) return undefined;
      place(key, { kind: "string", ...value });
      continue;
    }
    const word = take(WORD);
    const number = word === undefined ? take(NUMBER) : undefined;
    if (word !== undefined) place(key, { kind: word === "null" ? "null" : "boolean", text: word });
    else if (number !== undefined) {
      if (/^[.eE][+-]?$/.test(text.slice(at, Math.min(end, at + 3)))) at = end;
      place(key, { kind: "number", text: number });
    } else if (/^[-a-z]{1,5}$/.test(text.slice(at, end))) at = end;
    else return undefined;
  }
  if (root === undefined) return undefined;
  skip();
  if (!isCut && at < end) return undefined;
  for (const container of open) container.isCut = true;
  return { root, isCut: isCut || end < text.length };
}

const unfolded = new WeakMap<JsonNode, JsonNode>();

/** The tree inside a string that is JSON itself, as messages in messages and values of caches are; other nodes as they are. */
export function unfold(node: JsonNode): JsonNode {
  if (node.kind !== "string" || !/^\s*[[{]/.test(node.text)) return node;
  let inner = unfolded.get(node);
  if (inner === undefined) {
    inner = parseJson(node.text)?.root ?? node;
    unfolded.set(node, inner);
  }
  return inner;
}

/** A plain value (`plainValue`) as a tree. */
export function toJsonNode(value: unknown): JsonNode {
  if (typeof value === "string") return { kind: "string", text: value, isCut: false };
  if (typeof value !== "object" || value === null) {
    const kind = typeof value === "number" ? "number" : typeof value === "boolean" ? "boolean" : "null";
    return { kind, text: String(value ?? null) };
  }
  const entries = Object.entries(value).map(([key, inner]) => ({ key, node: toJsonNode(inner) }));
  return { kind: Array.isArray(value) ? "array" : "object", entries, isCut: false };
}

/** The tree as JSON text, indented by two. What was cut stays cut, and is then no JSON: `…` marks it. */
export function formatJson(node: JsonNode, indent: string = ""): string {
  if (node.kind === "string")
    return node.isCut ? `${JSON.stringify(node.text).slice(0, -1)}…` : JSON.stringify(node.text);
  if (node.kind !== "object" && node.kind !== "array") return node.text;
  const [open, close] = node.kind === "object" ? ["{", "}"] : ["[", "]"];
  const inner = `${indent}  `;
  const lines = node.entries.map(({ key, node: value }) => {
    const name = node.kind === "object" ? `${JSON.stringify(key)}: ` : "";
    return `${inner}${name}${formatJson(value, inner)}`;
  });
  if (node.isCut) lines.push(`${inner}…`);
  return lines.length === 0 ? `${open}${close}` : `${open}\n${lines.join(",\n")}\n${indent}${close}`;
}
