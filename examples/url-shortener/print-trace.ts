import * as semconv from "../../src/semconv/attributes.ts";
import type { ReceivedSpan } from "../../test/support/otlp-receiver.ts";

export interface PrintOptions {
  /** ANSI colours. */
  colour: boolean;
  /** Columns of the terminal. Long values are cut so that every operation stays on its line. */
  width: number;
}

/** One line: on the left what was done, on the right what became of it. */
interface Row {
  branches: string;
  operation: string;
  duration: string;
  details: Piece[];
}

interface Piece {
  text: string;
  style?: keyof typeof STYLES;
  /** The first to be cut when the line is too long: SQL text, parameters, payloads. */
  long?: true;
}

const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
const GAP = 3;
/** Of a long value at least this much stays, or it says nothing. */
const SHORTEST_VALUE = 12;

/** The trace as a tree. A call and its handling by another service share a line, joined by an arrow. */
export function printTrace(spans: readonly ReceivedSpan[], options: PrintOptions): string {
  const ids = new Set(spans.map((span) => span.spanId));
  const roots = spans.filter((span) => !ids.has(span.parentSpanId));
  const rows = byStart(roots).flatMap((root) => rowsOf(root, spans, "", ""));
  const column = Math.max(0, ...rows.map(lengthOfLeft)) + 2;
  return rows.map((row) => printRow(row, column, options)).join("\n");
}

/** The trace on one line: its request, and what tells most about the rest of it. */
export function printTraceLine(spans: readonly ReceivedSpan[], options: PrintOptions): string {
  const root = spans.find((span) => span.parentSpanId === "");
  if (root === undefined) return "";
  const rest = byStart(spans.filter((span) => span !== root));
  const failed = rest.filter((span) => span.status.code === "ERROR").slice(-1);
  const cached = rest.filter((span) => span.attributes[semconv.CACHE_HIT] !== undefined);
  const telling = (failed.length > 0 ? failed : cached).flatMap((span): Piece[] => [
    { text: operationName(span), style: "dim" },
    ...outcome(span).filter((piece) => !piece.long),
  ]);
  // What failed below says why the request did.
  const details = outcome(root).filter(({ text }) => failed.length === 0 || !text.startsWith("✗"));
  const row = { branches: "", operation: operationName(root), duration: durationOf(root) };
  return printRow({ ...row, details: [...details, ...telling] }, 26, options);
}

/** What a reader calls the operation: the span's name, made precise by the key or the host that a low-cardinality name
 *  must not hold. */
export function operationName(span: ReceivedSpan): string {
  const { attributes } = span;
  const key = attributes[semconv.CACHE_KEY];
  if (key !== undefined) return plain(`${attributes[semconv.DB_OPERATION_NAME] ?? span.name} ${String(key)}`);
  const url = attributes[semconv.URL_FULL];
  if (span.kind !== "CLIENT" || typeof url !== "string" || !URL.canParse(url)) return plain(span.name);
  const { hostname, pathname } = new URL(url);
  return plain(`${String(attributes[semconv.HTTP_REQUEST_METHOD])} ${hostname}${pathname === "/" ? "" : pathname}`);
}

export function serviceOf(span: ReceivedSpan): string {
  return String(span.resource["service.name"]);
}

function rowsOf(span: ReceivedSpan, spans: readonly ReceivedSpan[], branches: string, below: string): Row[] {
  const children = byStart(spans.filter((child) => child.parentSpanId === span.spanId));
  const remote = children.filter((child) => serviceOf(child) !== serviceOf(span));
  // With several subscribers each gets a line of its own.
  const handling = remote.length === 1 ? remote[0] : undefined;
  const parent = spans.find(({ spanId }) => spanId === span.parentSpanId);
  const isElsewhere = parent !== undefined && serviceOf(parent) !== serviceOf(span);
  const operation = isElsewhere ? `${serviceOf(span)}: ${operationName(span)}` : operationName(span);
  const row = { branches, operation, duration: durationOf(span), details: outcome(span) };
  if (handling === undefined) return [row, ...rowsBelow(children, spans, below)];

  const handled = spans.filter((child) => child.parentSpanId === handling.spanId);
  const arrow = `──► ${serviceOf(handling)}: ${operationName(handling)} ${durationOf(handling)}`;
  row.details = [{ text: arrow, style: "cyan" }, ...outcome(handling)];
  if (span.status.code === "ERROR") row.details.push(...failure(span));
  const local = children.filter((child) => child !== handling);
  return [row, ...rowsBelow(byStart([...local, ...handled]), spans, `${below}   `)];
}

function rowsBelow(children: ReceivedSpan[], spans: readonly ReceivedSpan[], below: string): Row[] {
  return children.flatMap((child, index) => {
    const last = index === children.length - 1;
    return rowsOf(child, spans, `${below}${last ? "└─ " : "├─ "}`, `${below}${last ? "   " : "│  "}`);
  });
}

function outcome(span: ReceivedSpan): Piece[] {
  const { attributes, kind } = span;
  const pieces: Piece[] = [];
  const add = (name: string, show: (value: unknown) => string, more: Omit<Piece, "text"> = {}): void => {
    const value = attributes[name];
    if (value !== undefined) pieces.push({ text: plain(show(value)), ...more });
  };

  if (kind === "SERVER" || kind === "CONSUMER")
    add(semconv.USER_ID, (id) => `user.id=${String(id)}`, { style: "cyan" });
  add(semconv.HTTP_RESPONSE_STATUS_CODE, String, statusStyle(attributes[semconv.HTTP_RESPONSE_STATUS_CODE]));

  if (attributes[semconv.CACHE_OPERATION] === undefined)
    add(semconv.DB_QUERY_TEXT, String, { style: "dim", long: true });
  const parameters = numbered(attributes, semconv.DB_QUERY_PARAMETER_PREFIX);
  if (parameters.length > 0) pieces.push({ text: `[${parameters.map(quoted).join(", ")}]`, long: true });
  add(semconv.DB_RESPONSE_RETURNED_ROWS, (rows) => counted(rows, "row"));
  if (attributes[semconv.DB_RESPONSE_RETURNED_ROWS] === undefined) {
    add(semconv.TRACEKIT_DB_AFFECTED_ROWS, (rows) => `${counted(rows, "row")} affected`);
  }

  add(semconv.CACHE_HIT, (hit) => (hit ? "hit" : "miss"), {
    style: attributes[semconv.CACHE_HIT] ? "green" : "yellow",
  });
  add(semconv.CACHE_TTL, (seconds) => `ttl ${String(seconds)}s`);

  const phases = phasesOf(attributes);
  if (phases !== "") pieces.push({ text: phases });

  if (kind === "CONSUMER") {
    add(semconv.MESSAGING_MESSAGE_ID, (id) => `message ${String(id)}`);
    add(semconv.TRACEKIT_MESSAGING_BODY_CONTENT, String, { long: true });
    add(semconv.TRACEKIT_MESSAGING_DELIVERY_ATTEMPT, (attempt) => `attempt ${String(attempt)}`);
  }

  if (span.status.code === "ERROR") pieces.push(...failure(span));
  else if (kind === "INTERNAL") pieces.push({ text: "ok", style: "green" });
  return pieces;
}

function failure({ attributes, status }: ReceivedSpan): Piece[] {
  const why = [attributes[semconv.ERROR_TYPE], status.message].filter((part) => part !== undefined && part !== "");
  return [{ text: plain(`✗ ${why.join(" ")}`), style: "red" }];
}

function statusStyle(status: unknown): Omit<Piece, "text"> {
  if (typeof status !== "number") return {};
  return { style: status >= 500 ? "red" : status >= 400 ? "yellow" : "green" };
}

/** "dns 2 · connect 5 · ttfb 51": milliseconds, in the order they happened. */
function phasesOf(attributes: ReceivedSpan["attributes"]): string {
  const prefix = semconv.TRACEKIT_HTTP_PHASE_PREFIX;
  return Object.entries(attributes)
    .filter(([name]) => name.startsWith(prefix))
    .map(([name, value]) => `${name.slice(prefix.length).replace(/_ms$/, "")} ${Math.round(Number(value))}`)
    .join(" · ");
}

function numbered(attributes: ReceivedSpan["attributes"], prefix: string): unknown[] {
  const names = Object.keys(attributes).filter((name) => name.startsWith(prefix));
  return names
    .toSorted((a, b) => Number(a.slice(prefix.length)) - Number(b.slice(prefix.length)))
    .map((name) => attributes[name]);
}

const quoted = (value: unknown): string => (typeof value === "string" ? `'${plain(value)}'` : String(value));
const counted = (count: unknown, noun: string): string => `${String(count)} ${noun}${count === 1 ? "" : "s"}`;

/** Values come from whoever called the application: nothing in them may command the terminal. */
function plain(text: string): string {
  return text.replace(/[\s\p{C}]+/gu, " ").trim();
}

function durationOf(span: ReceivedSpan): string {
  const millis = Number(span.endTimeUnixNano - span.startTimeUnixNano) / 1e6;
  return `(${Number(millis.toFixed(millis < 10 ? 1 : 0))}ms)`;
}

function byStart(spans: readonly ReceivedSpan[]): ReceivedSpan[] {
  return spans.toSorted((a, b) => Number(a.startTimeUnixNano - b.startTimeUnixNano));
}

function lengthOfLeft({ branches, operation, duration }: Row): number {
  return branches.length + operation.length + 1 + duration.length;
}

function printRow(row: Row, column: number, { colour, width }: PrintOptions): string {
  const pieces: Piece[] = [
    { text: row.branches, style: "dim" },
    { text: row.operation, style: "bold" },
    { text: ` ${row.duration}`, style: "dim" },
  ];
  let gap = Math.max(column - lengthOfLeft(row), 2);
  for (const detail of shortened(row.details, width - lengthOfLeft(row) - gap)) {
    pieces.push({ text: " ".repeat(gap) }, detail);
    gap = GAP;
  }
  return pieces.map(({ text, style }) => (colour && style ? `\x1b[${STYLES[style]}m${text}\x1b[0m` : text)).join("");
}

/** Cuts the longest of the long values, again and again, until the line fits or nothing is left to cut. */
function shortened(details: readonly Piece[], room: number): Piece[] {
  const cut = details.map((piece) => ({ ...piece }));
  for (;;) {
    const excess = cut.reduce((sum, { text }) => sum + text.length + GAP, -GAP) - room;
    const [longest, next] = cut.filter(({ long }) => long).toSorted((a, b) => b.text.length - a.text.length);
    if (excess <= 0 || longest === undefined || longest.text.length <= SHORTEST_VALUE) return cut;
    const keep = Math.max(longest.text.length - excess, (next?.text.length ?? 0) - 1, SHORTEST_VALUE);
    longest.text = `${longest.text.slice(0, keep - 1)}…`;
  }
}
