import { describe, expect, test } from "vitest";
import { parseBody } from "../../web/pages/span/body.ts";
import { formatJson, type JsonNode, parseJson, toJsonNode } from "../../web/pages/span/json.ts";
import { type JsonRow, moveInTree, visibleRows } from "../../web/pages/span/json-rows.ts";

const NONE: ReadonlySet<string> = new Set();

/** The tree as JavaScript, numbers as their text. */
function plain(node: JsonNode): unknown {
  if (node.kind === "array") return node.entries.map((entry) => plain(entry.node));
  if (node.kind === "object") return Object.fromEntries(node.entries.map((entry) => [entry.key, plain(entry.node)]));
  return node.kind === "null" ? null : node.text;
}

function parsed(text: string): unknown {
  const result = parseJson(text);
  return result === undefined ? undefined : plain(result.root);
}

describe("JSON", () => {
  test("numbers keep their digits, and keys their order", () => {
    const text = '{"b":12345678901234567890,"a":[1.10,-0,true,null,"\\u00e9\\n"]}';
    const { root, isCut } = parseJson(text) ?? {};
    expect(isCut).toBe(false);
    expect(formatJson(root as JsonNode).replaceAll(/\s/g, "")).toBe(
      '{"b":12345678901234567890,"a":[1.10,-0,true,null,"é\\n"]}',
    );
  });

  test("every beginning of a text is read as far as it goes", () => {
    const text = '{"a": [1, 2.5e3, {"b\\u00e9": "c\\n\\"d"}], "e": true, "f": null, "g": {}} ';
    for (let length = 1; length <= text.length; length++) {
      for (const mark of ["", "…"]) {
        const result = parseJson(text.slice(0, length) + mark);
        expect(result, `${text.slice(0, length)}${mark}`).toBeDefined();
        expect(result?.isCut).toBe(length < text.length - 1 || mark !== "");
      }
    }
    expect(parsed('{"a":[1,{"b":"cd…')).toEqual({ a: ["1", { b: "cd" }] });
    expect(parsed('{"a":1,"b":tr…')).toEqual({ a: "1" });
  });

  test("what is no JSON is left alone", () => {
    for (const text of [
      "",
      "hello",
      "12",
      '"text"',
      "{a:1}",
      "[1 2]",
      "[1,,2]",
      '{"a" 1}',
      "[1]x",
      '["a\\x"]',
      "[tru]",
      "<a>",
    ]) {
      expect(parseJson(text), text).toBeUndefined();
    }
  });

  test("is read 500 deep, and left as text beyond", () => {
    expect(parseJson("[".repeat(500))?.isCut).toBe(true);
    expect(parseJson("[".repeat(501))).toBeUndefined();
  });

  test("a text that ends with the mark inside a string is not taken for cut where it is whole", () => {
    expect(parseJson('["and so on…"]')).toMatchObject({
      isCut: false,
      root: { entries: [{ node: { text: "and so on…" } }] },
    });
  });
});

describe("tree", () => {
  const tree = toJsonNode({ items: [{ id: 1, "odd key": "x" }], empty: {}, none: null });

  test("shows the first levels open, with the path to each value", () => {
    const { rows } = visibleRows(tree, NONE, 100);
    expect(rows.map(({ path, level, isOpen }) => [path, level, isOpen])).toEqual([
      ["items", 1, true],
      ["items[0]", 2, true],
      ["items[0].id", 3, undefined],
      ['items[0]["odd key"]', 3, undefined],
      ["empty", 1, undefined],
      ["none", 1, undefined],
    ]);
  });

  test("what is toggled is closed, and what is long starts closed", () => {
    const { rows } = visibleRows(tree, NONE, 100);
    const items = rows[0] as JsonRow;
    expect(visibleRows(tree, new Set([items.id]), 100).rows.map(({ path }) => path)).toEqual([
      "items",
      "empty",
      "none",
    ]);
    const long = toJsonNode({ list: Array.from({ length: 51 }, (_, index) => index) });
    expect(visibleRows(long, NONE, 100).rows).toHaveLength(1);
  });

  test("lines beyond the limit are counted", () => {
    const long = toJsonNode(Array.from({ length: 30 }, (_, index) => [index]));
    const { rows, omitted } = visibleRows(long, NONE, 10);
    expect(rows).toHaveLength(10);
    expect(omitted).toBeGreaterThanOrEqual(20);
  });

  test("keys there twice have rows of their own", () => {
    const twice = parseJson('{"a":1,"a":2}');
    const { rows } = visibleRows(twice!.root, NONE, 10);
    expect(new Set(rows.map(({ id }) => id)).size).toBe(2);
  });

  test("JSON in a string opens like any other, and stays a string to whoever copies it", () => {
    const node = toJsonNode({ Message: '{"id":[1]}', text: "{no json", list: "[]" });
    const { rows } = visibleRows(node, NONE, 100);
    expect(rows.map(({ path, isOpen }) => [path, isOpen])).toEqual([
      ["Message", true],
      ["Message.id", true],
      ["Message.id[0]", undefined],
      ["text", undefined],
      ["list", undefined],
    ]);
    expect(rows[0]?.node).toMatchObject({ kind: "string" });
  });

  test("arrows move, open and close as in any tree", () => {
    const { rows } = visibleRows(tree, NONE, 100);
    const id = (path: string): string => rows.find((row) => row.path === path)!.id;
    expect(moveInTree(rows, id("items"), "ArrowDown")).toEqual({ focus: id("items[0]") });
    expect(moveInTree(rows, id("items"), "ArrowRight")).toEqual({ focus: id("items[0]") });
    expect(moveInTree(rows, id("items"), "ArrowLeft")).toEqual({ toggle: id("items") });
    expect(moveInTree(rows, id("items[0].id"), "ArrowLeft")).toEqual({ focus: id("items[0]") });
    expect(moveInTree(rows, id("items"), "End")).toEqual({ focus: id("none") });
    expect(moveInTree(rows, id("none"), "ArrowDown")).toEqual({});
    expect(moveInTree(rows, id("none"), "x")).toBeUndefined();
  });
});

describe("bodies", () => {
  test("JSON is a tree, also without a content type", () => {
    expect(parseBody('{"a":1}', "application/vnd.api+json; charset=utf-8")).toMatchObject({
      kind: "tree",
      what: "JSON",
    });
    expect(parseBody('{"a":1}', undefined)).toMatchObject({ kind: "tree", isCut: false });
    expect(parseBody('{"a":[1,2…', "application/json")).toMatchObject({ kind: "tree", isCut: true });
    expect(parseBody("{broken", "application/json")).toMatchObject({ kind: "text", what: "JSON, unreadable" });
  });

  test("a form is decoded, and what is no escape stays", () => {
    expect(parseBody("a=1+2&b=%C3%A9&c=100%&d", "application/x-www-form-urlencoded")).toMatchObject({
      kind: "form",
      fields: [
        ["a", "1 2"],
        ["b", "é"],
        ["c", "100%"],
        ["d", ""],
      ],
    });
  });

  test("events of a stream are read by their fields", () => {
    const body = parseBody(
      'event: add\ndata: {"a":1}\nid: 7\n\ndata: one\ndata: two\n\n: comment\n\n',
      "text/event-stream",
    );
    expect(body.kind === "tree" && plain(body.root)).toEqual([
      { event: "add", data: { a: "1" }, id: "7" },
      { data: "one\ntwo" },
    ]);
  });

  test("lines of JSON are read one by one, the last as far as it goes", () => {
    const body = parseBody('{"a":1}\n{"a":2}\n{"a":3,"b":"x…', "application/x-ndjson");
    expect(body).toMatchObject({ kind: "tree", what: "NDJSON", isCut: true });
    expect(body.kind === "tree" && plain(body.root)).toEqual([{ a: "1" }, { a: "2" }, { a: "3", b: "x" }]);
  });

  test("markup is text", () => {
    expect(parseBody("<p>hi</p>", "text/html; charset=utf-8")).toEqual({
      kind: "text",
      what: "HTML",
      text: "<p>hi</p>",
      isCut: false,
    });
  });
});
