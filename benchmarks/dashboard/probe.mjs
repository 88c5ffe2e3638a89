// Imported into the dashboard's process: tells its event loop's delay and its CPU time on SIGUSR2, one JSON line on stderr.
import { isMainThread } from "node:worker_threads";
import { readdirSync, readFileSync } from "node:fs";
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
      ...threadTimes(),
      rssMegabytes: Math.round(process.memoryUsage.rss() / 2 ** 20),
    };
    process.stderr.write(`${JSON.stringify(told)}\n`);
    delay.reset();
  });
}

/** Of the main thread and of the one that worked most beside it, which is the store's. Linux tells them in hundredths of a second. */
function threadTimes() {
  if (process.platform !== "linux") return { mainCpuMicros: Number.NaN, storeCpuMicros: Number.NaN };
  const micros = (thread) => {
    const fields = readFileSync(`/proc/self/task/${thread}/stat`, "utf8").split(") ")[1].split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10_000;
  };
  const others = readdirSync("/proc/self/task").filter((thread) => thread !== String(process.pid));
  return { mainCpuMicros: micros(process.pid), storeCpuMicros: Math.max(...others.map(micros)) };
}
