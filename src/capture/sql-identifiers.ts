import { PARAMETER, tokenizeSql } from "./sql-tokens.ts";

/** What a table or column is called; not what a value looks like. */
const IDENTIFIER = /^[\p{L}_$][\p{L}\p{N}_$`-]{0,63}(?:\.(?:\*|[\p{L}_$][\p{L}\p{N}_$`-]{0,63})){0,2}$/u;
const MAX_CHARS = 16_384;

/**
 * A statement of the mysql drivers with the identifiers its `??` stand for, quoted as the drivers quote them, and the values
 * that are left for its `?`: only so is it known which column a value goes to. Undefined when nobody can be sure which value
 * belongs to which mark; then none of the values should be shown.
 */
export function fillIdentifiers(
  text: string,
  values: readonly unknown[],
): { text: string; values: unknown[] } | undefined {
  if (text.length > MAX_CHARS || text.includes("???")) return undefined;
  const { kinds, starts, ends, isComplete } = tokenizeSql(text, MAX_CHARS, "mysql");
  const left: unknown[] = [];
  let out = "";
  let done = 0;
  let marks = 0;
  let used = 0;
  for (let i = 0; i < kinds.length; i++) {
    const start = starts[i]!;
    if (kinds[i] !== PARAMETER || text.charCodeAt(start) !== 63) continue;
    const end = ends[i]!;
    if (used >= values.length) return undefined;
    const value = values[used++];
    marks += end - start;
    if (end - start === 1) {
      left.push(value);
      continue;
    }
    const identifier = quoteIdentifiers(value);
    if (text.charCodeAt(start + 1) !== 63 || identifier === undefined) return undefined;
    out += text.slice(done, start) + identifier;
    done = end;
  }
  // Older versions count the question marks in strings and comments, newer ones do not.
  if (!isComplete || marks !== text.split("?").length - 1) return undefined;
  return { text: out + text.slice(done), values: left.concat(values.slice(used)) };
}

function quoteIdentifiers(value: unknown): string | undefined {
  if (!Array.isArray(value)) return quoteIdentifier(value);
  const quoted = value.map(quoteIdentifier);
  return value.length > 0 && !quoted.includes(undefined) ? quoted.join(", ") : undefined;
}

function quoteIdentifier(value: unknown): string | undefined {
  if (typeof value !== "string" || !IDENTIFIER.test(value)) return undefined;
  return value
    .split(".")
    .map((part) => (part === "*" ? part : `\`${part.replaceAll("`", "``")}\``))
    .join(".");
}
