import { existsSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join, relative } from "node:path";
import pg from "pg";
import { startKafka } from "../../test/services/kafka.ts";
import { startNats } from "../../test/services/nats.ts";
import { startPostgres } from "../../test/services/postgres.ts";
import { startRabbitmq } from "../../test/services/rabbitmq.ts";
import { startRedis } from "../../test/services/redis.ts";
import type { Service as Server } from "../../test/services/service.ts";
import { ensureBuilt, repositoryRoot } from "../../test/support/built.ts";
import { startOtlpReceiver } from "../../test/support/otlp-receiver.ts";
import type { OtlpReceiver } from "../../test/support/otlp-receiver.ts";
import { cleanEnvironment, signalGroup, spawnTracked } from "../../test/support/started.ts";

/** Everything that runs: the three services, and around them what they need. */
export interface Stage {
  /** Base URL of the url service. */
  url: string;
  redisUrl: string;
  receiver: OtlpReceiver;
  /** Headers of the requests that reached the third party. */
  headersAtMixpanel: Array<NodeJS.Dict<string | string[]>>;
}

/** What carries messages to the notifier. */
export type Topic = "redis" | "rabbitmq" | "kafka" | "nats";

export const topics: readonly Topic[] = ["redis", "rabbitmq", "kafka", "nats"];

/** What there is to start for each; Redis is there anyway, as a cache. */
const BROKERS = {
  rabbitmq: { title: "RabbitMQ", start: startRabbitmq },
  kafka: { title: "Kafka (librdkafka's mock broker, an emulator)", start: startKafka },
  nats: { title: "NATS", start: startNats },
};

export interface StageOptions {
  /** Of the url service; "0" is any free one. */
  port: string;
  topic: Topic;
  say(line: string): void;
  /** Is given what to undo as things start; to be called last first. Nothing of it rejects. */
  onStarted(undo: () => Promise<unknown>): void;
  /** A service has ended by itself. */
  onCrash(error: Error): void;
}

/** Rejects, saying what to do, when something cannot be started. */
export async function setStage({ port, topic, say, onStarted, onCrash }: StageOptions): Promise<Stage> {
  const step = async <T>(
    title: string,
    start: () => Promise<T>,
    stop?: (started: T) => Promise<unknown>,
  ): Promise<T> => {
    const startedAt = performance.now();
    const started = await start();
    if (stop !== undefined) onStarted(() => stop(started).catch(() => {}));
    say(`  ✓ ${title.padEnd(70)} ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
    return started;
  };
  const startService = (name: string, env: Record<string, string>): Promise<string> => {
    const command = `OTEL_SERVICE_NAME=${name} node --import @tracekit/auto ${name}.js`;
    const start = (): Promise<Service> => runService(name, env, say, onCrash);
    return step(command, start, (service) => service.stop()).then((service) => service.port);
  };

  const onProgress = (message: string): void => say(`    ${message}`);
  linkPackage();
  const stop = (started: Server): Promise<void> => started.stop();
  const [receiver, postgres, redis, broker] = await Promise.all([
    step("OTLP receiver", startOtlpReceiver, (started) => started.close()),
    step("PostgreSQL", () => startPostgres({ onProgress }), stop),
    step("Redis", () => startRedis({ onProgress }), stop),
    topic === "redis" ? undefined : step(BROKERS[topic].title, () => BROKERS[topic].start({ onProgress }), stop),
    step("build of @tracekit/auto", () => ensureBuilt()),
  ]);
  const mixpanel = await startMixpanel();
  onStarted(mixpanel.stop);
  const databases = await createDatabases(postgres.url, ["url", "analytics"]);
  onStarted(databases.drop);

  const common = {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    NODE_OPTIONS: "--import ./hosts.js",
    HOSTS: "analytics=127.0.0.1,api.mixpanel.example=127.0.0.1",
    REDIS_URL: redis.url,
    TOPIC: topic,
    TOPIC_URL: (broker ?? redis).url,
  };
  const [analyticsPort] = await Promise.all([
    startService("analytics", {
      ...common,
      PORT: "0",
      DATABASE_URL: databases.url("analytics"),
      MIXPANEL_URL: `http://api.mixpanel.example:${mixpanel.port}`,
    }),
    startService("notifier", common),
  ]);
  const urlPort = await startService("url", {
    ...common,
    PORT: port,
    DATABASE_URL: databases.url("url"),
    ANALYTICS_URL: `http://analytics:${analyticsPort}`,
  });
  return {
    url: `http://127.0.0.1:${urlPort}`,
    redisUrl: redis.url,
    receiver,
    headersAtMixpanel: mixpanel.headers,
  };
}

/** What "npm install" in this folder would make of "file:../..", so that `--import @tracekit/auto` is the real command. */
function linkPackage(): void {
  const link = join(import.meta.dirname, "node_modules/@tracekit/auto");
  if (existsSync(join(link, "package.json"))) return;
  mkdirSync(dirname(link), { recursive: true });
  rmSync(link, { recursive: true, force: true });
  symlinkSync(relative(dirname(link), repositoryRoot), link, "junction");
}

interface Service {
  /** "" when it serves none. */
  port: string;
  stop(): Promise<void>;
}

/** Resolves once the service says that it is ready. */
function runService(
  name: string,
  env: Record<string, string>,
  say: StageOptions["say"],
  onCrash: StageOptions["onCrash"],
): Promise<Service> {
  // For the test that an incomplete trace is noticed.
  const preload = process.env["TRACEKIT_DEMO_UNTRACED"] === name ? [] : ["--import", "@tracekit/auto"];
  const child = spawnTracked(process.execPath, [...preload, `${name}.js`], {
    cwd: import.meta.dirname,
    env: { ...cleanEnvironment(), OTEL_SERVICE_NAME: name, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let isWanted = true;
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const stop = async (): Promise<void> => {
    isWanted = false;
    child.kill("SIGTERM");
    const killer = setTimeout(() => signalGroup(child.pid ?? 0, "SIGKILL"), 3000);
    await ended;
    clearTimeout(killer);
  };

  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      const error = new Error(explain(`${name}.js ${why}`, env["PORT"], output));
      reject(error);
      if (isWanted) onCrash(error);
    };
    const read = (text: string): void => {
      output = (output + text).slice(-10_000);
      for (const line of text.split("\n")) if (line.startsWith("tracekit: ")) say(`    ${name}: ${line}`);
      const ready = /^(?:listening (?<port>\d+)|subscribed)$/m.exec(output);
      if (ready) resolve({ port: ready.groups?.["port"] ?? "", stop });
    };
    child.stdout?.setEncoding("utf8").on("data", read);
    child.stderr?.setEncoding("utf8").on("data", read);
    child.once("error", (error) => fail(`did not start: ${error.message}`));
    child.once("close", (code, signal) => fail(`ended with ${signal ?? `code ${code}`}`));
  });
}

function explain(what: string, port: string | undefined, output: string): string {
  if (/EADDRINUSE/.test(output)) return `Port ${port} is in use. Choose another one: npm run demo -- --port 3999`;
  return `${what}\n${output}`;
}

/** Databases of the services' own, so that a server named by TRACEKIT_TEST_POSTGRES_URL stays as it was. */
async function createDatabases(
  server: string,
  names: string[],
): Promise<{ url(name: string): string; drop(): Promise<unknown> }> {
  const nameOf = (name: string): string => `demo_${process.pid}_${name}`;
  const run = async (statement: (name: string) => string): Promise<void> => {
    const client = new pg.Client({ connectionString: server });
    await client.connect();
    try {
      for (const name of names) await client.query(statement(nameOf(name)));
    } finally {
      await client.end();
    }
  };
  await run((name) => `CREATE DATABASE ${name}`);
  return {
    url: (name) => Object.assign(new URL(server), { pathname: nameOf(name) }).href,
    drop: () => run((name) => `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`).catch(() => {}),
  };
}

/** A third party as one knows them: plain HTTP, no tracing, somewhat slow, a new connection each time. */
async function startMixpanel(): Promise<{
  port: number;
  headers: Stage["headersAtMixpanel"];
  stop(): Promise<unknown>;
}> {
  const headers: Stage["headersAtMixpanel"] = [];
  const server = createServer((request, response) => {
    headers.push(request.headers);
    request.resume().on("end", () => {
      setTimeout(() => {
        response.writeHead(200, { "content-type": "application/json", connection: "close" });
        response.write('{"error":null,');
        setTimeout(() => response.end('"status":1}'), 6);
      }, 45);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    headers,
    stop: () => new Promise((resolve) => server.close(resolve).closeAllConnections()),
  };
}
