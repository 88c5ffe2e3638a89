import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Attributes } from "../../src/model/attributes.ts";
import type { StackFrame, StackTrace } from "../../src/model/trace.ts";
import { createSpanDetails } from "../../src/server/span-details.ts";
import { fakeStoredSpan } from "../support/fake-store.ts";

let folder: string;
beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "tracekit sources ")));
  writeFileSync(join(folder, "app.ts"), Array.from({ length: 20 }, (_, index) => `line ${index + 1}`).join("\n"));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function stacksOf(
  events: { name: string; attributes: Attributes }[],
  options: Parameters<typeof createSpanDetails>[0] = {},
  attributes: Attributes = {},
): Promise<readonly StackTrace[]> {
  const time = { unixMicros: 0, nanos: 0 };
  const stored = fakeStoredSpan({ attributes, events: events.map((event) => ({ ...event, time })) });
  return (await createSpanDetails(options).of(stored)).stacks;
}

async function framesOf(
  lines: string,
  options: Parameters<typeof createSpanDetails>[0] = {},
): Promise<readonly StackFrame[]> {
  const attributes = { "exception.stacktrace": lines };
  const [stack] = await stacksOf([{ name: "exception", attributes }], options);
  return stack?.frames ?? [];
}

describe("a stack", () => {
  test("is read from what Node writes", async () => {
    const program = `
      class Job { async run() { await null; [1].forEach(() => { eval("this_is_not_defined()"); }); } }
      new Job().run().catch((error) => console.log(error.stack));
    `;
    const file = join(folder, "job.mjs");
    writeFileSync(file, program);
    const raw = execFileSync(process.execPath, [file], { encoding: "utf8" });
    const attributes = {
      "exception.type": "ReferenceError",
      "exception.message": "this_is_not_defined is not defined",
      "exception.stacktrace": raw,
    };
    const [stack] = await stacksOf([{ name: "exception", attributes }]);
    expect(stack).toMatchObject({ type: "ReferenceError", message: "this_is_not_defined is not defined", raw });
    expect(stack?.frames.map((frame) => [frame.function, frame.file, frame.line, frame.isLibrary])).toEqual([
      ["eval", pathToFileURL(file).href, 2, false],
      [expect.any(String), pathToFileURL(file).href, 2, false],
      ["Array.forEach", "<anonymous>", 0, true],
      ["Job.run", pathToFileURL(file).href, 2, false],
    ]);
    expect(stack?.frames[3]?.source?.lines.join("\n")).toBe(program);
  });

  test.each<[string, Partial<StackFrame>]>([
    ["at new Pool (/app/node_modules/pg/lib/pool.js:1:2)", { function: "new Pool", isLibrary: true }],
    ["at async Promise.all (index 0)", { function: "Promise.all", file: "index 0", line: 0, isLibrary: true }],
    ["at node:internal/main/run:1:2", { function: "", file: "node:internal/main/run", isLibrary: true }],
    ["at async /app/a b (c).js:10:20", { function: "", file: "/app/a b (c).js", line: 10, column: 20 }],
    ["at Object.<anonymous> (C:\\app\\a.js:1:2)", { function: "Object.<anonymous>", file: "C:\\app\\a.js" }],
    ["at a.b [as c] (webpack-internal:///./a.js:1:2)", { function: "a.b [as c]", file: "webpack-internal:///./a.js" }],
    ["at x (file:///app/my%20app/a.js?v=1:1:2)", { file: "file:///app/my%20app/a.js?v=1" }],
  ])("has a frame for: %s", async (line, frame) => {
    const frames = await framesOf(`Error: no\n    ${line}\n    at last (/z.js:1:1)`);
    expect(frames[0]).toMatchObject(frame);
    expect(frames).toHaveLength(2);
  });

  test("ends where the one of its cause begins, and does not begin in the message", async () => {
    const frames = await framesOf(
      "Error: at noon\nat (dawn)\n    at a (/a.js:1:1)\n    at b (/b.js:1:1) {\n  [cause]: Error: x\n      at c (/c.js:1:1)",
    );
    expect(frames.map(({ file }) => file)).toEqual(["/a.js"]);
  });

  test.each([
    ["Python", 'Traceback (most recent call last):\n  File "/app/a.py", line 3, in f\n    raise X()\nX: no'],
    ["Java", "java.lang.X: no\n\tat com.acme.A.run(A.java:10)\n\tat com.acme.B.run(B.java:11)\n\t... 3 more"],
    ["Go", "main.f(...)\n\t/app/main.go:10 +0x1d\nmain.main()\n\t/app/main.go:20 +0x2f"],
    ["nothing", ""],
  ])("of %s is shown as it is", async (_, raw) => {
    const [stack] = await stacksOf([{ name: "exception", attributes: { "exception.stacktrace": raw } }]);
    expect(stack).toMatchObject({ frames: [], raw });
  });

  test("is found in events and attributes, each once", async () => {
    const attributes = { "exception.type": "E", "exception.stacktrace": "E: no\n    at a (/a.js:1:1)" };
    const events: Parameters<typeof stacksOf>[0] = [
      { name: "exception", attributes },
      { name: "log", attributes: {} },
      { name: "exception", attributes: { "exception.message": "no stack" } },
    ];
    expect(await stacksOf(events, {}, attributes)).toMatchObject([{ type: "E" }, { type: "", message: "no stack" }]);
    expect(await stacksOf([], {}, attributes)).toMatchObject([{ type: "E", message: "no" }]);
  });
});

describe("source lines", () => {
  test("stand with a frame whose file is here, with a link to the editor", async () => {
    const file = join(folder, "app.ts");
    const [byPath, byUrl] = await framesOf(`E\n at a (${file}:10:3)\n at b (${pathToFileURL(file).href}?t=1:2:1)`);
    expect(byPath).toMatchObject({
      source: { firstLine: 5, lines: Array.from({ length: 11 }, (_, index) => `line ${index + 5}`) },
      editorUrl: `vscode://file${pathToFileURL(file).pathname}:10:3`,
    });
    expect(byPath?.editorUrl).toContain("tracekit%20sources");
    expect(byUrl?.source).toEqual({ firstLine: 1, lines: [1, 2, 3, 4, 5, 6, 7].map((number) => `line ${number}`) });
  });

  test("are read of nothing but sources: no other extension, no folder, no large file, no pipe, no other machine", async () => {
    writeFileSync(join(folder, "secrets.env"), "KEY=1");
    writeFileSync(join(folder, "big.js"), "x\n".repeat(1024 * 1024 + 1));
    writeFileSync(join(folder, "min.js"), "x".repeat(10_000));
    mkdirSync(join(folder, "dir.js"));
    symlinkSync(join(folder, "secrets.env"), join(folder, "link.js"));
    execFileSync("mkfifo", [join(folder, "pipe.js")]);
    const names = ["secrets.env", "big.js", "dir.js", "link.js", "pipe.js", "missing.js", "app.ts\0.js", "app.ts/../x"];
    const places = [
      ...names.map((name) => join(folder, name)),
      "/etc/passwd",
      "app.ts",
      "//server/share/app.ts",
      "file://server/share/app.ts",
      "https://example.com/app.ts",
      "node:fs",
    ];
    for (const place of places) {
      const [frame] = await framesOf(`E\n    at a (${place}:1:1)`);
      expect([place, frame?.source, frame?.editorUrl]).toEqual([place, undefined, undefined]);
    }
    const [beyond] = await framesOf(`E\n    at a (${join(folder, "app.ts")}:21:1)`);
    expect(beyond?.source).toBeUndefined();
    const [minified] = await framesOf(`E\n    at a (${join(folder, "min.js")}:1:9000)`);
    expect(minified?.source?.lines[0]).toHaveLength(401);
  });

  test("are only read below the folders that are named, wherever links lead", async () => {
    const inside = join(folder, "inside");
    mkdirSync(inside);
    writeFileSync(join(inside, "a.ts"), "inside");
    symlinkSync(join(folder, "app.ts"), join(inside, "out.ts"));
    const sources = async (path: string): Promise<unknown> =>
      (await framesOf(`E\n    at a (${path}:1:1)`, { sourceRoots: [inside] }))[0]?.source?.lines;
    expect(await sources(join(inside, "a.ts"))).toEqual(["inside"]);
    expect(await sources(join(inside, "out.ts"))).toBeUndefined();
    expect(await sources(join(inside, "..", "app.ts"))).toBeUndefined();
  });
});

describe("a compiled file", () => {
  const map = { version: 3, sources: ["../src/written.ts"], names: [], mappings: "AAAA;AACA;AAEA" };
  const compiled = (): string => join(folder, "dist", "app.js");
  beforeAll(() => {
    mkdirSync(join(folder, "dist"));
    mkdirSync(join(folder, "src"));
    writeFileSync(compiled(), "one();\ntwo();\nthree();\n");
    writeFileSync(join(folder, "src", "written.ts"), "one()\ntwo()\n// why\nthree()\n");
  });

  test("shows what was written, where its map leads to a file that is here", async () => {
    writeFileSync(`${compiled()}.map`, JSON.stringify(map));
    const [frame] = await framesOf(`E\n    at a (${compiled()}:3:1)`);
    const written = join(folder, "src", "written.ts");
    expect(frame).toMatchObject({ file: written, line: 4, column: 1, source: { firstLine: 1 } });
    expect(frame?.editorUrl).toBe(`vscode://file${pathToFileURL(written).pathname}:4:1`);
  });

  test.each([
    ["leads to nothing", JSON.stringify({ ...map, sources: ["../src/gone.ts"] })],
    ["leads to another kind of file", JSON.stringify({ ...map, sources: ["/etc/passwd"] })],
    ["leads to another scheme", JSON.stringify({ ...map, sources: ["webpack://app/a.ts"] })],
    ["is none", "{"],
    ["says nothing", "{}"],
    ["says nonsense", JSON.stringify({ ...map, mappings: 1 })],
  ])("shows itself when its map %s", async (_, text) => {
    writeFileSync(`${compiled()}.map`, text);
    const [frame] = await framesOf(`E\n    at a (${compiled()}:3:1)`);
    expect(frame).toMatchObject({ file: compiled(), line: 3, source: { lines: ["one();", "two();", "three();", ""] } });
  });
});

describe("the editor", () => {
  const urlBy = async (editor: string): Promise<string | undefined> =>
    (await framesOf(`E\n    at a (${join(folder, "app.ts")}:10:3)`, { editor }))[0]?.editorUrl;

  test("is the one that was asked for", async () => {
    const path = pathToFileURL(join(folder, "app.ts")).pathname;
    expect(await urlBy("cursor")).toBe(`cursor://file${path}:10:3`);
    expect(await urlBy("zed")).toBe(`zed://file${path}:10:3`);
    const encoded = encodeURIComponent(join(folder, "app.ts"));
    expect(await urlBy("webstorm")).toBe(`webstorm://open?file=${encoded}&line=10&column=3`);
    expect(await urlBy("mine://at?f={file}&l={line}")).toBe(`mine://at?f=${path}&l=10`);
    expect(await urlBy("none")).toBeUndefined();
  });

  test.each(["ed", "constructor", "javascript:alert('{file}')", "https://evil.example/{file}", "mine://{line}", ""])(
    "has to be known, or an address that opens one: %s",
    (editor) => {
      expect(() => createSpanDetails({ editor })).toThrow(/^editor .* is none of cursor, idea/);
    },
  );
});
