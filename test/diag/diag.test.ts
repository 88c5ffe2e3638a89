import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { diag } from "../../src/diag/diag.ts";
import type { LogLevel } from "../../src/diag/diag.ts";

let lines: string[];

beforeEach(() => {
  lines = [];
  diag.setSink((line) => lines.push(line));
});
afterEach(() => {
  diag.setLevel("info");
  diag.setSink();
});

function sayAll(): void {
  diag.error("e");
  diag.warn("w");
  diag.info("i");
  diag.debug("d");
  diag.verbose("v");
}

describe("levels", () => {
  const expected: [LogLevel, string][] = [
    ["none", ""],
    ["error", "e"],
    ["warn", "ew"],
    ["info", "ewi"],
    ["debug", "ewid"],
    ["verbose", "ewidv"],
    ["all", "ewidv"],
  ];
  test.each(expected)("%s writes exactly %j", (level, said) => {
    diag.setLevel(level);
    sayAll();
    expect(lines.join("")).toBe([...said].map((one) => `tracekit: ${one}\n`).join(""));
  });

  test("isEnabled agrees with what is written, and is never true for none", () => {
    diag.setLevel("warn");
    expect(diag.isEnabled("warn")).toBe(true);
    expect(diag.isEnabled("info")).toBe(false);
    expect(diag.isEnabled("none")).toBe(false);
  });

  test("is info until told otherwise", () => {
    sayAll();
    expect(lines).toHaveLength(3);
  });
});

describe("lines", () => {
  test("every line of a message carries the prefix", () => {
    diag.warn("one\ntwo");
    expect(lines).toEqual(["tracekit: one\ntracekit: two\n"]);
  });

  test("control characters of a value never reach the terminal", () => {
    diag.warn("a\u001b[2Jb\rc\u009bd");
    expect(lines).toEqual(["tracekit: a[2Jbcd\n"]);
  });

  test("a sink that throws is swallowed", () => {
    diag.setSink(() => {
      throw new Error("EPIPE");
    });
    expect(() => diag.error("x")).not.toThrow();
  });
});

describe("warnOnce", () => {
  test("says a key once", () => {
    diag.warnOnce("a", "first");
    diag.warnOnce("a", "second");
    diag.warnOnce("b", "third");
    expect(lines).toEqual(["tracekit: first\n", "tracekit: third\n"]);
  });

  test("a key that the level silenced is still said later", () => {
    diag.setLevel("error");
    diag.warnOnce("a", "hidden");
    diag.setLevel("warn");
    diag.warnOnce("a", "shown");
    expect(lines).toEqual(["tracekit: shown\n"]);
  });

  test("the 256th key is said, the 257th only announces the end, later ones are silent", () => {
    for (let index = 1; index <= 300; index++) diag.warnOnce(`key ${index}`, `message ${index}`);
    expect(lines).toHaveLength(257);
    expect(lines[255]).toContain("message 256");
    expect(lines[256]).toContain("further ones are not shown");
  });
});

describe("stderr", () => {
  const run = (code: string) =>
    spawnSync(process.execPath, ["--import", "tsx", "--eval", code], {
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
      encoding: "utf8",
    });

  test("a line written right before process.exit arrives, past a patched console and process.stderr", () => {
    const child = run(`
      const { diag } = require("./src/diag/diag.ts");
      console.error = console.warn = process.stderr.write = () => { throw new Error("patched"); };
      diag.warn("bye");
      process.exit(3);
    `);
    expect(child.stderr).toBe("tracekit: bye\n");
    expect(child.status).toBe(3);
  });

  test("a closed stderr is not the application's problem", () => {
    const child = run(`
      const { diag } = require("./src/diag/diag.ts");
      require("node:fs").closeSync(2);
      diag.warn("nobody hears this");
      console.log("still here");
    `);
    expect(child.stdout).toBe("still here\n");
    expect(child.status).toBe(0);
  });
});
