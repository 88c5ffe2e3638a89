/** What a span's detail (`SpanColumns.detail`) says beyond its name: nothing where the name has it (`publish url-events`,
 *  `url-events`), the rest where it begins with the name (`SET`, `set url:x7k9m2`) or its last word (`POST /track`,
 *  `/track → 202`). */
export function shortDetail(name: string, detail: string): string {
  const lastWord = name.slice(name.lastIndexOf(" ") + 1);
  return withoutBegin(withoutBegin(detail, name), lastWord);
}

function withoutBegin(detail: string, words: string): string {
  if (detail === words) return "";
  const begin = detail.slice(0, words.length + 1).toLowerCase();
  return words !== "" && begin === `${words.toLowerCase()} ` ? detail.slice(words.length + 1) : detail;
}
