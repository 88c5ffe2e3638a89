import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { counters, diag } from "../../src/diag/diag.ts";
import type { Batch } from "../../src/export/batch.ts";
import { type BatchLimits, BatchSink } from "../../src/export/batch-sink.ts";
import { createProtobufEncoding } from "../../src/export/protobuf-encoding.ts";
import type { Settled } from "../../src/export/transport.ts";
import type { Span } from "../../src/trace/span.ts";
import { decodeTraces } from "../support/otlp-receiver.ts";
import { createSpan, RESOURCE } from "./spans.ts";

const ONE = { name: "one" };

let messages: string[];
let dropped: number;
beforeEach(() => {
  messages = [];
  dropped = counters.droppedSpans;
  diag.setSink((line) => messages.push(line));
});
afterEach(() => diag.setSink());

/** A sink in front of a sender that keeps what it gets until the test settles it. */
function createSink(limits: Partial<BatchLimits> = {}): {
  sink: BatchSink;
  sent: Array<{ batch: Batch; settled: Settled }>;
  sender: { isReady: boolean; onReady: () => void };
  end: (name: string, body?: string, scope?: { name: string }) => void;
} {
  const sent: Array<{ batch: Batch; settled: Settled }> = [];
  const sender = {
    isReady: true,
    onReady() {},
    send: (batch: Batch, settled: Settled) => sent.push({ batch, settled }),
    close() {},
  };
  const sink = new BatchSink(
    createProtobufEncoding(RESOURCE),
    {
      delayMillis: 60_000,
      maxQueueBytes: 1e9,
      maxQueueSpans: Infinity,
      maxBatchSpans: Infinity,
      flushTimeoutMillis: 10_000,
      ...limits,
    },
    (fn) => fn(),
    true,
    (onReady) => Object.assign(sender, { onReady }),
  );
  const end = (name: string, body = "", scope = ONE): void => {
    const span = createSpan(name, { sink, scope });
    if (body !== "") span.setAttribute("body", body);
    span.end();
  };
  return { sink, sent, sender, end };
}

const bytesOf = (batch: Batch): Buffer => Buffer.concat(batch.body);
const names = (batch: Batch): string[] => decodeTraces(bytesOf(batch)).map(({ name }) => name);

test("a span waits for its batch until the delay is over", async () => {
  const { sent, end } = createSink({ delayMillis: 20 });
  end("a");
  end("b");
  expect(sent).toEqual([]);
  await vi.waitFor(() => expect(sent).toHaveLength(1));
  expect(names(sent[0]!.batch)).toEqual(["a", "b"]);
  expect(sent[0]!.batch).toMatchObject({ spanCount: 2, byteLength: bytesOf(sent[0]!.batch).length });
});

test("a batch leaves before its delay when it has 256 KiB", () => {
  const { sent, end } = createSink();
  // 4096 bytes of it a value, so that 62 of them stay below.
  for (let index = 0; index < 62; index++) end("span", "x".repeat(4096));
  expect(sent).toHaveLength(0);
  end("last", "x".repeat(4096));
  // Spans are encoded 64 at a time.
  end("next");
  expect(sent).toHaveLength(1);
  expect(names(sent[0]!.batch).at(-1)).toBe("last");
});

test("a batch leaves when it has as many spans as was asked for", () => {
  const { sent, end } = createSink({ maxBatchSpans: 2 });
  for (const name of ["a", "b", "c"]) end(name);
  expect(sent.map(({ batch }) => names(batch))).toEqual([["a", "b"]]);
});

test("the spans of each scope are together, and the scope is named once", async () => {
  const { sink, sent, end } = createSink();
  for (const name of ["a", "b"]) for (const scope of [{ name: "http" }, { name: "pg" }]) end(name, "", scope);
  void sink.forceFlush();
  // Each of the four has a scope object of its own.
  expect(decodeTraces(bytesOf(sent[0]!.batch)).map(({ name, scope }) => `${scope.name} ${name}`)).toEqual([
    "http a",
    "pg a",
    "http b",
    "pg b",
  ]);
  const shared = { name: "redis" };
  end("c", "", shared);
  end("d");
  end("e", "", shared);
  void sink.forceFlush();
  expect(decodeTraces(bytesOf(sent[1]!.batch)).map(({ name, scope }) => `${scope.name} ${name}`)).toEqual([
    "redis c",
    "redis e",
    "one d",
  ]);
});

test("an application that makes up scopes loses nothing and its chunks stay bounded", () => {
  const { sink, sent, end } = createSink();
  for (let index = 0; index < 200; index++) end(`span ${index}`, "", { name: `scope ${index}` });
  void sink.forceFlush();
  expect(sent.flatMap(({ batch }) => names(batch))).toHaveLength(200);
  expect(sent.length).toBe(4);
});

test("while nothing can be sent, batches wait their turn and leave in order", () => {
  const { sent, sender, end } = createSink({ maxBatchSpans: 1 });
  sender.isReady = false;
  for (const name of ["a", "b", "c"]) end(name);
  expect(sent).toEqual([]);
  sender.isReady = true;
  sender.onReady();
  expect(sent.map(({ batch }) => names(batch))).toEqual([["a"], ["b"], ["c"]]);
});

test("while nothing can be sent, a batch that is overdue goes on growing rather than being cut small", async () => {
  const { sent, sender, end } = createSink({ delayMillis: 1 });
  sender.isReady = false;
  for (const name of ["a", "b", "c"]) {
    end(name);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  sender.isReady = true;
  sender.onReady();
  expect(sent.map(({ batch }) => names(batch))).toEqual([["a", "b", "c"]]);
});

test("the bytes of a batch that is under way are not touched by later spans, and a confirmed one's are used again", () => {
  const { sent, end } = createSink({ maxBatchSpans: 1 });
  end("first");
  const before = Buffer.from(bytesOf(sent[0]!.batch));
  end("second");
  expect(bytesOf(sent[0]!.batch)).toEqual(before);
  sent[0]!.settled(true);
  sent[1]!.settled(false);
  end("third");
  const buffers = sent.map(({ batch }) => (batch.body.at(-1) as Uint8Array).buffer);
  expect(buffers[2]).toBe(buffers[0]);
  expect(buffers[2]).not.toBe(buffers[1]);
});

test("the newest spans are dropped, counted and reported once when the queue is full, and room is room again", () => {
  const { sent, sender, end } = createSink({ maxQueueSpans: 2, maxBatchSpans: 2 });
  sender.isReady = false;
  for (const name of ["a", "b", "c", "d"]) end(name);
  expect(counters.droppedSpans - dropped).toBe(2);
  expect(messages).toHaveLength(1);
  expect(messages[0]).toContain("spans are lost");
  sender.isReady = true;
  sender.onReady();
  end("e");
  end("f");
  expect(sent.map(({ batch }) => names(batch))).toEqual([
    ["a", "b"],
    ["e", "f"],
  ]);
});

test("what is held, under way included, stays within its bytes to the last one", () => {
  const probe = createSink();
  probe.end("span");
  void probe.sink.forceFlush();
  const size = probe.sent[0]!.batch.byteLength;

  const exact = createSink({ maxBatchSpans: 1, maxQueueBytes: size });
  exact.end("span");
  exact.end("span");
  expect(exact.sent).toHaveLength(1);
  expect(counters.droppedSpans - dropped).toBe(1);
  exact.sent[0]!.settled(true);
  exact.end("span");
  expect(exact.sent).toHaveLength(2);
});

test("a span larger than the queue is dropped and those around it are sent", () => {
  const { sink, sent, end } = createSink({ maxQueueBytes: 100_000 });
  end("a");
  end("large", "x".repeat(200_000));
  end("b");
  void sink.forceFlush();
  expect(names(sent[0]!.batch)).toEqual(["a", "b"]);
  expect(counters.droppedSpans - dropped).toBe(1);
});

test("a span that cannot be encoded is dropped and counted, and the application sees no exception", () => {
  const { sink, sent, end } = createSink();
  end("a");
  const span = createSpan("bad", { sink, scope: ONE });
  span.addLink({
    context: {
      traceId: "a".repeat(32),
      spanId: "b".repeat(16),
      traceFlags: 1,
      traceState: {
        serialize() {
          throw new Error("no");
        },
      } as never,
    },
  });
  span.end();
  end("b");
  void sink.forceFlush();
  expect(sent.flatMap(({ batch }) => names(batch))).toEqual(["a", "b"]);
  expect(counters.droppedSpans - dropped).toBe(1);
});

test("an encoded span lets go of its attributes, by the 64th that ends at the latest", () => {
  const { sink, end } = createSink();
  const span = createSpan("a", { sink });
  span.setAttribute("body", "x");
  span.end();
  for (let index = 1; index < 63; index++) end("b");
  expect(span.entries).toBeDefined();
  end("the 64th");
  expect(span.entries).toBeUndefined();
});

test("large spans let go of their attributes earlier, and small ones after them late again", () => {
  const { sink, end } = createSink();
  /** How many spans end until the first of them is encoded. */
  const countTogether = (body: string): number => {
    const span = createSpan("first", { sink });
    span.setAttribute("body", body);
    span.end();
    let count = 1;
    for (; span.entries !== undefined; count++) end("other", body);
    return count;
  };
  for (let index = 0; index < 64; index++) end("large", "x".repeat(4000));
  expect(countTogether("x".repeat(4000))).toBeLessThan(10);
  for (let index = 0; index < 64; index++) end("small", "x");
  void sink.forceFlush();
  expect(countTogether("x")).toBe(64);
});

test("spans that could not be sent when they were due leave as soon as anything can", async () => {
  const { sent, sender, end } = createSink({ delayMillis: 1 });
  sender.isReady = false;
  end("a");
  await new Promise((resolve) => setTimeout(resolve, 10));
  // It is due, so no timer is started for this one.
  end("b");
  sender.isReady = true;
  sender.onReady();
  expect(sent.map(({ batch }) => names(batch))).toEqual([["a", "b"]]);
});

test.each([1, 2, 3])(
  "a span that ends after a delay has passed with nothing to send leaves in time (%i a batch)",
  async (size) => {
    const { sent, end } = createSink({ delayMillis: 5, maxBatchSpans: size });
    // The delay begins with the first, and is not over when the batch leaves.
    for (let index = 0; index < size; index++) end("large");
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(sent).toHaveLength(1);
    end("alone");
    await vi.waitFor(() => expect(sent).toHaveLength(2));
    expect(names(sent[1]!.batch)).toEqual(["alone"]);
  },
);

test("one span that cannot be encoded takes none of those with it that ended around it", () => {
  const { sink, sent, end } = createSink();
  end("before");
  const broken = createSpan("broken", { sink });
  Object.defineProperty(broken, "name", {
    get: () => {
      throw new Error("no name");
    },
  });
  broken.end();
  end("after");
  void sink.forceFlush();
  expect(names(sent[0]!.batch)).toEqual(["before", "after"]);
  expect(counters.droppedSpans - dropped).toBe(1);
});

test("what is no span yet is made one when it is encoded, and one that cannot be is dropped and counted", () => {
  const { sink, sent, end } = createSink();
  let made = 0;
  const deferred = (name: string): void =>
    sink.onDeferredEnd({
      toSpan() {
        if (name === "broken") throw new Error("no span");
        made++;
        const span = createSpan(name, { scope: ONE });
        span.close(span.startMillis);
        return span;
      },
    });
  deferred("first");
  deferred("broken");
  end("second");
  deferred("third");
  expect(made).toBe(0);
  void sink.forceFlush();
  expect(names(sent[0]!.batch)).toEqual(["first", "second", "third"]);
  expect(counters.droppedSpans - dropped).toBe(1);
  deferred("fourth");
  expect(sink.takePending().flatMap(names)).toEqual(["first", "second", "third", "fourth"]);
});

test("what a span has left for later is worked out when it is encoded, of one that is made then, too", () => {
  const { sink, sent } = createSink();
  let isRead = false;
  const startWithBody = (name: string): Span => {
    const span = createSpan(name, { sink, scope: ONE });
    const read = (): string => {
      isRead = true;
      return `body of ${name}`;
    };
    span.attributeLater({ key: "body", next: undefined, read });
    return span;
  };
  startWithBody("first").end();
  sink.onDeferredEnd({
    toSpan() {
      const span = startWithBody("second");
      span.close(span.startMillis);
      return span;
    },
  });
  expect(isRead).toBe(false);
  void sink.forceFlush();
  const spans = decodeTraces(bytesOf(sent[0]!.batch));
  expect(spans.map(({ attributes }) => attributes["body"])).toEqual(["body of first", "body of second"]);
});

test("what ends while others are encoded takes nobody's place", () => {
  const { sink, sent, end } = createSink();
  end("first");
  sink.onDeferredEnd({
    toSpan() {
      end("meanwhile");
      const span = createSpan("second", { scope: ONE });
      span.close(span.startMillis);
      return span;
    },
  });
  void sink.forceFlush();
  void sink.forceFlush();
  expect(sink.takePending().flatMap(names)).toEqual(["first", "second", "meanwhile"]);
  expect(sent).toHaveLength(2);
});

test("a small queue does not wait for 64 spans: what it has no room for is dropped by the next one", () => {
  const { end } = createSink({ maxQueueBytes: 1000 });
  end("large", "x".repeat(2000));
  expect(counters.droppedSpans - dropped).toBe(1);
});

test("forceFlush resolves once all that had ended is settled, however it went", async () => {
  const { sink, sent, end } = createSink({ maxBatchSpans: 1 });
  let isFlushed = false;
  end("a");
  end("b");
  const flushed = sink.forceFlush().then(() => (isFlushed = true));
  end("later");
  sent[0]!.settled(true);
  await Promise.resolve();
  expect(isFlushed).toBe(false);
  sent[1]!.settled(false);
  await flushed;
});

test("forceFlush without spans resolves at once, and with a sender that does not settle after its time", async () => {
  const { sink, end } = createSink({ flushTimeoutMillis: 20 });
  await sink.forceFlush();
  end("a");
  await sink.forceFlush();
});

test("after shutdown spans are ignored", async () => {
  const { sink, sent, end } = createSink();
  end("a");
  const stopped = sink.shutdown();
  sent[0]!.settled(true);
  await stopped;
  end("b");
  await sink.forceFlush();
  expect(sent).toHaveLength(1);
});

test("what is pending is everything that was not confirmed, and what waited is not sent again", () => {
  const { sink, sent, sender, end } = createSink({ maxBatchSpans: 1 });
  end("confirmed");
  end("under way");
  sent[0]!.settled(true);
  sender.isReady = false;
  end("queued");
  const open = createSpan("open", { sink });
  open.end();
  expect(sink.takePending().flatMap(names)).toEqual(["under way", "queued", "open"]);
  sender.isReady = true;
  sender.onReady();
  expect(sent).toHaveLength(2);
});
