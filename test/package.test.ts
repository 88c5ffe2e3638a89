import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensureBuilt, repositoryRoot } from "./support/built.ts";
import { cleanEnvironment } from "./support/started.ts";
import { startOtlpReceiver, type OtlpReceiver } from "./support/otlp-receiver.ts";

/** An empty project outside the repository, with the packed package installed: what a user has. */
let project: string;
let receiver: OtlpReceiver;

beforeAll(async () => {
  await ensureBuilt();
  receiver = await startOtlpReceiver();
  project = mkdtempSync(join(tmpdir(), "tracekit-package-"));
  writeFileSync(join(project, "package.json"), '{ "name": "empty-project", "version": "1.2.3", "private": true }');
  const [packed] = JSON.parse(
    npm(["pack", "--json", "--ignore-scripts", "--pack-destination", project], repositoryRoot),
  ) as [{ filename: string }];
  npm(["install", "--ignore-scripts", "--no-audit", "--no-fund", join(project, packed.filename)], project);
}, 300_000);

afterAll(async () => {
  await receiver.close();
  rmSync(project, { recursive: true, force: true });
});

function npm(args: readonly string[], cwd: string): string {
  return execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Runs a file in the project, without blocking the receiver in this process. */
async function run(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ stdout: string; stderr: string }> {
  const { execFile } = await import("node:child_process");
  return new Promise((resolve, reject) => {
    const options = { cwd: project, env: { ...cleanEnvironment(), OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, ...env } };
    execFile(process.execPath, args, options, (error, stdout, stderr) =>
      error === null ? resolve({ stdout, stderr }) : reject(new Error(`${error.message}\n${stdout}${stderr}`)),
    );
  });
}

const REQUEST = `
const server = http.createServer((request, response) => response.end("hello"));
server.listen(0, () => http.get({ port: server.address().port, path: "/" }, (response) => {
  response.resume().on("end", () => { server.close(); server.closeAllConnections(); });
}));`;

describe("the installed package", () => {
  test.each([
    ["CommonJS", "--require", "app.cjs", `const http = require("node:http");${REQUEST}`],
    ["CommonJS", "--import", "app.cjs", `const http = require("node:http");${REQUEST}`],
    ["an ES module", "--import", "app.mjs", `import http from "node:http";${REQUEST}`],
  ])("traces %s through %s @tracekit/auto, named after its package.json", async (_, flag, file, code) => {
    receiver.reset();
    writeFileSync(join(project, file), code);
    expect(await run([flag, "@tracekit/auto", file])).toEqual({ stdout: "", stderr: "" });
    const spans = await receiver.waitForSpans(2);
    expect(spans.map(({ kind, name }) => `${kind} ${name}`).toSorted()).toEqual(["CLIENT GET", "SERVER GET"]);
    expect(spans[0]?.resource).toMatchObject({
      "service.name": "empty-project",
      "service.version": "1.2.3",
      "telemetry.distro.name": "@tracekit/auto",
    });
  });

  test.each([
    ["app.cjs", `const { setUser, start, flush, shutdown } = require("@tracekit/auto/api");`],
    ["app.mjs", `import { setUser, start, flush, shutdown } from "@tracekit/auto/api";`],
  ])("gives its functions to %s without starting anything", async (file, importing) => {
    writeFileSync(
      join(project, file),
      `${importing} setUser("u"); console.log(typeof start, typeof flush, typeof shutdown, Symbol.for("opentelemetry.js.api.1") in globalThis);`,
    );
    expect((await run([file])).stdout).toBe("function function function false\n");
  });

  test("has types a strict TypeScript project accepts, as CommonJS and as an ES module", () => {
    const code = `
import { setUser, start, type User } from "@tracekit/auto/api";
import { createInstrumentations } from "@tracekit/auto/instrumentations";
import "@tracekit/auto";
const user: User = { id: "u" };
setUser(user);
start({ serviceName: "x", redact: ["customer", /x/g] });
export const names: string[] = createInstrumentations().map((each) => each.instrumentationName);
// @ts-expect-error: the id is a string
setUser(42);
`;
    writeFileSync(join(project, "typed.mts"), code);
    writeFileSync(join(project, "typed.cts"), code);
    const compiler = join(repositoryRoot, "node_modules/.bin/tsc");
    const types = join(repositoryRoot, "node_modules/@types");
    const options = [
      "--noEmit",
      "--strict",
      "--module",
      "nodenext",
      "--target",
      "es2023",
      "--typeRoots",
      types,
      "--types",
      "node",
    ];
    execFileSync(compiler, [...options, "typed.mts", "typed.cts"], { cwd: project, encoding: "utf8" });
  });

  test("brings the command line, whose help is complete", async () => {
    const cli = join(project, "node_modules/.bin/tracekit");
    expect((await run([cli, "--help"])).stdout).toMatch(/tracekit run -- .*tracekit config/s);
    writeFileSync(join(project, "app.cjs"), "console.log(process.env.NODE_OPTIONS); process.exit(7)");
    await expect(run([cli, "run", "--", process.execPath, "app.cjs"])).rejects.toThrow(/register\.js/);
    expect((await run([cli, "config"], { OTEL_SERVICE_NAME: "shop" })).stdout).toMatch(/service +shop/);
  });

  test.each(["dashboard", "dev", "tail"])(
    "says where tracekit %s comes from when it is not installed",
    async (name) => {
      const cli = join(project, "node_modules/.bin/tracekit");
      await expect(run([cli, name, "--help"])).rejects.toThrow("npm install --save-dev @tracekit/dashboard");
    },
  );

  test("stays small: at most 25 packages and 35 MB, none with an install script", () => {
    const packages = JSON.parse(npm(["query", ":root *"], project)) as Array<{
      name: string;
      scripts?: Record<string, string>;
    }>;
    expect(packages.length).toBeLessThanOrEqual(25);
    const scripted = packages.filter(({ scripts = {} }) =>
      ["preinstall", "install", "postinstall"].some((name) => name in scripts),
    );
    expect(scripted).toEqual([]);
    expect(megabytes(join(project, "node_modules"))).toBeLessThan(35);
  });

  test("ships what it needs and nothing else", () => {
    const folder = join(project, "node_modules/@tracekit/auto");
    expect(readdirSync(folder).toSorted()).toEqual(["CHANGELOG.md", "LICENSE", "README.md", "dist", "package.json"]);
    const { engines, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<
      string,
      unknown
    >;
    expect({ engines, license }).toEqual({ engines: { node: ">=20.19.0" }, license: "Apache-2.0" });
  });
});

function megabytes(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
  }
  return bytes / 1e6;
}
