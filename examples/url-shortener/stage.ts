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
import { ensureBuilt, ensureDashboardBuilt, repositoryRoot } from "../../test/support/built.ts";
import { startOtlpReceiver } from "../../test/support/otlp-receiver.ts";
import type { OtlpReceiver, ReceivedRequest } from "../../test/support/otlp-receiver.ts";
import { cleanEnvironment, signalGroup, spawnTracked } from "../../test/support/started.ts";

/** Everything that runs: the three services, and around them what they need. */
export interface Stage {
  /** Base URL of the url service. */
  url: string;
  redisUrl: string;
  /** Checks every byte the services send, and hands it on to the dashboard as it came. */
  receiver: OtlpReceiver;
  dashboard: Dashboard;
  /** Headers of the requests that reached the third party. */
  headersAtMixpanel: Array<NodeJS.Dict<string | string[]>>;
}

export interface Dashboard {
  url: string;
  /** What it refused; none when all is well. */
  problems: string[];
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
  /** Of the dashboard, where it is free; "0" is any free one. */
  dashboardPort: string;
  topic: Topic;
  say(line: string): void;
  /** Is given what to undo as things start; to be called last first. Nothing of it rejects. */
  onStarted(undo: () => Promise<unknown>): void;
  /** A service has ended by itself. */
  onCrash(error: Error): void;
}

/** Rejects, saying what to do, when something cannot be started. */
export async function setStage(options: StageOptions): Promise<Stage> {
  const { port, topic, say, onStarted, onCrash } = options;
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
    const start = (): Promise<Running> => runService(name, env, say, onCrash);
    return step(command, start, (service) => service.stop()).then((service) => service.result);
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
    step("build of @tracekit/dashboard", () => ensureDashboardBuilt()),
  ]);
  const dashboard = await step(
    "tracekit dashboard --memory",
    () => startDashboard(options),
    (started) => started.stop(),
  );
  receiver.respond = (request) => void forward(request, dashboard);
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
    dashboard,
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

/** A dashboard that keeps nothing, on its port or, where that is taken, on another one. */
async function startDashboard({ dashboardPort, say, onCrash }: StageOptions): Promise<Dashboard & Running> {
  const start = (port: string): Promise<Running> =>
    startProcess({
      name: "the dashboard",
      args: [join(repositoryRoot, "dashboard/dist/cli.js"), "dashboard", "--memory", "--port", port],
      env: {},
      isReady: /^ {2}page +(?<result>http:\S+)$/m,
      say,
      onCrash,
    });
  const running = await start(dashboardPort).catch((error: Error) => {
    if (dashboardPort === "0" || !/is taken|runs already/.test(error.message)) throw error;
    say(`    Port ${dashboardPort} is taken: the dashboard gets another one.`);
    return start("0");
  });
  return { ...running, url: running.result, problems: [] };
}

/** Sends on what came, byte by byte. */
async function forward(
  { path, headers, rawBody }: ReceivedRequest,
  { url, problems }: Pick<Dashboard, "url" | "problems">,
): Promise<void> {
  const names = ["content-type", "content-encoding"] as const;
  const sent = names.flatMap((name): Array<[string, string]> => (headers[name] ? [[name, headers[name]]] : []));
  try {
    const response = await fetch(url + path, { method: "POST", headers: sent, body: new Uint8Array(rawBody) });
    const body = await response.text();
    if (!response.ok) problems.push(`the dashboard answered ${response.status}: ${body}`);
  } catch (error) {
    problems.push(`the dashboard could not be reached: ${(error as Error).message}`);
  }
}

interface Running {
  /** What it said when it was ready: a port, an address, or nothing. */
  result: string;
  stop(): Promise<void>;
}

function runService(
  name: string,
  env: Record<string, string>,
  say: StageOptions["say"],
  onCrash: StageOptions["onCrash"],
): Promise<Running> {
  // For the test that an incomplete trace is noticed.
  const preload = process.env["TRACEKIT_DEMO_UNTRACED"] === name ? [] : ["--import", "@tracekit/auto"];
  return startProcess({
    name: `${name}.js`,
    args: [...preload, `${name}.js`],
    env: { OTEL_SERVICE_NAME: name, ...env },
    isReady: /^(?:listening (?<result>\d+)|subscribed)$/m,
    say: (line) => say(`    ${name}: ${line}`),
    onCrash,
  });
}

interface Runnable {
  name: string;
  args: string[];
  env: Record<string, string>;
  /** Matches its output once it is ready; the group `result` is what it has to say. */
  isReady: RegExp;
  /** Is given its own messages about tracing. */
  say: StageOptions["say"];
  onCrash: StageOptions["onCrash"];
}

/** Resolves once the process says that it is ready. */
function startProcess({ name, args, env, isReady, say, onCrash }: Runnable): Promise<Running> {
  const child = spawnTracked(process.execPath, args, {
    cwd: import.meta.dirname,
    env: { ...cleanEnvironment(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let isWanted = true;
  let wasReady = false;
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
      const error = new Error(explain(`${name} ${why}`, env["PORT"], output));
      reject(error);
      if (isWanted && wasReady) onCrash(error);
    };
    const read = (text: string): void => {
      output = (output + text).slice(-10_000);
      for (const line of text.split("\n")) if (line.startsWith("tracekit: ")) say(line);
      const ready = isReady.exec(output);
      if (ready === null) return;
      wasReady = true;
      resolve({ result: ready.groups?.["result"] ?? "", stop });
    };
    child.stdout?.setEncoding("utf8").on("data", read);
    child.stderr?.setEncoding("utf8").on("data", read);
    child.once("error", (error) => fail(`did not start: ${error.message}`));
    child.once("close", (code, signal) => fail(`ended with ${signal ?? `code ${code}`}`));
  });
}

function explain(what: string, port: string | undefined, output: string): string {
  if (port !== undefined && /EADDRINUSE/.test(output))
    return `Port ${port} is in use. Choose another one: npm run demo -- --port 3999`;
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
