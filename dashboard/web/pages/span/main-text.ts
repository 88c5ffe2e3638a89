import type { SpanDetail } from "../../../src/model/trace.ts";
import { toCurl } from "./curl.ts";
import { readHttpExchange } from "./http-exchange.ts";
import { readCacheFacts, readDatabaseFacts, readMessageFacts } from "./operation-facts.ts";

/** What one would copy of a span, and how it is called: the statement, the request, the key, the payload, the stack. */
export function mainTextOf(detail: SpanDetail): { what: string; text: string } {
  const { span, sql, stacks, category } = detail;
  if (sql?.runnable !== undefined) return { what: "the runnable statement", text: sql.runnable };
  if (sql !== undefined) return { what: "the statement", text: sql.formatted };
  if (category === "cache") {
    const { keys, command } = readCacheFacts(span);
    if (keys.length > 0) return { what: keys.length === 1 ? "the key" : "the keys", text: keys.join("\n") };
    if (command !== undefined) return { what: "the command", text: command };
  }
  const { body } = readMessageFacts(span);
  if (body !== undefined) return { what: "the payload", text: body };
  const exchange = readHttpExchange(span);
  if (exchange !== undefined) return { what: "the request as curl", text: toCurl(exchange).command };
  const { text } = readDatabaseFacts(span);
  if (text !== undefined) return { what: "the command", text };
  const stack = stacks.find(({ raw }) => raw !== "");
  if (stack !== undefined) return { what: "the stack", text: stack.raw };
  return { what: "the name", text: span.name };
}
