import { describe, expect, test } from "vitest";
import { parseFilter } from "../../src/model/filter.ts";
import type { RequestStats, ServiceEdge, ServiceNode } from "../../src/model/api.ts";
import { tracesHref } from "../../web/pages/services/traces-href.ts";
import { parseRange, rangeStart } from "../../web/pages/services/range.ts";
import { layOutMap, MAP_SIZES, type MapLayout } from "../../web/pages/services/map-layout.ts";
import {
  errorShare,
  FIRST_SORTING,
  formatRate,
  formatShare,
  formatSorting,
  nextSorting,
  parseSorting,
  sortServices,
} from "../../web/pages/services/sort-services.ts";

const stats = (count: number, errorCount = 0): RequestStats => ({
  count,
  errorCount,
  perSecond: count / 60,
  p50Nanos: count * 1000,
  p95Nanos: count * 2000,
});
const node = (id: string, count = 1): ServiceNode => ({ id, name: id, type: "service", stats: stats(count) });
const edge = (from: string, to: string): ServiceEdge => ({ from, to, stats: stats(1) });
const layersOf = (layout: MapLayout): Record<string, number> =>
  Object.fromEntries(layout.nodes.map(({ node: { id }, layer }) => [id, layer]));

/** `a>b a>c` as nodes and edges. */
function map(text: string): MapLayout {
  const edges = text.split(" ").map((pair) => {
    const [from = "", to = ""] = pair.split(">");
    return edge(from, to);
  });
  const ids = [...new Set(edges.flatMap(({ from, to }) => [from, to]))].filter((id) => id !== "");
  return layOutMap(
    ids.map((id) => node(id)),
    edges.filter(({ to }) => to !== ""),
  );
}

describe("map", () => {
  test("a node stands behind the farthest of its callers", () => {
    expect(layersOf(map("web>api api>db web>db api>cache"))).toEqual({ web: 0, api: 1, db: 2, cache: 2 });
  });

  test("edges that close a cycle lead back and do not count", () => {
    const layout = map("a>b b>c c>a c>d d>d");
    expect(layersOf(layout)).toEqual({ a: 0, b: 1, c: 2, d: 3 });
    expect(
      layout.edges.filter(({ isBackward }) => isBackward).map(({ edge: { from, to } }) => `${from}>${to}`),
    ).toEqual(["c>a", "d>d"]);
  });

  test("nothing overlaps, and all is inside the picture", () => {
    const text = Array.from({ length: 60 }, (_, index) => `n${(index * 7) % 23}>n${(index * 13 + 5) % 29}`).join(" ");
    const { nodes, width, height } = map(text);
    for (const [
      index,
      {
        x,
        y,
        node: { id },
      },
    ] of nodes.entries()) {
      expect(x >= 0 && y >= 0 && x + MAP_SIZES.nodeWidth <= width && y + MAP_SIZES.nodeHeight <= height, id).toBe(true);
      for (const other of nodes.slice(index + 1)) {
        expect(Math.abs(other.x - x) >= MAP_SIZES.nodeWidth || Math.abs(other.y - y) >= MAP_SIZES.nodeHeight).toBe(
          true,
        );
      }
    }
  });

  test("lines do not cross where they need not", () => {
    const { nodes } = map("a>y a>w b>x b>z");
    const y = (id: string): number => nodes.find((placed) => placed.node.id === id)!.y;
    const [first, second] =
      y("a") < y("b")
        ? [
            ["y", "w"],
            ["x", "z"],
          ]
        : [
            ["x", "z"],
            ["y", "w"],
          ];
    expect(Math.max(...first!.map(y))).toBeLessThan(Math.min(...second!.map(y)));
  });

  test("the same map gives the same picture, in whatever order it comes", () => {
    const ids = ["a", "b", "c", "d", "e"];
    const edges = [edge("a", "b"), edge("a", "c"), edge("c", "d"), edge("b", "e"), edge("e", "a")];
    const nodes = ids.map((id) => node(id));
    expect(layOutMap(nodes.toReversed(), edges.toReversed())).toEqual(layOutMap(nodes, edges));
  });

  test("edges to what is not there are left out, and an empty map has no size", () => {
    expect(layOutMap([node("a")], [edge("a", "gone")]).edges).toEqual([]);
    expect(layOutMap([], [])).toEqual({ nodes: [], edges: [], width: 0, height: 0 });
  });

  test("a thousand services are laid out", () => {
    const edges = Array.from({ length: 1500 }, (_, index) => edge(`n${index % 1000}`, `n${(index * 37 + 11) % 1000}`));
    const nodes = Array.from({ length: 1000 }, (_, index) => node(`n${index}`));
    expect(layOutMap(nodes, edges).nodes).toHaveLength(1000);
  });
});

describe("table", () => {
  const nodes = [node("b", 10), node("a", 10), { ...node("c", 99), stats: stats(99, 9) }];

  test("sorts by any column, equals by name", () => {
    const names = (text: string): string =>
      sortServices(nodes, parseSorting(text))
        .map(({ name }) => name)
        .join("");
    expect(names("-count")).toBe("cab");
    expect(names("count")).toBe("abc");
    expect(names("-errors")).toBe("cab");
    expect(names("name")).toBe("abc");
    expect(names("-name")).toBe("cba");
    expect(names("nonsense")).toBe("cab");
  });

  test("a second click turns the order round", () => {
    expect(nextSorting(FIRST_SORTING, "count")).toEqual({ column: "count", isDescending: false });
    expect(nextSorting(FIRST_SORTING, "name")).toEqual({ column: "name", isDescending: false });
    expect(formatSorting(nextSorting(FIRST_SORTING, "p95"))).toBe("-p95");
  });

  test("shares and rates are short, and never hide that there is one", () => {
    expect([0, 0.0001, 0.004, 0.123, 0.9999, 1].map(formatShare)).toEqual([
      "0%",
      "<0.1%",
      "0.4%",
      "12%",
      ">99.9%",
      "100%",
    ]);
    expect([0, 1234, 12.34, 1.25, 0.05, 0.001, 0.0000001].map(formatRate)).toEqual([
      "0/s",
      "1,234/s",
      "12/s",
      "1.3/s",
      "3/min",
      "3.6/h",
      "<0.1/h",
    ]);
    expect(errorShare({ count: 0, errorCount: 0 })).toBe(0);
  });
});

test("a node leads to its traces of the same time, in words the filter understands", () => {
  const of = (type: ServiceNode["type"], name: string, range: string): string => {
    const query = tracesHref({ ...node("x"), type, name }, range).slice(2);
    expect(parseFilter(new URLSearchParams(query)).problems).toEqual([]);
    return decodeURIComponent(query);
  };
  expect(of("service", "url", "15m")).toBe("service=url&since=-15m");
  expect(of("database", "postgresql/app/x", "all")).toBe("attr=db.system.name=postgresql&attr=db.namespace=app/x");
  expect(of("cache", "redis", "1h")).toBe("attr=db.system.name=redis&since=-1h");
  expect(of("topic", "orders", "all")).toBe("attr=messaging.destination.name=orders");
  expect(of("host", "api.example:443", "all")).toBe("attr=server.address=api.example");
  expect([parseRange("5m"), parseRange("nonsense"), parseRange(null)]).toEqual(["5m", "1h", "1h"]);
  expect([rangeStart("5m"), rangeStart("all")]).toEqual([-300_000, undefined]);
});
