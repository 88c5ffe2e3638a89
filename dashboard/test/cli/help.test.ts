import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { repositoryRoot } from "../../../test/support/built.ts";
import { dashboard } from "../../src/cli/dashboard-command.ts";
import { dev } from "../../src/cli/dev-command.ts";
import { tail } from "../../src/cli/tail-command.ts";
import { buildBoth, dashboardFile, ended } from "./support.ts";

const commands = [dashboard, dev, tail];

beforeAll(buildBoth, 300_000);

describe.each(commands.map((command) => [command.name, command] as const))("tracekit %s", (name, command) => {
  test("--help tells of every option once, its default, the environment, examples and exit codes", async () => {
    const { code, stdout, stderr } = await ended([name, "--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const option of command.options) {
      const line = new RegExp(
        String.raw`^ {2}(?:-\w, )?--${option.name}(?: ${option.value ?? "(?= |$)"})?(?: |$)`,
        "gm",
      );
      expect(stdout.match(line) ?? [], option.name).toHaveLength(1);
      if (option.default !== undefined) expect(stdout.replace(/\s+/g, " ")).toContain(`Default: ${option.default}`);
    }
    for (const [variable] of command.environment) expect(stdout).toContain(`  ${variable} `);
    for (const [words] of command.examples) expect(stdout).toContain(`  tracekit ${words}`);
    for (const [exitCode] of command.exitCodes) expect(stdout).toContain(`\n  ${exitCode} `);
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(120);
  });

  test("has all its options in the README", () => {
    const readme = readFileSync(join(repositoryRoot, "dashboard/README.md"), "utf8");
    for (const option of command.options) expect(readme).toContain(`\`--${option.name}`);
    for (const [variable] of command.environment.filter(([one]) => !one.includes(" ")))
      expect(readme).toContain(variable);
  });

  test("refuses an option it does not know with exit code 2 and the way to the list", async () => {
    const { code, stdout, stderr } = await ended([name, "--prot", "1", ...(name === "dev" ? ["--", "true"] : [])]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("there is no option --prot.");
    expect(stderr).toContain(`tracekit ${name} --help`);
  });
});

test("tracekit --help lists every command of both packages", async () => {
  const { code, stdout } = await ended(["--help"]);
  expect(code).toBe(0);
  for (const name of ["run", "config", ...commands.map((command) => command.name)])
    expect(stdout).toMatch(new RegExp(`^ {2}tracekit ${name} .*\\w`, "m"));
});

test.each(["run", "config"])("tracekit %s --help is complete", async (name) => {
  const { code, stdout } = await ended([name, "--help"]);
  expect(code).toBe(0);
  for (const section of ["Usage", "Options", "Environment", "Examples", "Exit codes"])
    expect(stdout).toContain(`\n${section}\n`);
});

describe("tracekit-dashboard", () => {
  const file = dashboardFile;

  test("--help lists the commands by the name it was started with", async () => {
    const { code, stdout } = await ended(["--help"], { file });
    expect(code).toBe(0);
    for (const { name, summary } of commands)
      expect(stdout).toMatch(new RegExp(`tracekit-dashboard ${name} +${summary}`));
  });

  test("--version is the package's", async () => {
    const { version } = JSON.parse(readFileSync(join(repositoryRoot, "dashboard/package.json"), "utf8")) as {
      version: string;
    };
    expect((await ended(["--version"], { file })).stdout).toBe(`${version}\n`);
  });

  test("a slip in a command's name is answered with the one that was meant", async () => {
    const { code, stderr } = await ended(["dashbord"], { file });
    expect({ code, stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("Did you mean dashboard?") as string,
    });
  });
});

test.each([
  [["dashboard", "--host", "0.0.0.0"], "add --token"],
  [["dashboard", "--token", "schlüssel"], "--token has letters, digits"],
  [["dashboard", "--memory", "--store", "x.db"], "leave out --store, or --memory"],
  [["dashboard", "--editor", "ed"], "--editor ed is none of"],
  [["dashboard", "--max-size", "much"], "--max-size much is not a size"],
  [["dev"], "which command?"],
  [["tail", "--status", "tired"], "--status=tired is not ok, error"],
  [["tail", "--count", "0"], "--count 0 is not a number"],
  [["tail", "--url", "http://["], "--url http://[ is not an address"],
])("tracekit %j makes no sense, and says why", async (args, message) => {
  const { code, stderr } = await ended(args);
  expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining(message) as string });
});
