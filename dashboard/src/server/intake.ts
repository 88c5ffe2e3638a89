import type { IngestResult, Payload, PayloadFormat, Store } from "../store/store.ts";
import { type Body, ByteBudget } from "./body.ts";
import type { Counts } from "./counts.ts";
import { HttpError, SenderGone, toHttpError } from "./http-error.ts";
import type { Limits } from "./limits.ts";

export type Kept = Extract<IngestResult, { outcome: "kept" }>;

/** What a sender's request becomes, whatever protocol it came in: kept or not, and counted. */
export class Intake {
  readonly #store: Store;
  readonly #counts: Counts;
  readonly #budget: ByteBudget;
  readonly #onMetrics: () => void;

  /** `onMetrics` is called once, at the first request with metrics. */
  constructor(store: Store, counts: Counts, limits: Limits, onMetrics: () => void = () => {}) {
    this.#store = store;
    this.#counts = counts;
    this.#budget = new ByteBudget(limits.maxBytesInFlight);
    this.#onMetrics = onMetrics;
  }

  /** `read` takes its bytes from the budget that all senders share, and `path` names the request where it is refused. Throws an
   *  `HttpError`, or `SenderGone` when nobody is there to be told. */
  async keep(
    path: string,
    signal: Payload["signal"],
    read: (budget: ByteBudget) => Promise<{ format: PayloadFormat; body: Body }>,
  ): Promise<Kept> {
    this.#counts.requests++;
    try {
      const { format, body } = await read(this.#budget);
      try {
        const result = kept(await this.#store.ingest({ signal, format, body: body.bytes }));
        this.#counts.spans += result.spans;
        this.#counts.logs += result.logs;
        this.#counts.rejectedSpans += result.rejected;
        return result;
      } finally {
        body.release();
      }
    } catch (error) {
      const failure = error instanceof SenderGone ? error : toHttpError(error);
      const isBusy = failure instanceof HttpError && (failure.code === "store_busy" || failure.code === "store_full");
      if (isBusy) this.#counts.busyRequests++;
      else this.#counts.refuse(`${path}: ${failure.message}`);
      throw failure;
    }
  }

  /** Metrics are not kept, and their sender is not told to stop: an SDK that is set up for every signal would report an error each
   *  minute, in the application's log. */
  ignoreMetrics(): void {
    if (this.#counts.metricsRequests++ === 0) this.#onMetrics();
  }
}

function kept(result: IngestResult): Kept {
  switch (result.outcome) {
    case "kept":
      return result;
    case "malformed":
      throw new HttpError("bad_request", result.reason);
    case "busy":
      throw new HttpError("store_busy", result.reason, { "retry-after": "1" });
    case "full":
      throw new HttpError("store_full", result.reason, { "retry-after": "30" });
  }
}
