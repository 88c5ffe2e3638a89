import type { TextMapGetter } from "@opentelemetry/api";

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
