import type { MessagePort } from "node:worker_threads";
import type { Endpoint } from "./exchange.ts";

/** Bodies to send, one after another in `bytes`. */
export interface ExitJob {
  readonly bytes: SharedArrayBuffer;
  readonly batches: ReadonlyArray<{ readonly byteLength: number; readonly spanCount: number }>;
  /** `Date.now()` after which nobody waits for the outcome. */
  readonly deadline: number;
}

/** What became of a job. */
export interface ExitOutcome {
  readonly sentSpans: number;
  readonly lostSpans: number;
  /** Why the last ones were lost; "" when none were. */
  readonly reason: string;
}

/** What the worker is started with. */
export interface ExitWorkerData {
  readonly endpoint: Endpoint;
  /** Jobs come here and outcomes go back. */
  readonly port: MessagePort;
  /** One Int32: jobs done so far. The main thread sleeps on it. */
  readonly done: SharedArrayBuffer;
}
