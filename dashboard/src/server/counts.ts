import type { Received } from "../model/api.ts";

/** What senders sent since the start, as `Status` tells it. */
export class Counts {
  requests = 0;
  spans = 0;
  logs = 0;
  refusedRequests = 0;
  lastRefusal: string | undefined = undefined;
  rejectedSpans = 0;
  busyRequests = 0;
  metricsRequests = 0;

  refuse(reason: string): void {
    this.refusedRequests++;
    this.lastRefusal = reason;
  }

  received(evictedTraces: number): Received {
    const { lastRefusal, ...counts } = this;
    const refusal = lastRefusal === undefined ? {} : { lastRefusal };
    return { ...counts, ...refusal, evictedTraces };
  }
}
