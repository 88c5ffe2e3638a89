import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { repositoryRoot } from "../support/built.ts";
import { startOtlpReceiver, type OtlpReceiver } from "../support/otlp-receiver.ts";
import { runApp } from "../support/run-app.ts";

let receiver: OtlpReceiver;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
});
beforeEach(() => receiver.reset());
afterAll(() => receiver.close());

const collector = (): Record<string, string> => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
  TRACEKIT_EXIT_TIMEOUT: "20000",
});

const packageFile = (name: string): string =>
  createRequire(join(process.env["TRACEKIT_TEST_PACKAGE_DIR"] || repositoryRoot, "x.js")).resolve(name);
const preloadFile = process.env["TRACEKIT_TEST_PACKAGE_DIR"]
  ? packageFile("@tracekit/auto")
  : join(repositoryRoot, "dist/register.js");

test("methods of strings stay fast beside a library whose class is a string", async () => {
  const stdoutOf = async (preload: "import" | "none"): Promise<string> => {
    const { stdout } = await runApp({
      type: "cjs",
      preload,
      nodeArgs: ["--allow-natives-syntax"],
      env: collector(),
      // As in ioredis 6. What V8 says of it is no promise of V8's.
      code: "class Verbatim extends String {}\nconsole.log(%HasFastProperties(String.prototype));",
    });
    return stdout.trim();
  };
  expect(await stdoutOf("none")).toBe("false");
  expect(await stdoutOf("import")).toBe("true");
});

describe("OTEL_SDK_DISABLED=true", () => {
  test("loads one small file, patches nothing and registers nothing", async () => {
    const { stdout } = await runApp({
      type: "cjs",
      env: { OTEL_SDK_DISABLED: "TRUE" },
      code: `
const ours = Object.keys(require.cache).filter((file) => /tracekit|dist/.test(file) && !file.endsWith("app.cjs"));
console.log(JSON.stringify({
  ours: ours.map((file) => file.split(/[\\\\/]/).pop()).sort(),
  api: Symbol.for("opentelemetry.js.api.1") in globalThis,
  load: require("node:module").prototype.load.toString().includes("onLoaded"),
  listeners: process.eventNames().map(String),
}));`,
    });
    expect(JSON.parse(stdout)).toEqual({
      ours: ["register.js"],
      api: false,
      load: false,
      listeners: expect.not.arrayContaining(["exit", "SIGTERM"]),
    });
  });
});

test("leaves no entry in the async context that the application starts in, for every request would copy it", async () => {
  const { stdout } = await runApp({
    type: "cjs",
    preload: "require",
    nodeArgs: ["--expose-internals"],
    env: collector(),
    code: `
let frame;
try {
  frame = require("internal/async_context_frame").current();
} catch (error) {
  if (error.code !== "MODULE_NOT_FOUND") throw error; // Node 20 has none
}
console.log(frame === undefined);`,
  });
  expect(stdout).toBe("true\n");
});

describe("started twice", () => {
  test("by --import and --require of one file: once, silently", async () => {
    const { stderr, code } = await runApp({
      code: "",
      nodeArgs: ["--require", preloadFile],
      env: collector(),
    });
    expect([code, stderr]).toEqual([0, ""]);
  });

  test("by the application's own start(): says so, and traces once", async () => {
    const { stderr } = await runApp({
      type: "cjs",
      code: `require(${JSON.stringify(preloadFile)}).start(); require("@opentelemetry/api").trace.getTracer("t").startSpan("once").end();`,
      env: collector(),
    });
    expect(stderr).toMatch(/^tracekit: .*already.*\n$/);
    expect(await receiver.waitForSpans(1)).toHaveLength(1);
  });
});

describe("beside another OpenTelemetry SDK", () => {
  const SDK = `
const { NodeTracerProvider } = require("@opentelemetry/sdk-trace-node");
const provider = new NodeTracerProvider();
provider.register();`;

  test("that came first, Tracekit says so and stays off", async () => {
    const { stderr, code } = await runApp({
      type: "cjs",
      preload: "none",
      code: `${SDK} require(${JSON.stringify(preloadFile)}); require("@opentelemetry/api").trace.getTracer("t").startSpan("theirs").end();`,
      env: collector(),
    });
    expect(code).toBe(0);
    expect(stderr).toMatch(/another OpenTelemetry SDK is registered/);
    expect(receiver.requests).toHaveLength(0);
  });

  test("that comes later, Tracekit says so and goes on alone", async () => {
    const { stderr, code } = await runApp({
      type: "cjs",
      code: `${SDK} require("@opentelemetry/api").trace.getTracer("t").startSpan("ours").end();`,
      env: collector(),
    });
    expect(code).toBe(0);
    expect(stderr.match(/another OpenTelemetry SDK tried to register/g)).toHaveLength(1);
    expect((await receiver.waitForSpans(1)).map((span) => span.name)).toEqual(["ours"]);
  });
});

describe("a library that cannot be traced fully is named once, with what to do", () => {
  test("loaded before the preload", async () => {
    const { stderr, code } = await runApp({
      type: "cjs",
      preload: "none",
      code: `require("pg"); require(${JSON.stringify(preloadFile)}); require("pg");`,
      env: collector(),
    });
    expect(code).toBe(0);
    expect(stderr.match(/^tracekit: pg was loaded before Tracekit.*--import @tracekit\/auto/gm)).toHaveLength(1);
  });

  test("of a version out of range", async () => {
    const { stderr, code } = await runApp({
      type: "cjs",
      code: `require("pg"); require("pg");`,
      files: {
        "node_modules/pg/package.json": '{"name":"pg","version":"7.18.2","main":"lib/client.js"}',
        "node_modules/pg/lib/client.js": "module.exports = class Client {}",
      },
      env: collector(),
    });
    expect(code).toBe(0);
    expect(stderr.match(/^tracekit: pg 7\.18\.2 is not traced: supported versions are >=8/gm)).toHaveLength(1);
  });
});

describe("what is said at start", () => {
  const code = `require("pg"); setTimeout(() => {}, 500);`;

  test("nothing, when no person is watching", async () => {
    const { stderr } = await runApp({ type: "cjs", code, env: collector() });
    expect(stderr).toBe("");
  });

  test("one line in a terminal: the service, where spans go, and what is traced", () => {
    const command = `${process.env["TRACEKIT_TEST_NODE"] || process.execPath} --import ${pathToFileURL(preloadFile).href} -e 'require("pg")'`;
    const output = execFileSync("script", ["-qec", command, "/dev/null"], {
      encoding: "utf8",
      cwd: repositoryRoot,
      env: { PATH: process.env["PATH"], OTEL_SERVICE_NAME: "shop", OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url },
    });
    expect(output.trim().split("\n")).toHaveLength(1);
    expect(output).toMatch(
      /tracekit: shop → http:\/\/127\.0\.0\.1:\d+\/v1\/traces \(http\/protobuf\) · .*http-server.*pg@8/,
    );
  });

  test("a bad value by its name, what it was, and what is used instead", async () => {
    const { stderr } = await runApp({
      code: "",
      env: { ...collector(), OTEL_BSP_SCHEDULE_DELAY: "soon" },
    });
    expect(stderr).toMatch(/^tracekit: .*OTEL_BSP_SCHEDULE_DELAY.*soon.*5000/);
  });

  test("nothing at all under OTEL_LOG_LEVEL=none", async () => {
    const { stderr } = await runApp({
      code: "",
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
        OTEL_BSP_SCHEDULE_DELAY: "soon",
        OTEL_LOG_LEVEL: "none",
      },
    });
    expect(stderr).toBe("");
  });
});

describe("what is not needed at start", () => {
  test("is not read then: neither of ours nor of Node's", async () => {
    const code = `
const ours = Object.keys(require.cache).filter((file) => !file.endsWith("app.cjs"));
console.log(JSON.stringify({ ours: ours.map((file) => file.split(/[\\\\/]/).pop()), node: process.moduleLoadList }));`;
    const run = async (preload: "require" | "none") => {
      const { stdout } = await runApp({ type: "cjs", preload, code, env: collector() });
      return JSON.parse(stdout) as { ours: string[]; node: string[] };
    };
    const [without, traced] = [await run("none"), await run("require")];
    expect(traced.ours).toContain("core.js");
    expect(traced.ours).not.toContain("recording.js");
    const heavy = /^NativeModule (?:perf_hooks|http2|https|zlib|worker_threads|crypto|child_process)$/;
    expect(traced.node.filter((name) => heavy.test(name) && !without.node.includes(name))).toEqual([]);
  });

  test("and cannot be read later, because it was removed: says so once, and the application goes on", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tracekit-removed-"));
    try {
      cpSync(dirname(preloadFile), folder, { recursive: true });
      const { stdout, stderr, code } = await runApp({
        type: "cjs",
        preload: "none",
        nodeArgs: ["--require", join(folder, "register.js")],
        env: collector(),
        code: `
require("node:fs").rmSync(${JSON.stringify(folder)}, { recursive: true });
process.chdir("/");
const { context, propagation, trace } = require("@opentelemetry/api");
const http = require("node:http");
const server = http.createServer((request, response) => {
  propagation.inject(context.active(), {});
  const answer = trace.getTracer("t").startActiveSpan("manual", (span) => {
    span.setAttribute("a", 1).end();
    return "served";
  });
  response.end(answer);
}).listen(0, "127.0.0.1", async () => {
  for (let time = 0; time < 2; time++) {
    const answer = await new Promise((resolve, reject) => {
      const request = http.get({ port: server.address().port, agent: false }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk) => (text += chunk)).on("end", () => resolve(text));
      });
      request.on("error", reject);
    });
    console.log(answer);
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  server.close();
});`,
      });
      expect([code, stdout]).toEqual([0, "served\nserved\n"]);
      expect(stderr.match(/^tracekit: nothing is traced from here on/gm)).toHaveLength(1);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
