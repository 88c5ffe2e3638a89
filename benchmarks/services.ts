import { join } from "node:path";
import { Redis } from "ioredis";
import { Client } from "pg";
import { startPostgres } from "../test/services/postgres.ts";
import { startRedis } from "../test/services/redis.ts";
import { startChild } from "./child.ts";
import type { Child } from "./child.ts";

/** Everything around the servers that are measured. */
export interface Services {
  /** Where an application finds its database, cache and upstream. */
  readonly env: Record<string, string>;
  readonly load: Child;
  readonly sink: Child;
  stop(): Promise<void>;
}

/** Runs a benchmark beside the services, and ends the process: with 1 and a message when it fails, or a service is missing. */
export async function runWithServices(run: (services: Services) => Promise<void>): Promise<never> {
  try {
    const services = await startServices();
    try {
      await run(services);
    } finally {
      await services.stop();
    }
  } catch (error) {
    // The stack would be that of transpiled code, and say nothing that the message does not.
    console.error(`\n${(error as Error).message}`);
    process.exitCode = 1;
  }
  // What the services left open must not hold the process.
  process.exit();
}

/** Starts PostgreSQL, Redis, the HTTP upstream, the load generator and the sink, and fills the stores. Rejects, naming
 *  what is missing. */
export async function startServices(): Promise<Services> {
  const onProgress = (message: string): void => console.error(message);
  const [postgres, redis] = await Promise.all([startPostgres({ onProgress }), startRedis({ onProgress })]);
  const children = ["apps/upstream.mjs", "processes/load.mjs", "processes/sink.mjs"].map((file) =>
    startChild(process.execPath, [join(import.meta.dirname, file)]),
  );
  const [upstream, load, sink] = children as [Child, Child, Child];
  const stop = async (): Promise<void> => {
    for (const child of children) child.stop();
    await Promise.all([postgres.stop(), redis.stop()]);
  };
  try {
    await Promise.all([fillDatabase(postgres.url), fillCache(redis.url)]);
    const [, port] = await upstream.line(/listening (\d+)/);
    const env = { POSTGRES_URL: postgres.url, REDIS_URL: redis.url, UPSTREAM_URL: `http://127.0.0.1:${port}` };
    return { env, load, sink, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function fillDatabase(url: string): Promise<void> {
  const client = new Client(url);
  await client.connect();
  await client.query(`
    DROP TABLE IF EXISTS bench_urls;
    CREATE TABLE bench_urls (id text PRIMARY KEY, owner text NOT NULL, url text NOT NULL);
    INSERT INTO bench_urls SELECT 'u' || n, 'ada', 'https://example.com/article/' || n FROM generate_series(0, 9) AS n;
    ANALYZE bench_urls;`);
  await client.end();
}

async function fillCache(url: string): Promise<void> {
  const client = new Redis(url);
  for (let i = 0; i < 10; i++) await client.set(`bench:user:${i}`, "Ada Lovelace.");
  await client.quit();
}
