import { describe, expect, test } from "vitest";
import { closest, readArguments } from "../../src/cli/arguments.ts";
import type { Command } from "../../src/cli/command.ts";
import { parsePort, parseRetention, parseSize } from "../../src/cli/values.ts";

const command = (words: Command["words"]): Command => ({
  name: "x",
  summary: "",
  usage: "",
  description: [],
  options: [
    { name: "port", short: "p", value: "<port>", description: "" },
    { name: "since", value: "<time>", description: "" },
    { name: "service", value: "<name>", multiple: true, description: "" },
    { name: "memory", description: "" },
  ],
  words,
  environment: [],
  examples: [],
  exitCodes: [],
  run: () => Promise.resolve(0),
});
const read = (words: string[], kind: Command["words"] = "none"): ReturnType<typeof readArguments> =>
  readArguments(command(kind), words);

describe("the words of a command line", () => {
  test("are values, switches and repeated values", () => {
    const given = read(["-p", "1", "--service=a", "--service", "b", "--memory"]);
    expect(given.text("port")).toBe("1");
    expect(given.texts("service")).toEqual(["a", "b"]);
    expect([given.has("memory"), given.has("since"), given.text("since")]).toEqual([true, false, undefined]);
  });

  test("of an option given twice the last one counts", () => {
    expect(read(["--port", "1", "--port", "2"]).text("port")).toBe("2");
  });

  test("a value may begin with a minus when a number follows", () => {
    expect(read(["--since", "-15m"]).text("since")).toBe("-15m");
  });

  test.each([
    [["--prot", "1"], "there is no option --prot. Did you mean --port?"],
    [["--colour"], "there is no option --colour."],
    [["-x"], "there is no option -x."],
    [["--port"], "--port needs a value: --port <port>"],
    [["--port="], "--port needs a value: --port <port>"],
    [["--port", "--memory"], "--port needs a value: --port <port>"],
    [["--memory=yes"], "--memory is a switch and takes no value."],
    [["more"], '"more" is not expected here.'],
  ])("%j is refused with what is wrong", (words, message) => {
    expect(() => read(words)).toThrow(message);
  });

  test.each([
    [
      ["--port", "1", "--", "node", "--port", "2"],
      ["node", "--port", "2"],
    ],
    [
      ["--port", "1", "node", "--inspect", "app.js"],
      ["node", "--inspect", "app.js"],
    ],
    [
      ["node", "--", "x"],
      ["node", "--", "x"],
    ],
    [["--port", "1"], []],
  ])("%j: what follows is the command's, whatever it looks like", (words, expected) => {
    expect(read(words, "command").words).toEqual(expected);
  });

  test("an unknown option before the command is not taken for a part of it", () => {
    expect(() => read(["--prot", "1", "--", "node"], "command")).toThrow("Did you mean --port?");
  });
});

test.each([
  ["dashbord", "dashboard"],
  ["tial", "tail"],
  ["dve", "dev"],
  ["deploy", undefined],
])("%s was probably meant to be %s", (word, meant) => {
  expect(closest(word, ["dashboard", "dev", "tail"])).toBe(meant);
});

describe("values", () => {
  test.each([
    ["512MB", 512 * 2 ** 20],
    ["1.5 GiB", 1.5 * 2 ** 30],
    ["2g", 2 ** 31],
    ["1000", 1000],
  ])("%s is a size", (text, bytes) => expect(parseSize("max-size", text)).toBe(bytes));

  test.each(["", "MB", "-1", "12 elephants"])("%j is none", (text) => {
    expect(() => parseSize("max-size", text)).toThrow("is not a size like 512MB");
  });

  test("a port is 0 to 65535", () => {
    expect([parsePort("port", "0"), parsePort("port", "65535")]).toEqual([0, 65_535]);
    for (const text of ["65536", "-1", "http", "1.5"]) expect(() => parsePort("port", text)).toThrow("is not a port");
  });

  test("a retention has a unit, or is forever", () => {
    expect([parseRetention("retention", "7d"), parseRetention("retention", "12h")]).toEqual([604_800_000, 43_200_000]);
    expect(parseRetention("retention", "forever")).toBeUndefined();
    for (const text of ["7", "0d", "soon"])
      expect(() => parseRetention("retention", text)).toThrow("is not a duration");
  });
});
