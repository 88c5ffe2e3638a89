import { parentPort, workerData } from "node:worker_threads";
import { readImport } from "../receive/read-import.ts";
import { readPayload } from "../receive/read-payload.ts";
import type { Answer, Question, Said, ThreadError, ThreadOptions } from "./protocol.ts";
import { StoreError } from "./store.ts";
import { describeFailure, TraceStore } from "./trace-store.ts";

// The store's thread: SQLite is synchronous, and reading what arrives takes as long as writing it.

const port = parentPort!;
const options = workerData as ThreadOptions;
const say = (said: Said, transfer: ArrayBuffer[] = []): void => port.postMessage(said, transfer);

/** Answers wait for the end of the turn, so that those of one transaction go as one message. */
let answers: Answer[] = [];

function answer(given: Answer): void {
  if (answers.push(given) > 1) return;
  queueMicrotask(() => {
    const all = answers;
    answers = [];
    say({ type: "answers", answers: all }, all.flatMap(memoryOf));
  });
}

/** What is handed over with it instead of copied. */
function memoryOf(given: Answer): ArrayBuffer[] {
  const result = "result" in given ? given.result : undefined;
  return result instanceof Uint8Array ? [result.buffer as ArrayBuffer] : [];
}

try {
  const store = new TraceStore(
    options,
    { readPayload, readImport },
    {
      traces: (watcher, traces) => say({ type: "traces", watcher, traces }),
      cleared: () => say({ type: "cleared" }),
    },
  );
  port.on("message", ({ id, method, args }: Question) => {
    const ask = store[method] as (...given: readonly unknown[]) => Promise<unknown>;
    Reflect.apply(ask, store, args).then(
      (result) => answer({ id, result }),
      (error: unknown) => answer({ id, error: toThreadError(error) }),
    );
  });
  say({ type: "ready" });
} catch (error) {
  say({ type: "failed", error: toThreadError(error) });
}

function toThreadError(cause: unknown): ThreadError {
  const error = describeFailure(cause, options.path);
  const { message } = error as Error;
  return error instanceof StoreError ? { message, code: error.code } : { message };
}
