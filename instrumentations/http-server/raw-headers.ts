import type { TextMapGetter, TextMapPropagator } from "@opentelemetry/api";

/** Bit n: one of the propagator's headers has a name of n characters. */
export function lengthsOfContextHeaders(propagator: TextMapPropagator): number {
  let lengths = 0;
  for (const name of propagator.fields()) {
    // Nothing without its `traceparent`, and as long as `user-agent`.
    if (name !== "tracestate") lengths |= 1 << Math.min(name.length, 31);
  }
  return lengths;
}

/** False for most requests that come from outside, without a look at any name. */
export function mayCarryContext(rawHeaders: readonly string[], lengths: number): boolean {
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const { length } = rawHeaders[index] as string;
    if ((lengths & (1 << (length < 31 ? length : 31))) !== 0) return true;
  }
  return false;
}

/** Reads `[name, value, …]`, names in any case. */
export const rawHeadersGetter: TextMapGetter<readonly string[]> = {
  keys: (rawHeaders) => rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase()),
  get(rawHeaders, key) {
    const wanted = key.toLowerCase();
    let found: string | string[] | undefined;
    for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
      const name = rawHeaders[index] as string;
      if (name.length !== wanted.length || (name !== wanted && name.toLowerCase() !== wanted)) continue;
      const value = rawHeaders[index + 1] as string;
      if (found === undefined) found = value;
      else if (typeof found === "string") found = [found, value];
      else found.push(value);
    }
    return found;
  },
};
