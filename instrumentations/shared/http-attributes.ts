import type { OutgoingMessage } from "node:http";
import type { Capture } from "../../src/capture/capture.ts";
import type { OperationSpan } from "../../src/instrumentation/operation.ts";
import { HTTP_REQUEST_HEADER_PREFIX, HTTP_RESPONSE_HEADER_PREFIX } from "../../src/semconv/attributes.ts";

/** `http.request.method` of methods that are not known: anyone may send any, and names must stay few. */
export const OTHER_METHOD = "_OTHER";

/** A span's name when its method is not known. Source: semantic conventions, HTTP spans, "Name". */
export const OTHER_METHOD_NAME = "HTTP";

/** Listed headers of few different values: each value is redacted once. */
const FEW_VALUES: ReadonlySet<string> = new Set(["content-type", "content-encoding", "cache-control"]);
const MAX_VALUES = 200;

/**
 * The headers that are recorded, as far as `capture.headers` allows any: what explains a request, and nothing that
 * identifies its sender. Names never listed (cookies, authorization) never reach a span. Values are still redacted.
 */
export class HeaderSelection {
  private readonly prefix: string;
  private readonly listed: ReadonlyMap<string, number>;
  /** Header name as it was written → its place in the list, or -1. */
  private readonly places = new Map<string, number>();
  /** Bit n: a listed name has n characters. */
  private readonly lengths: number;
  /** The same for one that begins with this letter of the alphabet, or with this letter's neighbours beyond it. */
  private readonly lengthsByLetter: Int32Array = new Int32Array(32);
  /** By place: value → what is recorded of it; undefined where there may be too many values. */
  private readonly values: ReadonlyArray<Map<string, string[]> | undefined>;
  private valuesFrom: Capture | undefined = undefined;
  /** The header lines that are listed, in a message's text of them: name and value. */
  readonly lines: RegExp;
  /** In lower case. */
  readonly names: readonly string[];
  readonly keys: readonly string[];

  constructor(prefix: string, names: readonly string[]) {
    this.prefix = prefix;
    this.names = names;
    this.keys = names.map((name) => this.prefix + name);
    this.lines = new RegExp(`\\r\\n(${names.join("|")}): (.*)`, "gi");
    this.listed = new Map(names.map((name, index) => [name, index]));
    this.lengths = names.reduce((lengths, name) => lengths | (1 << name.length), 0);
    for (const name of names) this.lengthsByLetter[name.charCodeAt(0) & 31]! |= 1 << name.length;
    this.values = names.map((name) => (FEW_VALUES.has(name) ? new Map<string, string[]>() : undefined));
  }

  /** Whether a name of this length may be listed: most names are ruled out before they are read. */
  mayList(nameLength: number): boolean {
    return nameLength < 32 && (this.lengths & (1 << nameLength)) !== 0;
  }

  /** Adds the listed ones of `[name, value, name, value, …]` to the span. */
  record(span: OperationSpan, rawHeaders: readonly string[], capture: Capture): void {
    let seen = 0;
    for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
      const place = this.placeOf(rawHeaders[index] as string);
      if (place === -1) continue;
      if ((seen & (1 << place)) !== 0) continue;
      seen |= 1 << place;
      span.attribute(this.keys[place] as string, this.valuesOf(rawHeaders, index, place, capture));
    }
  }

  /** The place of a header in the list, -1 when it is not recorded. */
  placeOf(name: string): number {
    // A map wants to know a name's hash, which those of requests have not got: `accept` is as long as `origin`.
    const { length } = name;
    if (length > 31 || (this.lengthsByLetter[name.charCodeAt(0) & 31]! & (1 << length)) === 0) return -1;
    let place = this.places.get(name);
    if (place === undefined) {
      place = this.listed.get(name.toLowerCase()) ?? -1;
      // Names come from outside.
      if (this.places.size < 500) this.places.set(name, place);
    }
    return place;
  }

  /** All values of one header: a header may be repeated, an attribute may not. */
  private valuesOf(rawHeaders: readonly string[], first: number, place: number, capture: Capture): string[] {
    let values = this.valueOf(rawHeaders[first + 1] as string, place, capture);
    for (let index = first + 2; index + 1 < rawHeaders.length; index += 2) {
      if (this.placeOf(rawHeaders[index] as string) === place)
        values = values.concat(this.valueOf(rawHeaders[index + 1] as string, place, capture));
    }
    return values;
  }

  private valueOf(value: string, place: number, capture: Capture): string[] {
    const name = this.names[place] as string;
    const known = this.values[place];
    if (known === undefined) return [capture.header(name, value)];
    if (this.valuesFrom !== capture) {
      this.valuesFrom = capture;
      for (const values of this.values) values?.clear();
    }
    let recorded = known.get(value);
    if (recorded === undefined) {
      recorded = [capture.header(name, value)];
      if (known.size < MAX_VALUES && value.length < MAX_VALUES) known.set(value, recorded);
    }
    return recorded;
  }
}

/**
 * A message's header lines as they go out, as `[name, value, …]`, of those that are listed; empty before they are final. Read
 * from Node's own text of them, because headers given as an array, or to `writeHead` alone, are in no other place.
 */
export function sentHeaders(message: OutgoingMessage, { lines }: HeaderSelection): string[] {
  const { _header: text } = message as unknown as { _header?: string | null };
  const sent: string[] = [];
  if (typeof text !== "string") return sent;
  lines.lastIndex = 0;
  for (let line = lines.exec(text); line !== null; line = lines.exec(text)) {
    sent.push(line[1] as string, line[2] as string);
  }
  return sent;
}

/** The first value of a header in `[name, value, …]`; `name` in lower case. */
export function findHeader(rawHeaders: readonly string[], name: string): string | undefined {
  const { length } = name;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const candidate = rawHeaders[index] as string;
    if (candidate.length === length && candidate.toLowerCase() === name) return rawHeaders[index + 1];
  }
  return undefined;
}

/** Requests, sent and received. */
export const REQUEST_HEADERS: HeaderSelection = new HeaderSelection(HTTP_REQUEST_HEADER_PREFIX, [
  "content-type",
  "content-encoding",
  "idempotency-key",
  "origin",
  "referer",
  "x-correlation-id",
  "x-request-id",
]);

/** Responses, sent and received. */
export const RESPONSE_HEADERS: HeaderSelection = new HeaderSelection(HTTP_RESPONSE_HEADER_PREFIX, [
  "content-type",
  "cache-control",
  "content-encoding",
  "location",
  "retry-after",
  "x-correlation-id",
  "x-request-id",
]);
