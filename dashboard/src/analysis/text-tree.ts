import type { TraceDetail } from "../model/trace.ts";
import { foldSiblings, type Fold } from "./fold.ts";
import { shortDetail } from "./short-detail.ts";
import { buildTree, childrenOf, missingSpanId, REPAIR, type TraceTree } from "./trace-tree.ts";

export interface TextOptions {
  /** Columns of the terminal. Details are cut so that every operation stays on its line. */
  width: number;
  /** ANSI colours. */
  colour: boolean;
  /** Lines to print at most; default 200. One more counts the spans that are left out. */
  lines?: number;
  /** Why spans failed, by their ids; without a reason it is only said that they did. */
  reasons?: ReadonlyMap<string, string>;
}

const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
const GAP = 3;
/** Of a detail at least this much stays, or it says nothing. */
const SHORTEST_DETAIL = 12;
const DEFAULT_LINES = 200;
const SERVER = 2;
const FAILED = 2;

interface Piece {
  text: string;
  style?: keyof typeof STYLES;
  /** Cut first. */
  long?: true;
}

/** On the left what was done and how long it took, on the right what became of it. */
interface Line {
  branches: string;
  operation: string;
  duration: string;
  details: Piece[];
}

interface Item {
  node: number;
  fold?: Fold;
  branches: string;
  /** Begins the lines of what is below it. */
  below: string;
}

/** The trace as an indented tree of text without a final line break: a call and its handling by another service share a line,
 *  joined by an arrow, and identical siblings are one line with their number. */
export function formatTrace(detail: TraceDetail, options: TextOptions): string {
  const tree = buildTree(detail.spans);
  const { lines, omitted } = toLines(detail, tree, options);
  const column = Math.max(0, ...lines.map(lengthOfLeft)) + 2;
  const texts = lines.map((line) => formatLine(line, column, options));
  if (omitted > 0)
    texts.push(paint({ text: `… ${omitted} more ${omitted === 1 ? "span" : "spans"}`, style: "dim" }, options.colour));
  return texts.join("\n");
}

/** `187ms`, `1.24s`, `312µs`: three digits at most. */
function formatNanos(nanos: number): string {
  const [value, unit] = nanos >= 1e9 ? [nanos / 1e9, "s"] : nanos >= 1e6 ? [nanos / 1e6, "ms"] : [nanos / 1e3, "µs"];
  return `${Number(value.toFixed(value < 10 && nanos >= 1e6 ? (unit === "s" ? 2 : 1) : 0))}${unit}`;
}

function toLines(
  detail: TraceDetail,
  tree: TraceTree,
  { lines: most = DEFAULT_LINES, reasons }: TextOptions,
): { lines: Line[]; omitted: number } {
  const { folds, foldOf } = foldSiblings(tree, detail.spans);
  const lines: Line[] = [];
  let omitted = 0;
  // A stack and not recursion: senders can nest as deep as they like.
  const waiting: Item[] = tree.roots.map((node) => ({ node, branches: "", below: "" })).reverse();
  for (let item = waiting.pop(); item !== undefined; item = waiting.pop()) {
    const { node, fold, below } = item;
    if (lines.length >= most) {
      for (const left of fold?.members ?? [node]) omitted += tree.size[left]!;
      continue;
    }
    const handling = fold === undefined ? soleHandling(detail, tree, node) : -1;
    lines.push(toLine(detail, tree, item, handling, reasons));
    if (fold !== undefined) continue;

    const children = childrenOf(tree, node).filter((child) => child !== handling);
    if (handling >= 0) children.push(...childrenOf(tree, handling));
    children.sort((a, b) => tree.start[a]! - tree.start[b]!);
    const shown: { node: number; fold?: Fold }[] = [];
    for (const child of children) {
      const childFold = folds[foldOf[child]!];
      if (childFold === undefined) shown.push({ node: child });
      else if (childFold.members[0] === child) shown.push({ node: child, fold: childFold });
    }
    const indented = handling >= 0 ? `${below}   ` : below;
    for (let index = shown.length - 1; index >= 0; index--) {
      const isLast = index === shown.length - 1;
      waiting.push({
        ...shown[index]!,
        branches: `${indented}${isLast ? "└─ " : "├─ "}`,
        below: `${indented}${isLast ? "   " : "│  "}`,
      });
    }
  }
  return { lines, omitted };
}

/** The span by which another service handled this one, where there is exactly one; else -1. With several subscribers each gets a
 *  line of its own. */
function soleHandling({ spans }: TraceDetail, tree: TraceTree, node: number): number {
  if (node >= tree.spanCount) return -1;
  const isRemote = (child: number): boolean =>
    spans.service[child] !== spans.service[node] || (spans.kind[child] === SERVER && spans.kind[node] !== SERVER);
  const remote = childrenOf(tree, node).filter(isRemote);
  return remote.length === 1 ? remote[0]! : -1;
}

function toLine(
  detail: TraceDetail,
  tree: TraceTree,
  { node, fold, branches }: Item,
  handling: number,
  reasons: TextOptions["reasons"],
): Line {
  const { spans, strings, summary } = detail;
  if (node >= tree.spanCount) {
    const missing = `(span ${missingSpanId(tree, spans, node)} has not arrived)`;
    return { branches, operation: missing, duration: "", details: [] };
  }
  const textOf = (column: readonly number[], span: number): string => plain(strings[column[span]!] ?? "");
  const nanos = (span: number): number => tree.end[span]! - tree.start[span]!;
  const parent = tree.parent[node]!;
  const isElsewhere = parent >= 0 && parent < tree.spanCount && spans.service[parent] !== spans.service[node];
  const name = textOf(spans.name, node);
  let operation = isElsewhere ? `${textOf(spans.service, node)}: ${name}` : name;
  let duration = `(${formatNanos(nanos(node))})`;
  const details: Piece[] = [];
  if (fold !== undefined) {
    operation += ` ×${fold.members.length}`;
    duration = `(${formatNanos(fold.totalNanos)})`;
    const [least, median, most] = [fold.minNanos, fold.medianNanos, fold.maxNanos].map(formatNanos);
    details.push({ text: `each ${least} to ${most}, half within ${median}` });
  }
  if (handling >= 0) {
    const handler = `${textOf(spans.service, handling)}: ${textOf(spans.name, handling)}`;
    details.push({ text: `──► ${handler} (${formatNanos(nanos(handling))})`, style: "cyan" });
  }
  const isFirst = parent < 0 && node === tree.roots[0];
  if (isFirst) details.push(...outcome(summary));
  let said = isFirst && summary.httpStatusCode !== undefined ? `→ ${summary.httpStatusCode}` : "";
  for (const span of [node, handling]) {
    const whole = span < 0 ? "" : shortDetail(textOf(spans.name, span), textOf(spans.detail, span));
    const text = beyond(said, whole);
    if (text !== "") details.push({ text, style: "dim", long: true });
    said += ` ${whole}`;
  }
  const failed = [handling, node].filter((span) => spans.statusCode[span] === FAILED);
  if (failed.length > 0) {
    const [reason] = failed.flatMap((span) => plain(reasons?.get(spans.ids[spans.spanId[span]!]!) ?? "") || []);
    details.push({ text: `✗ ${reason ?? "failed"}`, style: "red", ...(reason !== undefined && { long: true }) });
  }
  if (tree.repairs[node]! & REPAIR.missingParent && parent < 0)
    details.push({ text: "parent missing", style: "yellow" });
  return { branches, operation, duration, details };
}

/** What a detail says that was not said yet: both sides of a call know its path, its status and its payload. */
function beyond(said: string, detail: string): string {
  const status = /(?:^| )→ \d+$/.exec(detail)?.[0] ?? "";
  const text = said.includes(status.trim()) ? detail.slice(0, detail.length - status.length) : detail;
  return said.includes(text) ? "" : text;
}

function outcome({ userId, httpStatusCode, hasRoot }: TraceDetail["summary"]): Piece[] {
  const pieces: Piece[] = [];
  if (!hasRoot) pieces.push({ text: "in flight", style: "yellow" });
  if (userId !== undefined) pieces.push({ text: `user.id=${plain(userId)}`, style: "cyan" });
  if (httpStatusCode !== undefined) {
    const style = httpStatusCode >= 500 ? "red" : httpStatusCode >= 400 ? "yellow" : "green";
    pieces.push({ text: String(httpStatusCode), style });
  }
  return pieces;
}

/** Values come from whoever called the application: nothing in them may command the terminal. */
function plain(text: string): string {
  return text.replace(/[\s\p{C}]+/gu, " ").trim();
}

function lengthOfLeft({ branches, operation, duration }: Line): number {
  return branches.length + operation.length + 1 + duration.length;
}

function formatLine(line: Line, column: number, { colour, width }: TextOptions): string {
  const pieces: Piece[] = [
    { text: line.branches, style: "dim" },
    { text: line.operation, style: "bold" },
    { text: ` ${line.duration}`, style: "dim" },
  ];
  let gap = Math.max(column - lengthOfLeft(line), 2);
  for (const detail of shortened(line.details, width - lengthOfLeft(line) - gap)) {
    pieces.push({ text: " ".repeat(gap) }, detail);
    gap = GAP;
  }
  return pieces.map((piece) => paint(piece, colour)).join("");
}

function paint({ text, style }: Piece, colour: boolean): string {
  return colour && style !== undefined && text !== "" ? `\x1b[${STYLES[style]}m${text}\x1b[0m` : text;
}

/** Cuts the longest of the long ones, again and again, until the line fits or nothing is left to cut. */
function shortened(details: readonly Piece[], room: number): Piece[] {
  const cut = details.map((piece) => ({ ...piece }));
  for (;;) {
    const excess = cut.reduce((sum, { text }) => sum + text.length + GAP, -GAP) - room;
    const [longest, next] = cut.filter(({ long }) => long).toSorted((a, b) => b.text.length - a.text.length);
    if (excess <= 0 || longest === undefined || longest.text.length <= SHORTEST_DETAIL) return cut;
    const keep = Math.max(longest.text.length - excess, (next?.text.length ?? 0) - 1, SHORTEST_DETAIL);
    longest.text = `${longest.text.slice(0, keep - 1).replace(/[\uD800-\uDBFF]$/, "")}…`;
  }
}
