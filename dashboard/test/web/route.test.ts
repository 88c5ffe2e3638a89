import { expect, test } from "vitest";
import { changedSearch, parseRoute, toSearch } from "../../web/route.ts";

test.each([
  ["/", "traces"],
  ["/services", "services"],
  ["/services/", "services"],
  ["/trace/0af7651916cd43dd8448eb211c80319c", "trace"],
  ["/trace/0af76519", "trace"],
  ["/trace/0af7651", "not-found"],
  ["/trace/not-hex-at-all", "not-found"],
  ["/trace/0af7651916cd43dd8448eb211c80319c/more", "not-found"],
  ["/nothing", "not-found"],
])("%s shows %s", (path, page) => {
  expect(parseRoute(path, "").page).toBe(page);
});

test("a trace id is lower-case, its parameters are kept", () => {
  const route = parseRoute("/trace/0AF7651916CD43DD8448EB211C80319C", "?span=b7ad6b7169203331");
  expect(route.traceId).toBe("0af7651916cd43dd8448eb211c80319c");
  expect(route.params.get("span")).toBe("b7ad6b7169203331");
});

test("a change keeps the other parameters; null takes one out", () => {
  const params = new URLSearchParams("service=a&service=b&status=5xx");
  expect(changedSearch(params, { status: null, group: "1" })).toBe("?service=a&service=b&group=1");
  expect(changedSearch(params, { service: null, status: null })).toBe("");
});

test("an address stays readable and means the same", () => {
  const params = new URLSearchParams([
    ["attr", "http.route=/users/:id"],
    ["q", "50% & more+less #1"],
  ]);
  const search = toSearch(params);
  expect(search).toContain("attr=http.route=/users/:id");
  expect([...new URLSearchParams(search)]).toEqual([...params]);
});
