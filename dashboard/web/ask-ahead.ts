import type { TraceDetail } from "../src/model/trace.ts";
import { api } from "./api.ts";

let asked: { traceId: string; answer: Promise<TraceDetail> } | undefined;

/** Asks for the trace of the address while the script that shows it is on its way. */
export function askAhead(traceId: string): void {
  const answer = api.trace(traceId);
  // Told to whoever takes it.
  answer.catch(() => {});
  asked = { traceId, answer };
}

/** What was asked, once. */
export function takeAsked(traceId: string): Promise<TraceDetail> | undefined {
  const taken = asked;
  asked = undefined;
  return taken?.traceId === traceId ? taken.answer : undefined;
}
