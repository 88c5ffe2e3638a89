/** What an address shows. */
export interface Route {
  page: "traces" | "trace" | "services" | "not-found";
  /** Of page `trace`. */
  traceId?: string;
  params: URLSearchParams;
}

/** `/`, `/trace/<id>` and `/services`, with or without a slash at the end. */
export function parseRoute(path: string, search: string): Route {
  const params = new URLSearchParams(search);
  const trimmed = path.length > 1 ? path.replace(/\/+$/, "") : path;
  if (trimmed === "/" || trimmed === "") return { page: "traces", params };
  if (trimmed === "/services") return { page: "services", params };
  const traceId = /^\/trace\/([0-9a-f]{8,32})$/i.exec(trimmed)?.[1];
  if (traceId !== undefined) return { page: "trace", traceId: traceId.toLowerCase(), params };
  return { page: "not-found", params };
}

/** The query with changes made: null takes a name out, a text replaces all it had. Characters that mean nothing in a query
 *  stay readable. */
export function changedSearch(params: URLSearchParams, changes: Record<string, string | null>): string {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) next.delete(name);
    else next.set(name, value);
  }
  return toSearch(next);
}

/** `?a=b`, or nothing where there are no parameters. */
export function toSearch(params: URLSearchParams): string {
  const text = params.toString().replace(/%(?:3A|2F|3D|3E|3C|7E|21|2C|40)/g, (code) => decodeURIComponent(code));
  return text === "" ? "" : `?${text}`;
}
