import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { ensureBuilt, repositoryRoot } from "../support/built.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { type AppExit, type AppOptions, runApp, startApp } from "../support/run-app.ts";
import { createTestCertificates } from "../support/tls.ts";

let receiver: OtlpReceiver;
beforeAll(async () => {
  await ensureBuilt();
  receiver = await startOtlpReceiver();
}, 300_000);
afterEach(() => receiver.reset());
afterAll(() => receiver.close());

/** Three spans end in it, and then what the test adds; "ready" is written when it waits. */
const START = `
  import { trace } from "@opentelemetry/api";
  const tracer = trace.getTracer("app");
  const span = (name, text = "") => tracer.startSpan(name, { attributes: { text } }).end();
  for (const name of ["a", "b", "c"]) span(name);
  const serve = () => { setInterval(() => {}, 1000); console.log("ready"); };
`;

/** Nothing leaves before the exit, which a busy machine gets time for. */
const environment = (): Record<string, string> => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
  OTEL_BSP_SCHEDULE_DELAY: "600000",
  TRACEKIT_EXIT_TIMEOUT: "20000",
  OTEL_NODE_DISABLED_INSTRUMENTATIONS: "http-server,http-client,undici",
});

const app = (code: string, options: Partial<AppOptions> = {}): AppOptions => ({
  code: START + code,
  ...options,
  env: { ...environment(), ...options.env },
});

const names = (): string[] => receiver.spans.map(({ name }) => name);

/** How the same application ends without us. */
async function withoutUs(options: AppOptions, signal?: NodeJS.Signals): Promise<AppExit & { stdout: string }> {
  const running = startApp({ ...options, preload: "none" });
  if (signal !== undefined) {
    await running.waitForLine(/ready/);
    running.child.kill(signal);
  }
  const { code, signal: endedBy } = await running.exited;
  return { code, signal: endedBy, stdout: running.stdout };
}

describe("every pending span arrives, and the process ends as it would have, when it", () => {
  test.each([
    ["comes to its natural end", ""],
    ["calls process.exit()", "process.exit(3);"],
    ["calls process.exit() in a promise", "await null; Promise.resolve().then(() => process.exit(5));"],
    ["calls process.exit() in a timer", "setTimeout(() => process.exit(5), 5);"],
    ["sets process.exitCode", "process.exitCode = 4;"],
    ["changes its code in an exit handler", 'process.on("exit", () => { process.exitCode = 6; });'],
    ["calls process.exit() in an exit handler", 'process.on("exit", () => process.exit(7)); process.exit(1);'],
    ["throws", 'throw new Error("uncaught");'],
    ["throws in a callback", 'setImmediate(() => { throw new Error("uncaught"); });'],
    ["rejects without a handler", 'Promise.reject(new Error("unhandled"));'],
    ["catches what it throws and exits", 'process.on("uncaughtException", () => process.exit(8)); throw new Error();'],
    ["waits for a promise that nothing settles", "await new Promise(() => {});"],
    ["fails in an exit handler", 'process.on("exit", () => { throw new Error("late"); });'],
    ["counts its beforeExit events", 'process.on("beforeExit", () => console.log("beforeExit"));'],
  ])("%s", async (_way, code) => {
    const options = app(code);
    const { stderr, ...ending } = await runApp({ ...options, timeoutMillis: 60_000 });
    expect(stderr).not.toContain("tracekit");
    expect(ending).toEqual(await withoutUs(options));
    expect(names()).toEqual(["a", "b", "c"]);
  });

  test.each([
    ["gets SIGTERM", "SIGTERM", "serve();"],
    ["gets SIGINT", "SIGINT", "serve();"],
    [
      "gets SIGTERM and is busy",
      "SIGTERM",
      "serve(); setTimeout(() => { const end = Date.now() + 300; while (Date.now() < end); }, 50);",
    ],
    ["gets SIGTERM and exits in its handler", "SIGTERM", 'process.on("SIGTERM", () => process.exit(9)); serve();'],
    [
      "gets SIGTERM and closes down in its handler",
      "SIGTERM",
      'const t = setInterval(() => {}, 1000); process.once("SIGTERM", () => { console.log("closing"); setTimeout(() => clearInterval(t), 100); }); console.log("ready");',
    ],
    [
      "gets SIGINT, and a handler was removed before",
      "SIGINT",
      'const f = () => {}; process.on("SIGINT", f); process.off("SIGINT", f); serve();',
    ],
    [
      "gets SIGTERM, and a handler raises it again after its work",
      "SIGTERM",
      'process.once("SIGTERM", () => { console.log("work"); process.kill(process.pid, "SIGTERM"); }); serve();',
    ],
    [
      "gets SIGTERM, and a library ends the process only if all listeners are its own",
      "SIGTERM",
      `const own = () => {
         if (process.listeners("SIGTERM").length !== 1) return console.log("not mine alone");
         process.off("SIGTERM", own);
         process.kill(process.pid, "SIGTERM");
       };
       process.on("SIGTERM", own);
       serve();`,
    ],
  ] as const)("%s", async (_way, signal, code) => {
    const options = app(code);
    const running = startApp(options);
    await running.waitForLine(/ready/);
    const ending = await running.kill(signal);
    expect(running.stderr).not.toContain("tracekit");
    expect({ ...ending, stdout: running.stdout }).toEqual(await withoutUs(options, signal));
    expect(names()).toEqual(["a", "b", "c"]);
  });

  test("is a worker thread", async () => {
    const options: AppOptions = {
      code: `
        import { Worker } from "node:worker_threads";
        new Worker(new URL("./worker.mjs", import.meta.url)).on("exit", (code) => console.log("worker", code));
      `,
      files: { "worker.mjs": `${START} process.exitCode = 3;` },
      env: environment(),
    };
    const { stderr, ...ending } = await runApp({ ...options, timeoutMillis: 60_000 });
    expect(stderr).toBe("");
    expect(ending).toEqual(await withoutUs(options));
    expect(names()).toEqual(["a", "b", "c"]);
  });
});

describe("what is sent at exit", () => {
  test("includes spans that the application's own exit handlers end", async () => {
    const { code } = await runApp(app('process.on("exit", () => { span("d"); span("e"); }); process.exit(2);'));
    expect(code).toBe(2);
    expect(names()).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("includes what a backend has been sent and has not confirmed", async () => {
    receiver.respond = (_request, index) => (index === 0 ? { hang: true } : undefined);
    const { code } = await runApp(
      app("setTimeout(() => process.exit(0), 2000);", { env: { OTEL_BSP_SCHEDULE_DELAY: "1" } }),
    );
    expect(code).toBe(0);
    expect(names()).toEqual(["a", "b", "c"]);
    expect(receiver.requests).toHaveLength(2);
  });

  test("may be many batches", async () => {
    receiver.respond = () => ({ hang: true });
    const running = startApp(
      app(
        'for (let i = 0; i < 4000; i++) span("x", "y".repeat(1000)); setTimeout(() => console.log("ready"), 300); setInterval(() => {}, 1000);',
      ),
    );
    await running.waitForLine(/ready/);
    await receiver.waitForRequests(8);
    receiver.respond = undefined;
    expect(await running.kill()).toEqual({ code: null, signal: "SIGTERM" });
    expect(new Set(receiver.spans.map(({ spanId }) => spanId)).size).toBe(4003);
    expect(running.stderr).toBe("");
  });

  test("is nothing when everything has been confirmed", async () => {
    const running = startApp(
      app("setTimeout(() => process.exit(0), 3000);", { env: { OTEL_BSP_SCHEDULE_DELAY: "1" } }),
    );
    await running.exited;
    expect(receiver.requests.flatMap(({ spans }) => spans).length).toBe(3);
  });

  test("is nothing when the process may not be held", async () => {
    expect(await runApp(app("process.exit(3);", { env: { TRACEKIT_EXIT_TIMEOUT: "0" } }))).toMatchObject({ code: 3 });
    expect(receiver.requests).toEqual([]);
  });

  test("is sent without preloading anything again in the thread that sends it", async () => {
    const { stdout } = await runApp(
      app("", {
        preload: "node-options",
        files: {
          // Not console.log: what a thread writes is not shown.
          "extra.cjs":
            'require("node:fs").writeSync(1, `preloaded ${require("node:worker_threads").isMainThread}\\n`);',
        },
        nodeArgs: ["--require", "./extra.cjs"],
      }),
    );
    expect(stdout).toBe("preloaded true\n");
    expect(names()).toEqual(["a", "b", "c"]);
  });

  test("is compressed, or JSON, when that is asked for", async () => {
    await runApp(
      app("", { env: { OTEL_EXPORTER_OTLP_COMPRESSION: "gzip", OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" } }),
    );
    expect(names()).toEqual(["a", "b", "c"]);
    expect(receiver.requests[0]?.headers).toMatchObject({
      "content-encoding": "gzip",
      "content-type": "application/json",
    });
  });

  test("goes through TLS with a client certificate", async () => {
    const certificates = createTestCertificates();
    const { files } = certificates;
    const secure = await startOtlpReceiver({
      tls: { ...certificates.server, ca: certificates.ca, requestCert: true },
    });
    const { stderr } = await runApp(
      app("", {
        env: {
          OTEL_EXPORTER_OTLP_ENDPOINT: secure.url,
          OTEL_EXPORTER_OTLP_CERTIFICATE: files.ca,
          OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: files.clientCert,
          OTEL_EXPORTER_OTLP_CLIENT_KEY: files.clientKey,
        },
      }),
    );
    await secure.close();
    certificates.remove();
    expect(stderr).toBe("");
    expect(secure.spans).toHaveLength(3);
  });

  test("is offered again to a backend that is busy", async () => {
    receiver.respond = (_request, index) => (index < 2 ? { status: 503 } : undefined);
    const { stderr } = await runApp(app(""));
    expect(stderr).toBe("");
    expect(names()).toEqual(["a", "b", "c"]);
  });
});

describe("an exit is not held up, and its code is kept,", () => {
  test("by a backend that is not there, which is said once", async () => {
    const gone = await startOtlpReceiver();
    await gone.close();
    const { code, stderr } = await runApp(app("process.exit(3);", { env: { OTEL_EXPORTER_OTLP_ENDPOINT: gone.url } }));
    expect(code).toBe(3);
    expect(stderr).toMatch(
      /^tracekit: 3 spans could not be sent to \S+ before the process ends: connect ECONNREFUSED .*\n$/,
    );
  });

  test.each(["", "process.exit(3);", 'throw new Error("x");'])(
    "by a backend that never answers, beyond its time-out: %s",
    async (code) => {
      receiver.respond = () => ({ hang: true });
      const options = app(code, { env: { TRACEKIT_EXIT_TIMEOUT: "1000" } });
      const { stderr, ...ending } = await runApp({ ...options, timeoutMillis: 15_000 });
      expect(ending).toEqual(await withoutUs(options));
      expect(stderr).toContain("3 spans could not be sent");
      expect(stderr).toContain("no answer in time");
    },
  );

  test("by a backend that accepts connections and says nothing, on SIGTERM", async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const running = startApp(
      app("serve();", {
        env: {
          OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
          TRACEKIT_EXIT_TIMEOUT: "500",
        },
      }),
    );
    await running.waitForLine(/ready/);
    expect(await running.kill()).toEqual({ code: null, signal: "SIGTERM" });
    silent.close();
  });

  test("by a batch under way to a backend that never answers", async () => {
    receiver.respond = () => ({ hang: true });
    const { code } = await runApp(
      app("", {
        env: { OTEL_BSP_SCHEDULE_DELAY: "1", OTEL_EXPORTER_OTLP_TIMEOUT: "600000", TRACEKIT_EXIT_TIMEOUT: "500" },
      }),
    );
    expect(code).toBe(0);
  });
});

test("whoever awaits a flush sees its end, although the export keeps no process alive", async () => {
  receiver.respond = () => ({ delayMillis: 300 });
  const { code, stdout } = await runApp(
    app(`
      const { flush } = await import(${JSON.stringify(`${repositoryRoot}/dist/index.js`)});
      await flush();
      console.log("flushed");
    `),
  );
  expect(stdout).toBe("flushed\n");
  expect(code).toBe(0);
  expect(receiver.requests).toHaveLength(1);
});

test("an application's own span processors have time to flush before a signal ends the process", async () => {
  const running = startApp({
    preload: "none",
    env: environment(),
    code: `
      import tracekit from ${JSON.stringify(`${repositoryRoot}/dist/index.js`)};
      tracekit.start({ spanProcessors: [{
        onStart() {}, onEnd() {}, shutdown: async () => {},
        forceFlush: () => new Promise((resolve) => setTimeout(() => { console.log("flushed"); resolve(); }, 100)),
      }] });
      ${START.replace("import { trace }", "const { trace }").replace('from "@opentelemetry/api"', '= await import("@opentelemetry/api")')}
      serve();
    `,
  });
  await running.waitForLine(/ready/);
  expect(await running.kill()).toEqual({ code: null, signal: "SIGTERM" });
  expect(running.stdout).toBe("ready\nflushed\n");
  expect(names()).toEqual(["a", "b", "c"]);
});
