import type { Context, TextMapGetter, TextMapPropagator, TextMapSetter } from "@opentelemetry/api";
import type { FastBuffer } from "../node-buffer.ts";
import { Baggage, serializeBaggage } from "./baggage.ts";
import { TraceContext } from "./context.ts";
import { hexToWord } from "./ids.ts";
import { PropagatedSpan, type SpanIdentity } from "./span.ts";
import { identityOf } from "./tracer.ts";
import { TraceState } from "./trace-state.ts";

const TRACEPARENT = "traceparent";
const TRACESTATE = "tracestate";
const BAGGAGE = "baggage";

const TRACEPARENT_LENGTH = 55;
/** Filled anew for every header: one copy out of it is cheaper than joining twenty short strings. */
const traceparent = Buffer.alloc(TRACEPARENT_LENGTH, "00-") as FastBuffer;
const HEX_DIGITS = Buffer.from("0123456789abcdef");

/** `00-<trace id>-<span id>-<flags>`. Source: W3C trace context level 2, §3.2. */
export function formatTraceparent(span: SpanIdentity): string {
  writeHex(span.traceWord0, 3);
  writeHex(span.traceWord1, 11);
  writeHex(span.traceWord2, 19);
  writeHex(span.traceWord3, 27);
  traceparent[35] = 45;
  writeHex(span.spanWord0, 36);
  writeHex(span.spanWord1, 44);
  traceparent[52] = 45;
  traceparent[53] = 48;
  traceparent[54] = 48 + (span.flags & 3);
  return traceparent.latin1Slice(0, TRACEPARENT_LENGTH);
}

function writeHex(word: number, at: number): void {
  for (let digit = 0; digit < 8; digit++) {
    traceparent[at + digit] = HEX_DIGITS[(word >>> (28 - digit * 4)) & 15] as number;
  }
}

/** The remote parent a `traceparent` names, or undefined when it is malformed (§3.2.2, §4.3): then a new trace starts. */
export function parseTraceparent(header: string, tracestate: string | undefined): PropagatedSpan | undefined {
  const length = header.length;
  if (length < 55 || header.charCodeAt(2) !== 45 || header.charCodeAt(35) !== 45 || header.charCodeAt(52) !== 45)
    return undefined;
  const isVersion0 = header.startsWith("00");
  // A later version may append fields after another dash; version ff is invalid, and version 00 has nothing more.
  if (isVersion0 ? length !== 55 : length > 55 && header.charCodeAt(55) !== 45) return undefined;
  const version = parseByte(header, 0);
  const flags = parseByte(header, 53);
  if (version === -1 || version === 255 || flags === -1) return undefined;
  const t0 = hexToWord(header, 3);
  const t1 = hexToWord(header, 11);
  const t2 = hexToWord(header, 19);
  const t3 = hexToWord(header, 27);
  const s0 = hexToWord(header, 36);
  const s1 = hexToWord(header, 44);
  if (Number.isNaN(t0 + t1 + t2 + t3 + s0 + s1) || (t0 | t1 | t2 | t3) === 0 || (s0 | s1) === 0) return undefined;
  const traceState = tracestate === undefined || tracestate === "" ? undefined : TraceState.parse(tracestate);
  return new PropagatedSpan(t0, t1, t2, t3, s0, s1, flags & 3, traceState, true);
}

function parseByte(text: string, offset: number): number {
  const byte = text.slice(offset, offset + 2);
  return /^[0-9a-f]{2}$/.test(byte) ? Number.parseInt(byte, 16) : -1;
}

/** Repeated headers arrive as arrays: one `traceparent` is required, lists of the other two may be joined. */
function joined(value: undefined | string | string[]): string | undefined {
  return Array.isArray(value) ? value.join(",") : value;
}

/** `traceparent` and `tracestate`. */
export const traceContextPropagator: TextMapPropagator = {
  inject(context: Context, carrier: unknown, setter: TextMapSetter): void {
    const active = TraceContext.from(context);
    const span = identityOf(active.span);
    if (span === undefined) return;
    setter.set(carrier, TRACEPARENT, formatTraceparent(span));
    if (span.traceState !== undefined) setter.set(carrier, TRACESTATE, span.traceState.serialize());
  },
  extract(context: Context, carrier: unknown, getter: TextMapGetter): Context {
    const value = getter.get(carrier, TRACEPARENT);
    const header = Array.isArray(value) ? (value.length === 1 ? value[0] : undefined) : value;
    if (typeof header !== "string") return context;
    const parent = parseTraceparent(header, joined(getter.get(carrier, TRACESTATE)));
    return parent === undefined ? context : TraceContext.from(context).withSpan(parent);
  },
  fields(): string[] {
    return [TRACEPARENT, TRACESTATE];
  },
};

/** `baggage`. */
export const baggagePropagator: TextMapPropagator = {
  inject(context: Context, carrier: unknown, setter: TextMapSetter): void {
    const { baggage } = TraceContext.from(context);
    if (baggage === undefined) return;
    const header = serializeBaggage(baggage);
    if (header !== "") setter.set(carrier, BAGGAGE, header);
  },
  extract(context: Context, carrier: unknown, getter: TextMapGetter): Context {
    const header = joined(getter.get(carrier, BAGGAGE));
    const baggage = header === undefined ? undefined : Baggage.parse(header);
    return baggage === undefined ? context : TraceContext.from(context).withBaggage(baggage);
  },
  fields(): string[] {
    return [BAGGAGE];
  },
};

/** All of `propagators`, in order; one that throws is skipped, and the others still work. */
export function compositePropagator(propagators: readonly TextMapPropagator[]): TextMapPropagator {
  if (propagators.length === 1) return propagators[0] as TextMapPropagator;
  return {
    inject(context, carrier, setter) {
      for (const propagator of propagators) {
        try {
          propagator.inject(context, carrier, setter);
        } catch {
          // A hostile carrier or header is nobody's reason to fail a request.
        }
      }
    },
    extract(context, carrier, getter) {
      let extracted = context;
      for (const propagator of propagators) {
        try {
          extracted = propagator.extract(extracted, carrier, getter);
        } catch {
          // As above.
        }
      }
      return extracted;
    },
    fields: () => propagators.flatMap((propagator) => propagator.fields()),
  };
}
