import { basename, dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EDITOR_NAMES, editorUrls } from "../server/editors.ts";
import { isLoopbackHost } from "../server/guard.ts";
import { startServer } from "../server/server.ts";
import type { RunningServer } from "../server/server.ts";
import type { Store } from "../store/store.ts";
import { openStore } from "../store/worker-store.ts";
import { Failure, UsageError } from "./command.ts";
import type { Command, Given, Option, Program } from "./command.ts";
import { openBrowser } from "./open-browser.ts";
import { findProject, makeTracekitFolder } from "./project.ts";
import { whoListens } from "./running.ts";
import type { Listener } from "./running.ts";
import { parsePort, parseRetention, parseSize } from "./values.ts";

export const DEFAULT_PORT = "9400";
/** Where every OpenTelemetry SDK sends to when it is not told otherwise: gRPC, HTTP. */
const OTLP_PORTS = [4317, 4318];
/** A page that is loaded again is away for a moment, an application that is started again for longer. */
const UNUSED_MILLIS = 5000;
const METRICS_NOTICE =
  "Somebody sends metrics, which are not kept; OTEL_METRICS_EXPORTER=none in their environment ends that.\n";

export const portOption: Option = {
  name: "port",
  short: "p",
  value: "<port>",
  default: DEFAULT_PORT,
  description: "Port of the page and of the receiver; 0 is any free one.",
};

/** How the store is kept; `dev` hands them on. */
export const storeOptions: readonly Option[] = [
  {
    name: "store",
    value: "<file>",
    default: ".tracekit/traces.db",
    description:
      "File that keeps the traces. Without this option it lies in the nearest folder upwards with a package.json or .git.",
  },
  { name: "memory", description: "Keep nothing on disk: what was received is gone at the end." },
  {
    name: "max-size",
    value: "<size>",
    default: "512MB",
    description: "Size of the store; beyond it the oldest traces leave.",
  },
  {
    name: "retention",
    value: "<time>",
    default: "7d",
    description: "Age at which traces leave: 12h, 30d, or forever.",
  },
];

export const editorOption: Option = {
  name: "editor",
  value: "<name>",
  default: "vscode",
  description: `What links at source lines open: ${EDITOR_NAMES.join(", ")}, none, or an address with {file} and {line}.`,
};

export const dashboard: Command = {
  name: "dashboard",
  summary: "receive traces, keep them, and show them in the browser",
  usage: "[options]",
  description: [
    "Shows the traces of everything on this machine that speaks OpenTelemetry, live. It receives OTLP over HTTP (protobuf and JSON) and gRPC on its port and, where free, on 4318 and 4317, to which SDKs send without being told; Zipkin's JSON on /api/v2/spans. Nothing leaves this machine.",
  ],
  options: [
    portOption,
    {
      name: "host",
      value: "<address>",
      default: "localhost",
      description: "Address to listen on. Any but this machine's own needs --token.",
    },
    {
      name: "token",
      value: "<secret>",
      description: "Answer only those who show it: the page as ?token=, senders as authorization: Bearer.",
    },
    ...storeOptions,
    { name: "open", short: "o", description: "Open the page in the browser." },
    editorOption,
    { name: "until-unused", description: "End when no page, `dev` or `tail` has been connected for five seconds." },
    { name: "quiet", short: "q", description: "Print nothing but problems." },
  ],
  words: "none",
  environment: [["TRACEKIT_DASHBOARD_TOKEN", "The same as --token, without showing it in the list of processes."]],
  examples: [
    ["dashboard", "keep traces in this project, show them on http://localhost:9400"],
    ["dashboard --memory --open", "keep nothing, open the browser"],
    ["dashboard --max-size 5GB --retention 30d", "keep more for longer"],
    ["dashboard --host 0.0.0.0 --token $(openssl rand -hex 16)", "receive from other machines and containers"],
  ],
  exitCodes: [
    ["0", "ended by Ctrl-C or SIGTERM, everything received is kept"],
    ["1", "cannot start: the port is taken, the store is in use, damaged or not writable"],
    ["2", "the options make no sense"],
  ],
  run,
};

async function run(given: Given, program: Program): Promise<number> {
  const port = parsePort("port", given.text("port") ?? DEFAULT_PORT);
  const host = given.text("host") ?? "localhost";
  const token = given.text("token") ?? (process.env["TRACEKIT_DASHBOARD_TOKEN"] || undefined);
  if (!isLoopbackHost(host) && token === undefined)
    throw new UsageError(
      `--host ${host} lets other machines in, and traces hold what nobody else should see: add --token <secret>.`,
    );
  if (token !== undefined && !/^[!-~]([ -~]*[!-~])?$/.test(token))
    throw new UsageError("--token has letters, digits and signs of ASCII: senders show it in a header.");
  const settings = readStoreSettings(given);
  const editor = readEditor(given);

  // Before the store is opened: that another dashboard has it is the lesser half of the truth.
  if (port !== 0) refuseIfTaken(await whoListens(addressOf(host, port), token), addressOf(host, port), port, program);
  const store = await openStore(place(settings));
  // From before anybody can see that it runs.
  const ending = asked();
  let server: RunningServer;
  try {
    server = await startServer({
      store,
      port,
      host,
      ...(token !== undefined && { token }),
      alsoListenOn: OTLP_PORTS,
      assets: join(dirname(program.file), "web"),
      version: program.version,
      editor,
      ...(!given.has("quiet") && { onMetrics: () => process.stdout.write(METRICS_NOTICE) }),
    });
  } catch (error) {
    await store.close();
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EADDRINUSE") refuseIfTaken({ who: "stranger" }, addressOf(host, port), port, program);
    if (code === "EACCES")
      throw new Failure(`this user may not listen on port ${port}: --port 9400 is one that everybody may.`);
    if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND")
      throw new Failure(`${host} is no address of this machine: ${message}`);
    throw error;
  }

  const page = (server.urls[0] ?? "") + (token === undefined ? "" : `/?token=${encodeURIComponent(token)}`);
  if (!given.has("quiet")) process.stdout.write(await welcome(page, server, store, settings, token, program));
  if (given.has("open")) openBrowser(page);
  // Whoever started it in the background waits for this.
  process.send?.({ ready: server.urls[0] });
  if (process.connected) process.disconnect();

  await Promise.race([ending, ...(given.has("until-unused") ? [unused(server)] : [])]);
  await server.close();
  await store.close();
  return 0;
}

interface StoreSettings {
  /** Absent when kept in memory. */
  path?: string;
  /** Whether the path was chosen by us. */
  isDefault: boolean;
  memory: boolean;
  maxBytes: number;
  retentionMillis?: number;
  retention: string;
}

function readStoreSettings(given: Given): StoreSettings {
  const memory = given.has("memory");
  const wanted = given.text("store");
  if (memory && wanted !== undefined)
    throw new UsageError("--memory keeps nothing in a file: leave out --store, or --memory.");
  const retention = given.text("retention") ?? "7d";
  const retentionMillis = parseRetention("retention", retention);
  return {
    ...(!memory && { path: resolve(wanted ?? join(findProject(process.cwd()), ".tracekit/traces.db")) }),
    isDefault: wanted === undefined,
    memory,
    maxBytes: parseSize("max-size", given.text("max-size") ?? "512MB"),
    ...(retentionMillis !== undefined && { retentionMillis }),
    retention,
  };
}

/** Makes the folder of the store where it is ours (others `openStore` makes), and gives what opens it. */
function place({ path, isDefault, memory, maxBytes, retentionMillis }: StoreSettings): Parameters<typeof openStore>[0] {
  if (path !== undefined) {
    try {
      // A folder of that name is ours wherever it lies; another one may hold anything.
      if (isDefault || basename(dirname(path)) === ".tracekit") makeTracekitFolder(dirname(dirname(path)));
    } catch (error) {
      const { message } = error as Error;
      throw new Failure(
        `${dirname(path)} cannot be made: ${message}\nChoose another place with --store <file>, or --memory.`,
      );
    }
  }
  return {
    ...(path !== undefined && { path }),
    memory,
    maxBytes,
    ...(retentionMillis !== undefined && { retentionMillis }),
  };
}

function readEditor(given: Given): string {
  const editor = given.text("editor") ?? "vscode";
  try {
    editorUrls(editor);
  } catch (error) {
    throw new UsageError(`--${(error as Error).message}`);
  }
  return editor;
}

/** Throws the `Failure` that says whose the port is and what can be done. */
function refuseIfTaken({ who, ...found }: Listener, url: string, port: number, { name }: Program): void {
  const another = `${name} dashboard --port ${port === 65_535 ? 9400 : port + 1}`;
  if (who === "dashboard") {
    const { status } = found as { status?: { version: string; storePath?: string } };
    const keeps = status === undefined ? "" : `, ${status.storePath ?? "in memory"}`;
    throw new Failure(
      [
        `a Tracekit dashboard runs already: ${url}${keeps}`,
        "Use that one, end it, or start another:",
        `  ${another}`,
      ].join("\n"),
      "port_taken",
    );
  }
  if (who === "stranger")
    throw new Failure(`port ${port} is taken by another program. Choose another port:\n  ${another}`, "port_taken");
}

/** As a program on this machine reaches it. */
function addressOf(host: string, port: number): string {
  const name = host === "0.0.0.0" || host === "::" ? "localhost" : host.includes(":") ? `[${host}]` : host;
  return `http://${name}:${port}`;
}

async function welcome(
  page: string,
  { urls, receivedEndpoints }: RunningServer,
  store: Store,
  { path, maxBytes, retention }: StoreSettings,
  token: string | undefined,
  { name, version }: Program,
): Promise<string> {
  const { traceCount } = await store.getStatus();
  const age = retention === "forever" ? "" : ` and ${retention}`;
  const kept = `${traceCount} ${traceCount === 1 ? "trace" : "traces"} so far, at most ${formatSize(maxBytes)}${age}`;
  const taken = OTLP_PORTS.filter((port) => !receivedEndpoints.some((endpoint) => endpoint.endsWith(`:${port}`)));
  const shown = token === undefined ? "" : " OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20<token>";
  const dev = `${name === "tracekit" ? "npx tracekit" : "npx @tracekit/dashboard"} dev`;
  const own = urls[0]?.endsWith(`:${DEFAULT_PORT}`) ? "" : ` --port ${new URL(urls[0] ?? "").port}`;
  return [
    `Tracekit dashboard ${version}`,
    "",
    `  page      ${page}`,
    `  receives  OTLP over HTTP and gRPC on ${receivedEndpoints.join(", ")}`,
    ...(taken.length === 0
      ? []
      : [`            not on ${taken.join(" and ")}, where SDKs send by themselves: taken by another program`]),
    `  keeps     ${path ?? "in memory"} (${kept})`,
    "",
    "Send it something:",
    ...(token === undefined ? [`  ${dev}${own} -- node app.js`] : []),
    `  OTEL_EXPORTER_OTLP_ENDPOINT=${urls[0]}${shown} <any command>`,
    "",
    "Ctrl-C ends it.",
    "",
  ].join("\n");
}

function formatSize(bytes: number): string {
  return bytes >= 2 ** 30 ? `${Number((bytes / 2 ** 30).toFixed(1))} GB` : `${Number((bytes / 2 ** 20).toFixed(1))} MB`;
}

/** Until somebody ends it. Who asks twice does not want to wait. */
function asked(): Promise<void> {
  return new Promise((settle) => {
    let wasAsked = false;
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.on(signal, () => {
        if (wasAsked) process.exit(130);
        wasAsked = true;
        settle();
      });
    }
  });
}

/** Until nobody has watched for a while. */
async function unused(server: RunningServer): Promise<void> {
  for (let since = Date.now(); Date.now() - since < UNUSED_MILLIS; await sleep(250)) {
    if (server.watcherCount() > 0) since = Date.now();
  }
}
