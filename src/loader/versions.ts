/** `[major, minor, patch]` of "8.23.1" or "5.0.0-beta.2"; pre-release and build parts are ignored. Undefined when it is no version. */
function parseVersion(version: string): [number, number, number] | undefined {
  const match = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?/.exec(version);
  return match === null ? undefined : [Number(match[1]), Number(match[2] ?? 0), Number(match[3] ?? 0)];
}

/** Is `version` within `range`: comparators that all hold (">=8.0.3 <9"), alternatives with "||"? A version that is none is never. */
export function satisfies(version: string, range: string): boolean {
  const actual = parseVersion(version);
  if (actual === undefined) return false;
  return range.split("||").some((alternative) =>
    alternative
      .trim()
      .split(/\s+/)
      .every((comparator) => {
        const match = /^(>=|<=|>|<|=)?(\d.*)$/.exec(comparator);
        const bound = match === null ? undefined : parseVersion(match[2] as string);
        if (match === null || bound === undefined) return false;
        const order = actual[0] - bound[0] || actual[1] - bound[1] || actual[2] - bound[2];
        switch (match[1]) {
          case ">=":
            return order >= 0;
          case "<=":
            return order <= 0;
          case ">":
            return order > 0;
          case "<":
            return order < 0;
          default:
            return order === 0;
        }
      }),
  );
}
