// Preloaded after the tracer, with --expose-gc: what is left in the process.
import { setTimeout as sleep } from "node:timers/promises";
import { queryObjects } from "node:v8";
import { trace } from "@opentelemetry/api";

const span = trace.getTracer("probe").startSpan("probe");
const Span = span.constructor;
span.end();

const answers = {
  async sample() {
    // Finalizers run between two collections.
    globalThis.gc();
    await sleep(20);
    globalThis.gc();
    const { heapUsed, rss } = process.memoryUsage();
    const resources = process.getActiveResourcesInfo();
    return {
      heapMegabytes: heapUsed / 1e6,
      rssMegabytes: rss / 1e6,
      spans: queryObjects(Span, { format: "count" }),
      sockets: resources.filter((name) => name === "TCPSocketWrap").length,
      timers: resources.filter((name) => name === "Timeout").length,
    };
  },
  /** The application lets go of everything: a process that goes on after this is held by somebody else. */
  leave() {
    process.emit("soak:leave");
    setImmediate(() => process.disconnect());
  },
};

process.on("message", async ({ id, ask }) => process.send({ id, answer: await answers[ask]() }));
