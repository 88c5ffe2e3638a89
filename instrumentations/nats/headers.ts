import type { Kit } from "../../src/instrumentation/kit.ts";
import { type Carrier, PUBLISHED_AT } from "../shared/messaging.ts";

/** NATS headers, whatever the library's version. */
export interface NatsHeaders {
  get(key: string): string;
  encode(): Uint8Array;
  readonly code?: number;
}

const FIRST_LINE = "NATS/1.0";
const END = "\r\n\r\n";

/** What the library writes for headers, with ours among it: neither the application's object nor the library's is touched. */
export class HeadersWithContext {
  private readonly given: NatsHeaders | undefined;
  private readonly carrier: Carrier;

  constructor(given: NatsHeaders | undefined, carrier: Carrier) {
    this.given = given;
    this.carrier = carrier;
  }

  encode(): Uint8Array {
    const given = this.given?.encode();
    const text = given === undefined || given.length === 0 ? FIRST_LINE + END : Buffer.from(given).toString();
    if (!text.endsWith(END)) return given as Uint8Array;
    // Headers that came with another message carry that one's context.
    const lines = text
      .slice(0, -END.length)
      .split("\r\n")
      .filter((line) => !(nameOf(line) in this.carrier));
    for (const key in this.carrier) lines.push(`${key}: ${this.carrier[key]}`);
    return Buffer.from(lines.join("\r\n") + END);
  }
}

function nameOf(line: string): string {
  return line.slice(0, line.indexOf(":")).toLowerCase();
}

/** At most as many bytes as the context takes beside the payload. */
export function sizeOfContext(carrier: Carrier): number {
  let size = FIRST_LINE.length + END.length;
  for (const key in carrier) size += key.length + (carrier[key] as string).length + 4;
  return size;
}

/** The headers of a message that are ours. Other clients may write them as in HTTP, and so did this one until 2.2. */
export function carrierIn(headers: NatsHeaders | undefined, kit: Kit): Carrier | undefined {
  if (headers === undefined || headers === null) return undefined;
  const carrier: Carrier = {};
  for (const key of [...kit.tracing.propagator.fields(), PUBLISHED_AT]) {
    const value = headers.get(key) || headers.get(toHttpCase(key));
    if (value) carrier[key] = value;
  }
  return carrier;
}

function toHttpCase(key: string): string {
  return key.replace(/(?:^|-)[a-z]/g, (letter) => letter.toUpperCase());
}
