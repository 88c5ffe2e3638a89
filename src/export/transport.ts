import { counters, diag } from "../diag/diag.ts";
import type { Answer } from "./answer.ts";
import type { Batch } from "./batch.ts";
import { createExchange } from "./create-exchange.ts";
import { type Endpoint, type Exchange, MAX_CONCURRENT_REQUESTS } from "./exchange.ts";
import { startTimer, stopTimer } from "./timers.ts";

/** Those of the official exporter: five retries, 1 s apart at first and 5 s at most, ±20 %. */
const MAX_RETRIES = 5;
const FIRST_BACKOFF_MILLIS = 1000;
const BACKOFF_FACTOR = 1.5;
const MAX_BACKOFF_MILLIS = 5000;
const JITTER = 0.2;

/** A `Retry-After` beyond this is taken for this. */
const MAX_PAUSE_MILLIS = 5 * 60_000;

/** A backend that comes and goes is spoken of once in this time. */
const QUIET_MILLIS = 60_000;

/** `isClean`: the backend has the batch, and nothing holds its bytes any more. */
export type Settled = (isClean: boolean) => void;

interface Flight {
  readonly batch: Batch;
  readonly settled: Settled;
  readonly deadline: number;
  readonly overdue: NodeJS.Timeout;
  retries: number;
  timer: NodeJS.Timeout | undefined;
  request: { cancel(): void } | undefined;
}

/**
 * Sends batches, each until it is accepted, refused or out of time; counts what became of their spans, and says in plain words
 * when a backend takes none and when it does again. While it takes none, one batch at a time asks whether it is back and
 * the others stay in the queue. To be called outside every request (`outside.ts`).
 */
export class Transport {
  private readonly createEndpoint: () => Endpoint;
  private readonly timeoutMillis: number;
  /** Of the endpoint, without credentials. */
  private readonly shownUrl: string;
  private readonly onReady: () => void;
  private readonly flights = new Set<Flight>();
  private exchange: Exchange | undefined;
  private cachedEndpoint: Endpoint | undefined;
  private isFailing = false;
  /** When the last message that it cannot be reached was written; undefined when it is back or never was away. */
  private saidAt: number | undefined;
  private lastSaidAt = -Infinity;
  private lostBefore = 0;
  private pausedUntil = 0;
  private pause: NodeJS.Timeout | undefined;

  /** `onReady` is called when `isReady` turns true without a batch having been settled. */
  constructor(createEndpoint: () => Endpoint, timeoutMillis: number, shownUrl: string, onReady: () => void) {
    this.createEndpoint = createEndpoint;
    this.timeoutMillis = timeoutMillis;
    this.shownUrl = shownUrl;
    this.onReady = onReady;
  }

  /** Whether another batch may be sent now. */
  get isReady(): boolean {
    return this.pause === undefined && this.flights.size < (this.isFailing ? 1 : MAX_CONCURRENT_REQUESTS);
  }

  /** Whether the user knows already that nothing arrives. */
  get isSaidToFail(): boolean {
    return this.saidAt !== undefined;
  }

  get endpoint(): Endpoint {
    return (this.cachedEndpoint ??= this.createEndpoint());
  }

  send(batch: Batch, settled: Settled): void {
    const flight: Flight = {
      batch,
      settled,
      deadline: performance.now() + this.timeoutMillis,
      overdue: startTimer(() => {
        flight.request?.cancel();
        this.isFailing = true;
        this.giveUp(flight, `no answer within ${this.timeoutMillis} ms`);
      }, this.timeoutMillis),
      retries: 0,
      timer: undefined,
      request: undefined,
    };
    flight.overdue.unref();
    this.flights.add(flight);
    this.attempt(flight);
  }

  /** Gives up what is under way. */
  close(): void {
    for (const flight of this.flights) {
      flight.request?.cancel();
      this.drop(flight);
    }
    stopTimer(this.pause);
    this.exchange?.close();
  }

  private attempt(flight: Flight): void {
    try {
      this.exchange ??= createExchange(this.endpoint);
    } catch (error) {
      this.onAnswer(flight, { kind: "refused", reason: String(error) });
      return;
    }
    flight.request = this.exchange.send(flight.batch.body, (answer) => this.onAnswer(flight, answer));
  }

  private onAnswer(flight: Flight, answer: Answer): void {
    if (!this.flights.has(flight)) return;
    if (answer.kind === "accepted") this.onAccepted(flight, answer);
    else if (answer.kind === "refused") this.onRefused(flight, answer.reason);
    else this.onLater(flight, answer);
  }

  private onAccepted(flight: Flight, { rejectedSpans, message }: Extract<Answer, { kind: "accepted" }>): void {
    const rejected = Math.min(rejectedSpans, flight.batch.spanCount);
    counters.exportedSpans += flight.batch.spanCount - rejected;
    counters.rejectedSpans += rejected;
    if (rejected > 0) {
      diag.warnOnce(
        "export-rejected",
        `the backend at ${this.shownUrl} rejected ${rejected} of ${flight.batch.spanCount} spans: ${this.withoutSecrets(message)}`,
      );
    } else if (message !== "") {
      diag.warnOnce("export-remark", `the backend at ${this.shownUrl} says: ${this.withoutSecrets(message)}`);
    }
    this.isFailing = false;
    if (this.saidAt !== undefined) {
      this.saidAt = undefined;
      const lost = counters.droppedSpans - this.lostBefore;
      diag.info(
        `the backend at ${this.shownUrl} takes traces again${lost > 0 ? `; ${lost} spans were lost meanwhile` : ""}`,
      );
    }
    this.settle(flight, true);
  }

  private onRefused(flight: Flight, reason: string): void {
    counters.failedExports++;
    // One message a kind of refusal, which its first word is: the status.
    diag.warnOnce(
      `export-refused-${reason.slice(0, 3)}`,
      `the backend at ${this.shownUrl} refused ${flight.batch.spanCount} spans, which are lost: ${this.withoutSecrets(reason)}`,
    );
    this.drop(flight);
  }

  private onLater(flight: Flight, { reason, afterMillis, isUnreachable }: Extract<Answer, { kind: "later" }>): void {
    this.isFailing = true;
    if (isUnreachable) this.sayFailing(reason);
    if (afterMillis !== undefined) this.pauseFor(afterMillis);
    const backoff =
      Math.min(FIRST_BACKOFF_MILLIS * BACKOFF_FACTOR ** flight.retries, MAX_BACKOFF_MILLIS) *
      (1 - JITTER + Math.random() * 2 * JITTER);
    const delay = Math.max(afterMillis ?? backoff, this.pausedUntil - performance.now());
    if (flight.retries >= MAX_RETRIES || performance.now() + delay >= flight.deadline) {
      this.giveUp(flight, reason);
      return;
    }
    flight.retries++;
    flight.timer = startTimer(() => this.attempt(flight), delay);
    flight.timer.unref();
  }

  private pauseFor(millis: number): void {
    const capped = Math.min(millis, MAX_PAUSE_MILLIS);
    this.pausedUntil = Math.max(this.pausedUntil, performance.now() + capped);
    stopTimer(this.pause);
    this.pause = startTimer(() => {
      this.pause = undefined;
      this.onReady();
    }, this.pausedUntil - performance.now());
    this.pause.unref();
  }

  private giveUp(flight: Flight, reason: string): void {
    counters.failedExports++;
    this.sayFailing(reason);
    this.drop(flight);
  }

  private drop(flight: Flight): void {
    counters.droppedSpans += flight.batch.spanCount;
    this.settle(flight, false);
  }

  private settle(flight: Flight, isClean: boolean): void {
    this.flights.delete(flight);
    stopTimer(flight.overdue);
    stopTimer(flight.timer);
    flight.settled(isClean);
  }

  private sayFailing(reason: string): void {
    if (this.saidAt !== undefined || performance.now() - this.lastSaidAt < QUIET_MILLIS) return;
    this.saidAt = this.lastSaidAt = performance.now();
    this.lostBefore = counters.droppedSpans;
    diag.warn(
      `no backend takes traces at ${this.shownUrl} (${this.withoutSecrets(reason)}). The traces of this process go there: ` +
        "start one, or set OTEL_EXPORTER_OTLP_ENDPOINT to where yours is, or OTEL_TRACES_EXPORTER=none. Tracekit keeps trying.",
    );
  }

  /** A backend may repeat the key it did not accept. */
  private withoutSecrets(text: string): string {
    let shown = text;
    for (const value of Object.values(this.cachedEndpoint?.headers ?? {})) {
      for (const part of value.split(" ")) if (part.length >= 6) shown = shown.replaceAll(part, "…");
    }
    return shown;
  }
}
