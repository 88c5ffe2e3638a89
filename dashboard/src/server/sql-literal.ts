import { plainValue, type AttributeValue } from "../model/attributes.ts";
import type { SqlDialect } from "./sql-dialect.ts";

/** A value cannot be written: what is wrong with it, to be read after "The value of $1". */
export class NoLiteral extends Error {}

export interface LiteralPlace {
  /** After LIMIT and its like, where some databases want a number and no string. */
  isRowCount: boolean;
  /** `IN (?)`, where drivers write a list. */
  isList: boolean;
  /** `= ANY($1)`, `$1::int[]`: PostgreSQL wants an array, which senders write as JSON. */
  isArray: boolean;
  /** The character right before it. */
  before: string;
}

const INTEGER = /^-?(?:0|[1-9]\d{0,17})$/;
const NUMBER = /^-?(?:0|[1-9]\d{0,17})(?:\.\d{1,17})?$/;

/**
 * A value as the dialect writes it. Senders give the text a driver sends (`42`, `null`, `true`), so a quoted text is right
 * wherever the database finds the type itself, as PostgreSQL and MySQL do; what needs more is decided by the place.
 * Throws `NoLiteral`.
 */
export function sqlLiteral(value: AttributeValue, dialect: SqlDialect, place: LiteralPlace): string {
  if (value === null) return "NULL";
  switch (typeof value) {
    case "number":
      return number(String(value), place);
    case "boolean":
      return boolean(value, dialect);
    case "string":
      return text(value, dialect, place);
  }
  if (Array.isArray(value)) return array(value.map(plainValue), dialect, place);
  if ("$int" in value) return number(value.$int, place);
  if ("$double" in value) {
    if (typeof value.$double === "number") return number(String(value.$double), place);
    return quote(value.$double, dialect);
  }
  if ("$bytes" in value) return bytes(Buffer.from(value.$bytes, "base64"), dialect);
  return quote(JSON.stringify(plainValue(value)), dialect);
}

function text(value: string, dialect: SqlDialect, place: LiteralPlace): string {
  if (value.includes("REDACTED")) throw new NoLiteral("is redacted");
  if (value.endsWith("…")) throw new NoLiteral("was cut");
  if (/^<Buffer \d+ bytes>$/.test(value)) throw new NoLiteral("is binary data, of which only the size was sent");
  if (/^\[(?:Unreadable|Symbol|Function|Circular|Object)\]$/.test(value)) throw new NoLiteral("was not sent");
  // A text of these very letters is rarer than the value.
  if (value === "null") return "NULL";
  if ((value === "true" || value === "false") && dialect.family === "mysql") return value.toUpperCase();
  if (place.isRowCount && INTEGER.test(value)) return value;
  // The type belongs to the value there, and a column that wants text makes one of a number.
  if (dialect.family === "sqlite" && NUMBER.test(value)) return number(value, place);
  if (value.startsWith("[") && (place.isArray || place.isList)) {
    const values = parseArray(value);
    if (values !== undefined) return array(values, dialect, place);
  }
  return quote(value, dialect);
}

/** `a-?` and -5 must not become a comment. */
function number(digits: string, { before }: LiteralPlace): string {
  return digits.startsWith("-") && /[-+\w]/.test(before) ? `(${digits})` : digits;
}

function boolean(value: boolean, { family }: SqlDialect): string {
  if (family === "mssql" || family === "oracle" || family === "sqlite") return value ? "1" : "0";
  return value ? "TRUE" : "FALSE";
}

function bytes(value: Buffer, { family }: SqlDialect): string {
  const hex = value.toString("hex");
  if (family === "postgresql") return `'\\x${hex}'::bytea`;
  if (family === "mssql") return `0x${hex}`;
  if (family === "oracle") return `HEXTORAW('${hex}')`;
  return `X'${hex}'`;
}

function array(values: readonly unknown[], dialect: SqlDialect, place: LiteralPlace): string {
  if (dialect.family === "postgresql" && place.isArray) return quote(postgresArray(values), dialect);
  if (place.isList && values.length > 0)
    return values.map((value) => sqlLiteral(scalar(value), dialect, { ...place, isList: false })).join(", ");
  return quote(JSON.stringify(values), dialect);
}

function scalar(value: unknown): AttributeValue {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean")
    return value;
  return JSON.stringify(value);
}

function postgresArray(values: readonly unknown[]): string {
  const elements = values.map((value) => {
    if (value === null) return "NULL";
    if (Array.isArray(value)) return postgresArray(value);
    const element = typeof value === "object" ? JSON.stringify(value) : String(value);
    if (element.includes("REDACTED")) throw new NoLiteral("is redacted");
    return typeof value === "string" || typeof value === "object"
      ? `"${element.replaceAll(/["\\]/g, "\\$&")}"`
      : element;
  });
  return `{${elements.join(",")}}`;
}

function parseArray(json: string): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function quote(value: string, { family, hasBackslashes }: SqlDialect): string {
  if (value.includes("\0")) throw new NoLiteral("holds a zero character, which no literal can");
  const doubled = value.replaceAll("'", "''");
  if (hasBackslashes) return `'${doubled.replaceAll("\\", "\\\\")}'`;
  if (!doubled.includes("\\") && family !== "mssql") return `'${doubled}'`;
  // The same under either setting of standard_conforming_strings.
  if (family === "postgresql") return `E'${doubled.replaceAll("\\", "\\\\")}'`;
  // Without the prefix, what the database's code page does not have becomes a question mark.
  // eslint-disable-next-line no-control-regex
  return family === "mssql" && /[^\x00-\x7f]/.test(value) ? `N'${doubled}'` : `'${doubled}'`;
}

/** An identifier, for mysql's `??`. */
export function sqlIdentifier(value: AttributeValue): string {
  if (typeof value !== "string" || value.includes("REDACTED") || value.endsWith("…") || value.includes("\0"))
    throw new NoLiteral("is no name");
  return value
    .split(".")
    .map((part) => `\`${part.replaceAll("`", "``")}\``)
    .join(".");
}
