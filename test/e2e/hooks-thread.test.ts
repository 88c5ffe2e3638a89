import { expect, test } from "vitest";
import { runApp } from "../support/run-app.ts";

test("Tracekit does not start a second time in the thread where another loader's hooks run", async () => {
  const { code, stderr } = await runApp({
    preload: "require",
    nodeArgs: ["--no-deprecation"],
    code: `
      import { register } from "node:module";
      register("data:text/javascript,");
      await import("node:fs");
      setTimeout(() => {}, 100);`,
    // Said once at each start.
    env: { OTEL_TRACES_SAMPLER: "nonsense", OTEL_TRACES_EXPORTER: "none" },
  });
  expect(code).toBe(0);
  expect(stderr.match(/nonsense/g)).toHaveLength(1);
});
