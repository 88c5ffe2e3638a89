/** What a span's detail (`SpanColumns.detail`) says beyond its name: nothing where the name has it (`publish url-events`,
 *  `url-events`), the rest where it begins with the name (`SET`, `set url:x7k9m2`). */
export function shortDetail(name: string, detail: string): string {
  if (name === detail || name.endsWith(` ${detail}`)) return "";
  const begin = detail.slice(0, name.length + 1).toLowerCase();
  return begin === `${name.toLowerCase()} ` ? detail.slice(name.length + 1) : detail;
}
