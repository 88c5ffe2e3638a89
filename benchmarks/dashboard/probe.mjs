// Imported into the dashboard's process: tells its event loop's delay and its CPU time on SIGUSR2, one JSON line on stderr.
import { isMainThread } from "node:worker_threads";
import { monitorEventLoopDelay } from "node:perf_hooks";

if (isMainThread) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  process.on("SIGUSR2", () => {
    const { user, system } = process.cpuUsage();
    const millis = (nanos) => Math.round(nanos / 1e4) / 100;
    const told = {
      probe: true,
      loopDelayP99Millis: millis(delay.percentile(99)),
      loopDelayMaxMillis: millis(delay.max),
      cpuMicros: user + system,
      rssMegabytes: Math.round(process.memoryUsage.rss() / 2 ** 20),
    };
    process.stderr.write(`${JSON.stringify(told)}\n`);
    delay.reset();
  });
}
