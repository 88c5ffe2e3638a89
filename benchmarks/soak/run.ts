import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { ensureBuilt, repositoryRoot } from "../../test/support/built.ts";
import { startChild } from "../child.ts";
import type { Received } from "../contestant.ts";
import { startServices } from "../services.ts";
import type { Sample } from "./flatness.ts";

export interface Soak {
  readonly samples: readonly Sample[];
  /** Requests that were not answered as they should, by path and status. Those abandoned on purpose do not count. */
  readonly wrong: Record<string, number>;
  readonly spansReceived: number;
  /** Whether the process ended by itself once the application had let go of everything. */
  readonly leftAlone: boolean;
}

/** Loops that begin in a request and never end. */
const LOOPS = 20;

/** Sends `requests` to an application that is traced by `dist/`, and looks at it `times` times in between. Rejects when
 *  the application ends early. */
export async function runSoak(options: {
  requests: number;
  times: number;
  node?: string;
  onSample?: (sample: Sample) => void;
}): Promise<Soak> {
  await ensureBuilt();
  const services = await startServices();
  const client = startChild(process.execPath, [join(import.meta.dirname, "client.mjs")]);
  try {
    const { port: sinkPort } = await services.sink.ask<{ port: number }>("open", { format: "otlp" });
    const preload = pathToFileURL(join(repositoryRoot, "dist/register.js")).href;
    const [probe, app] = ["probe.mjs", "app.cjs"].map((file) => join(import.meta.dirname, file)) as [string, string];
    const server = startChild(
      options.node ?? process.execPath,
      ["--expose-gc", "--import", preload, "--import", pathToFileURL(probe).href, app],
      { env: { ...services.env, OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${sinkPort}`, NODE_ENV: "test" } },
    );
    try {
      const port = Number((await server.line(/listening (\d+)/))[1]);
      await client.ask("begin", { port, loops: LOOPS });
      const samples: Sample[] = [];
      const wrong: Record<string, number> = {};
      for (let time = 1; time <= options.times; time++) {
        const requests = Math.round((options.requests * time) / options.times);
        const batch = requests - (samples.at(-1)?.requests ?? 0);
        const problems = await client.ask<Record<string, number>>("send", { requests: batch });
        for (const [what, count] of Object.entries(problems)) wrong[what] = (wrong[what] ?? 0) + count;
        // What was abandoned is noticed, and the last spans leave.
        await sleep(1200);
        // The sink keeps what arrives until it is asked.
        await services.sink.ask("counts");
        const sample = { requests, ...(await server.ask<Omit<Sample, "requests">>("sample")) };
        samples.push(sample);
        options.onSample?.(sample);
      }
      await server.ask("leave");
      const leftAlone = await Promise.race([server.ended.then(() => true), sleep(15_000, false)]);
      const [received] = await services.sink.ask<[Received]>("counts");
      return { samples, wrong, spansReceived: received.spans, leftAlone };
    } finally {
      server.stop();
    }
  } finally {
    client.stop();
    await services.stop();
  }
}
