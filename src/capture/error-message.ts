import type { SensitiveNames } from "./names.ts";
import { REDACTED } from "./span.ts";

/**
 * Values that databases quote in their messages, where the column is named elsewhere in the sentence, or not at
 * all. Notations in which the name stands in front of the value are left to the redactor.
 */
export function redactDatabaseMessage(message: string, names: SensitiveNames): string {
  let clean = message;
  if (clean.includes(")=(")) clean = redactKeyDetail(clean, names);
  // PostgreSQL, not-null and check violations: the whole row, without its column names.
  if (clean.includes("Failing row contains (")) {
    clean = clean.replace(/(Failing row contains \()[\s\S]*?(\)\.?(?=\s*$|\s*\n\s+at )|$)/g, `$1${REDACTED}$2`);
  }
  // MySQL: Duplicate entry 'value' for key 'table.index'.
  if (clean.includes("Duplicate entry '")) {
    clean = clean.replace(
      /Duplicate entry '[\s\S]*?('(?: for key '([^']*)'?)|$)/g,
      (all: string, rest: string, index: string | undefined) =>
        index === undefined || names.has(index) ? `Duplicate entry '${REDACTED}${rest}` : all,
    );
  }
  // SQL Server: ... with unique index 'IX_Users_ResetToken'. The duplicate key value is (value).
  if (clean.includes("duplicate key value is (")) {
    const quoted = clean.match(/'[^'\n]{1,256}'/g) ?? [];
    if (quoted.some((name) => names.has(name))) {
      clean = clean.replace(/(duplicate key value is \().*/g, `$1${REDACTED})`);
    }
  }
  return clean;
}

const MAX_COLUMNS_CHARS = 1024;
const DETAIL_END = /\)(?= already exists| is not present| is still referenced| conflicts with|\.?\s*$)/g;

/** PostgreSQL: `Key (tenant_id, lower(token))=(1, abc) already exists.` A value may hold parentheses of its own. */
function redactKeyDetail(message: string, names: SensitiveNames): string {
  let out = "";
  let done = 0;
  for (let at = message.indexOf(")=("); at !== -1; at = message.indexOf(")=(", Math.max(done, at + 1))) {
    const before = message.slice(Math.max(done, at - MAX_COLUMNS_CHARS), at);
    const open = before.lastIndexOf("ey ("); // "Key (", "existing key ("
    if (open === -1) continue;
    const columns = before.slice(open + 4).split(/[(),\s]+/);
    if (!columns.some((column) => names.has(column))) continue;
    DETAIL_END.lastIndex = at + 3;
    const end = DETAIL_END.exec(message)?.index ?? message.length;
    out += `${message.slice(done, at + 3)}${REDACTED}`;
    done = end;
  }
  return out + message.slice(done);
}
