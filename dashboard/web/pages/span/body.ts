import { type JsonNode, parseJson } from "./json.ts";

/** A captured body, as far as it could be read. `isCut`: the sender kept only the beginning. */
export type Body =
  /** `what` is how it is called: JSON, NDJSON, Server-sent events. */
  | { kind: "tree"; what: string; root: JsonNode; text: string; isCut: boolean }
  | { kind: "form"; fields: readonly (readonly [name: string, value: string])[]; text: string; isCut: boolean }
  | { kind: "text"; what: string; text: string; isCut: boolean };

/** The mark of the sender's capture at the end of a value that was too long. */
export const CUT_MARK = "…";

/** In front of each value of `application/json-seq` (RFC 7464). */
const RECORD_SEPARATOR = "\u001e";

/** Whether a captured value ends where the sender's budget did. */
export function isCutText(text: string): boolean {
  return text.endsWith(CUT_MARK);
}

/** Reads a body by its content type, and by its looks where that is missing or too general. */
export function parseBody(text: string, contentType: string | undefined): Body {
  const [type = ""] = (contentType ?? "").toLowerCase().split(";", 1);
  const mime = type.trim();
  const isCut = isCutText(text);
  if (mime === "application/x-www-form-urlencoded") return { kind: "form", fields: parseForm(text), text, isCut };
  if (mime === "text/event-stream")
    return parseEventStream(text) ?? { kind: "text", what: "Server-sent events", text, isCut };
  if (/ndjson|jsonl|json-seq|jsonlines/.test(mime))
    return parseLines(text) ?? { kind: "text", what: "NDJSON", text, isCut };
  if (mime === "" || /json/.test(mime) || mime === "text/plain" || mime === "application/octet-stream") {
    const json = parseJson(text);
    if (json !== undefined) return { kind: "tree", what: "JSON", root: json.root, text, isCut: json.isCut };
    const lines = mime === "" ? parseLines(text) : undefined;
    if (lines !== undefined) return lines;
  }
  return { kind: "text", what: nameOf(mime), text, isCut };
}

/** `a=1&b=2` decoded; what is no valid escape stays as it is, and so does the mark of a cut. */
export function parseForm(text: string): (readonly [name: string, value: string])[] {
  return text
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const split = pair.indexOf("=");
      const [name, value] = split === -1 ? [pair, ""] : [pair.slice(0, split), pair.slice(split + 1)];
      return [decode(name), decode(value)] as const;
    });
}

function decode(text: string): string {
  const spaced = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}

/** A line of its own for each value; the last may be cut. */
function parseLines(text: string): Body | undefined {
  const lines = text
    .split("\n")
    .map((line) => (line.startsWith(RECORD_SEPARATOR) ? line.slice(1) : line).trim())
    .filter((line) => line !== "");
  if (lines.length < 2) return undefined;
  const entries: { key: string; node: JsonNode }[] = [];
  for (const [index, line] of lines.entries()) {
    const isLast = index === lines.length - 1;
    const node = parseJson(line);
    if (node === undefined || (node.isCut && !isLast)) {
      if (!(isLast && isCutText(line))) return undefined;
      continue;
    }
    entries.push({ key: String(index), node: node.root });
  }
  const isCut = isCutText(text);
  return { kind: "tree", what: "NDJSON", root: { kind: "array", entries, isCut }, text, isCut };
}

/** Fields of each event in the order of HTML's event streams; data that is JSON becomes a tree. */
function parseEventStream(text: string): Body | undefined {
  const entries: { key: string; node: JsonNode }[] = [];
  for (const block of text.split(/(?:\r\n|\n|\r){2,}/)) {
    const fields = new Map<string, string>();
    for (const line of block.split(/\r\n|\n|\r/)) {
      const match = /^(event|id|retry|data)(?:: ?(.*))?$/.exec(line);
      if (match === null) continue;
      const [, name = "", value = ""] = match;
      fields.set(name, name === "data" && fields.has(name) ? `${fields.get(name)}\n${value}` : value);
    }
    if (fields.size === 0) continue;
    const inner = [...fields].map(([key, value]) => ({ key, node: toTree(value) }));
    entries.push({ key: String(entries.length), node: { kind: "object", entries: inner, isCut: false } });
  }
  if (entries.length === 0) return undefined;
  const isCut = isCutText(text);
  return { kind: "tree", what: "Server-sent events", root: { kind: "array", entries, isCut }, text, isCut };
}

function toTree(value: string): JsonNode {
  return parseJson(value)?.root ?? { kind: "string", text: value, isCut: isCutText(value) };
}

function nameOf(mime: string): string {
  if (/json/.test(mime)) return "JSON, unreadable";
  if (/html/.test(mime)) return "HTML";
  if (/xml/.test(mime)) return "XML";
  return mime === "" ? "Text" : mime;
}
