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

  refuse(reason: string): void {
    this.refusedRequests++;
    this.lastRefusal = reason;
  }

  received(evictedTraces: number): Received {
    const { requests, spans, logs, refusedRequests, lastRefusal, rejectedSpans, busyRequests } = this;
    const refusal = lastRefusal === undefined ? {} : { lastRefusal };
    return { requests, spans, logs, refusedRequests, ...refusal, rejectedSpans, busyRequests, evictedTraces };
  }
}
