import { valueText, type Attributes, type AttributeValue } from "../model/attributes.ts";
import type { SpanRecord } from "../model/span.ts";
import type { SqlStatement } from "../model/trace.ts";
import { dialectOf, type SqlDialect } from "./sql-dialect.ts";
import { formatSql, withTokens } from "./sql-format.ts";
import { NoLiteral, sqlIdentifier, sqlLiteral, type LiteralPlace } from "./sql-literal.ts";
import { tokenizeSql, type SqlToken } from "./sql-tokens.ts";

/** Followed by a position from 0 or a name. Source: OpenTelemetry semantic conventions 1.45, database spans. */
const PARAMETER_PREFIX = "db.query.parameter.";
/** Arrays of values, of instrumentations from before that convention. */
const PARAMETER_LISTS = ["db.postgresql.values", "db.statement.values"];
const OMITTED_PARAMETERS = "tracekit.db.omitted_parameters";
const ROW_COUNTS = /^(?:limit|offset|next|first|top)$/i;

interface Parameter {
  /** As in the attribute's key, without a sigil. */
  key: string;
  value: AttributeValue;
}

/** The statement of a database span; undefined for a span without one. */
export async function describeStatement({ attributes }: SpanRecord): Promise<SqlStatement | undefined> {
  const text = string(attributes, "db.query.text") ?? string(attributes, "db.statement");
  if (text === undefined || text.trim() === "") return undefined;
  const dialect = dialectOf(string(attributes, "db.system.name") ?? string(attributes, "db.system"), text);
  if (dialect === undefined) return undefined;

  const parameters = parametersOf(attributes);
  const { tokens, isComplete } = tokenizeSql(text, dialect);
  const formatted = isComplete ? await formatSql(text, tokens, dialect) : undefined;
  const shown = formatted ?? { text, tokens };
  const bindings = bind(shown.text, shown.tokens, dialect, parameters);
  const statement = { text, formatted: shown.text, parameters: named(parameters, bindings, shown.text) };
  const problem = isComplete && !text.endsWith("…") ? incompleteness(bindings, attributes) : "The statement was cut.";
  if (problem !== undefined) return { ...statement, notRunnable: problem };
  try {
    return { ...statement, runnable: fillIn(shown.text, shown.tokens, bindings, dialect) };
  } catch (error) {
    if (!(error instanceof NoLiteral)) throw error;
    return { ...statement, notRunnable: error.message };
  }
}

function parametersOf(attributes: Attributes): Parameter[] {
  const parameters: Parameter[] = [];
  for (const [key, value] of Object.entries(attributes)) {
    if (!key.startsWith(PARAMETER_PREFIX)) continue;
    parameters.push({ key: key.slice(PARAMETER_PREFIX.length).replace(/^[:@$]/, ""), value });
  }
  if (parameters.length === 0) {
    const list = PARAMETER_LISTS.map((key) => attributes[key]).find((value) => Array.isArray(value));
    return ((list ?? []) as readonly AttributeValue[]).map((value, index) => ({ key: String(index), value }));
  }
  const isPosition = ({ key }: Parameter): boolean => /^\d+$/.test(key);
  const positions = parameters.filter(isPosition).toSorted((a, b) => Number(a.key) - Number(b.key));
  // Some count from 1.
  const first = positions.some(({ key }) => key === "0") ? 0 : 1;
  return [
    ...positions.map(({ key, value }) => ({ key: String(Number(key) - first), value })),
    ...parameters.filter((parameter) => !isPosition(parameter)),
  ];
}

interface Binding {
  /** Index of the place among the tokens. */
  token: number;
  /** Of the parameter that belongs there. */
  key: string;
  /** Undefined when it was not sent. */
  parameter: Parameter | undefined;
  place: string;
}

interface Bindings {
  bound: readonly Binding[];
  /** Marks that stand for literals the sender has left out, rather than for parameters. */
  leftOut: number;
  /** Positional parameters that were sent. */
  sentPositions: number;
}

/** Which parameter belongs to which place. */
function bind(
  text: string,
  tokens: readonly SqlToken[],
  { family }: SqlDialect,
  parameters: readonly Parameter[],
): Bindings {
  const byKey = new Map(parameters.map((parameter) => [parameter.key, parameter]));
  const places = tokens
    .map(({ kind, start, end }, token) => ({ kind, token, place: text.slice(start, end) }))
    .filter(({ kind }) => kind === "place");
  const isNumbered = places.some(({ place }) => /^\$\d/.test(place));
  const bound: Binding[] = [];
  let leftOut = 0;
  let position = 0;
  for (const { token, place } of places) {
    const name = /^(?:[:@$]|%\()([A-Za-z_][^)]*)/.exec(place)?.[1];
    if (name === undefined) {
      const number = /^[$?:](\d+)$/.exec(place)?.[1];
      // A statement has parameters of one kind.
      if (number === undefined && isNumbered) leftOut++;
      else {
        const key = String(number === undefined ? position++ : Number(number) - 1);
        bound.push({ token, key, parameter: byKey.get(key), place });
      }
      continue;
    }
    const parameter = byKey.get(name);
    if (parameter === undefined && isVariable(place, text, family)) continue;
    bound.push({ token, key: name, parameter, place });
  }
  const sentPositions = parameters.filter(({ key }) => /^\d+$/.test(key)).length;
  return { bound, leftOut, sentPositions };
}

/** `@name` may be the session's, or declared in the statement; PostgreSQL's `@` is an operator. */
function isVariable(place: string, text: string, family: SqlDialect["family"]): boolean {
  if (!place.startsWith("@")) return false;
  if (family !== "mssql") return family !== "sqlite";
  return new RegExp(`\\bdeclare\\b[^;]*${place}\\b`, "i").test(text);
}

/** Why not all places can be filled in; undefined when they can. */
function incompleteness({ bound, leftOut, sentPositions }: Bindings, attributes: Attributes): string | undefined {
  if (leftOut > 0) return "Literals of the statement were left out by the sender.";
  const missing = bound.filter(({ parameter }) => parameter === undefined);
  if (missing.length > 0) {
    const omitted = attributes[OMITTED_PARAMETERS];
    if (typeof omitted === "number" && omitted > 0)
      return `${omitted} of the values ${omitted === 1 ? "was" : "were"} not sent: there are too many, or they are too long.`;
    const first = missing[0]?.place;
    if (missing.length === bound.length)
      return first === "?" ? "The sender left out literals or values." : "The values were not sent.";
    return /^(?:\?|%s)/.test(first ?? "")
      ? `${countOf(bound.length, "place")}, but ${countOf(bound.length - missing.length, "value")}: the sender left out literals or values.`
      : `The value of ${first} was not sent.`;
  }
  const positions = new Set(bound.filter(({ key }) => /^\d+$/.test(key)).map(({ key }) => key));
  if (bound.some(({ place }) => place === "?" || place === "%s") && sentPositions > positions.size)
    return `${countOf(positions.size, "place")}, but ${countOf(sentPositions, "value")}.`;
  return undefined;
}

function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function fillIn(text: string, tokens: readonly SqlToken[], { bound }: Bindings, dialect: SqlDialect): string {
  const replacements = tokens.map(({ start, end }) => text.slice(start, end));
  for (const { token, parameter, place, key } of bound) {
    const value = parameter?.value ?? null;
    try {
      replacements[token] =
        place === "??" ? sqlIdentifier(value) : sqlLiteral(value, dialect, placeOf(text, tokens, token));
    } catch (error) {
      if (!(error instanceof NoLiteral)) throw error;
      const name = place.startsWith("?") || place === "%s" ? `parameter ${Number(key) + 1}` : place;
      throw new NoLiteral(`The value of ${name} ${error.message}.`);
    }
  }
  return withTokens(text, tokens, replacements);
}

function placeOf(text: string, tokens: readonly SqlToken[], index: number): LiteralPlace {
  const at = (offset: number): string => {
    const token = tokens[index + offset];
    return token === undefined ? "" : text.slice(token.start, token.end);
  };
  const { start, end } = tokens[index] as SqlToken;
  const isArgument = at(-1) === "(";
  return {
    isRowCount: ROW_COUNTS.test(at(-1)),
    isList: isArgument && /^in$/i.test(at(-2)) && at(1) === ")",
    isArray:
      (isArgument && /^(?:any|all|some|unnest|array_length|cardinality)$/i.test(at(-2))) ||
      /^\s*::\s*[\w. "]+(?:\([\d, ]*\))?\s*\[\s*\]/.test(text.slice(end, end + 80)),
    before: text[start - 1] ?? "",
  };
}

/** Parameters by the places they have in the statement. */
function named(parameters: readonly Parameter[], { bound }: Bindings, text: string): SqlStatement["parameters"] {
  const places = new Map(bound.map(({ key, place }) => [key, place]));
  const isNumbered = /\$\d/.test(text);
  return parameters.map(({ key, value }) => {
    const place = places.get(key);
    if (place !== undefined && /^(?:[$:@]|\?\d)/.test(place)) return { name: place, value };
    if (place?.startsWith("%(")) return { name: key, value };
    if (!/^\d+$/.test(key)) return { name: key, value };
    return { name: isNumbered ? `$${Number(key) + 1}` : String(Number(key) + 1), value };
  });
}

function string(attributes: Attributes, key: string): string | undefined {
  const value = attributes[key];
  return value === undefined || value === null ? undefined : valueText(value);
}
