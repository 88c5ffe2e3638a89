import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startOtlpReceiver, type OtlpReceiver } from "../support/otlp-receiver.ts";
import { runApp, startApp } from "../support/run-app.ts";
import { SHOP, SHOP_TYPESCRIPT, shopEnvironment } from "./shop.ts";
import { expectShopTrace, placeFiles } from "./support.ts";

const node = process.env["TRACEKIT_TEST_NODE"] || process.execPath;
const nodeMajor = Number(execFileSync(node, ["-p", "process.versions.node.split('.')[0]"], { encoding: "utf8" }));

let receiver: OtlpReceiver;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
});
beforeEach(() => receiver.reset());
afterAll(() => receiver.close());

describe("an application is traced", () => {
  const forms = Object.keys(SHOP) as Array<keyof typeof SHOP>;
  const preloads = ["import", "require", "node-options"] as const;
  test.each(forms.flatMap((form) => preloads.map((preload) => [form, preload] as const)))(
    "written as %s, with the preload given by %s",
    async (form, preload) => {
      const app = startApp({ ...SHOP[form], preload, env: shopEnvironment(receiver.url) });
      await expectShopTrace(app, receiver);
      expect(await app.kill()).toEqual({ code: 0, signal: null });
      expect(app.stderr).toBe("");
    },
  );

  // tsx gives Node the source of CommonJS files too, which takes them past Node's own loader.
  test.each(["module", "commonjs"])("in TypeScript through tsx, in a package of type %s", async (type) => {
    const app = startApp({
      file: placeFiles({ "app.ts": SHOP_TYPESCRIPT, "package.json": JSON.stringify({ type }) }, "app.ts"),
      nodeArgs: ["--import", pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href],
      env: shopEnvironment(receiver.url),
    });
    await expectShopTrace(app, receiver);
    await app.kill();
  });

  // From Node 22.18 on, Node erases types by itself; that a file is an ES module it takes from the package, or from its syntax.
  test.each(nodeMajor >= 22 ? ["module", undefined] : [])(
    "in TypeScript that Node itself strips, in a package of type %s",
    async (type) => {
      const app = startApp({
        file: placeFiles({ "app.ts": SHOP_TYPESCRIPT, "package.json": JSON.stringify({ type }) }, "app.ts"),
        env: shopEnvironment(receiver.url),
      });
      await expectShopTrace(app, receiver);
      await app.kill();
    },
  );
});

describe("a process the application starts is traced too", () => {
  const CHILD = `
const Redis = require("ioredis");
const redis = new Redis(process.env.REDIS_URL);
redis.get("from:child").then(() => redis.disconnect());`;

  test.each([
    ["a worker thread", `new (require("node:worker_threads").Worker)(__dirname + "/child.cjs")`],
    ["a forked process", `require("node:child_process").fork(__dirname + "/child.cjs")`],
    [
      "a spawned node, by NODE_OPTIONS",
      `require("node:child_process").spawn(process.execPath, [__dirname + "/child.cjs"], { stdio: "inherit" })`,
    ],
    [
      "a cluster worker",
      `const cluster = require("node:cluster"); if (cluster.isPrimary) cluster.fork(); else { require("./child.cjs"); setTimeout(() => process.disconnect(), 300); }`,
    ],
  ])("%s", async (form, code) => {
    const exit = await runApp({
      type: "cjs",
      code,
      files: { "child.cjs": CHILD },
      preload: form.includes("NODE_OPTIONS") ? "node-options" : "import",
      env: shopEnvironment(receiver.url),
    });
    expect([exit.code, exit.stderr]).toEqual([0, ""]);
    const spans = await receiver.waitForSpans((received) => received.some((span) => span.name === "GET"));
    expect(spans.filter((span) => span.name === "GET")).toHaveLength(1);
    expect(spans.find((span) => span.name === "GET")?.attributes["cache.key"]).toEqual(["from:child"]);
  });
});
