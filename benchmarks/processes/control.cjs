// Preloaded after the tracer: answers the harness over IPC, so that the applications hold no code of the benchmark.
const { Session } = require("node:inspector");
const { monitorEventLoopDelay } = require("node:perf_hooks");

let delay;
let session;

const answers = {
  /** CPU time of all threads since the start, and what has become of the memory. */
  usage() {
    const { user, system } = process.cpuUsage();
    return { cpuMicros: user + system, rssMegabytes: process.memoryUsage.rss() / 1e6, upMillis: performance.now() };
  },
  watchDelay() {
    delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
  },
  delay() {
    delay.disable();
    return { p50Millis: delay.percentile(50) / 1e6, p99Millis: delay.percentile(99) / 1e6 };
  },
  startProfile() {
    session = new Session();
    session.connect();
    session.post("Profiler.enable");
    session.post("Profiler.setSamplingInterval", { interval: 200 });
    session.post("Profiler.start");
  },
  profile: () =>
    new Promise((resolve) => {
      session.post("Profiler.stop", (error, { profile }) => resolve(profile));
    }),
};

process.on("message", async ({ id, ask }) => process.send({ id, answer: await answers[ask]() }));
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
