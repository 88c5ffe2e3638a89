import { expect, test } from "vitest";
import { formatFilter, parseFilter } from "../../src/model/filter.ts";
import { filterChips } from "../../web/pages/traces/filter-chips.ts";

const chipsOf = (query: string): string[] =>
  filterChips(parseFilter(new URLSearchParams(query)).filter).map(({ name, value }) => `${name}: ${value}`);

test("every condition of the address has a chip that says what it means", () => {
  expect(
    chipsOf("q=card&service=url&service=billing&operation=POST&status=5xx&min=100ms&max=2s&since=-15m&user=u-7"),
  ).toEqual([
    "Text: card",
    "Service: url",
    "Service: billing",
    "Operation: POST",
    "Status: 5xx",
    "Duration: 100ms to 2s",
    "Time: last 15 min",
    "User: u-7",
  ]);
  expect(chipsOf("attr=http.route%3D/x&attr=retries>3&attr=db.name")).toEqual([
    "http.route: /x",
    "retries: more than 3",
    "db.name: exists",
  ]);
});

test.each([
  ["min=500ms", "Duration: at least 500ms"],
  ["max=2s", "Duration: at most 2s"],
  ["since=-24h", "Time: last 24 h"],
  ["since=-7d", "Time: last 7 d"],
  ["since=-1h&until=-5m", "Time: 1 h ago to 5 min ago"],
])("%s reads %s", (query, text) => {
  expect(chipsOf(query)).toEqual([text]);
});

test("without a chip the rest of the filter is as it was", () => {
  const query = "service=url&service=billing&status=5xx&attr=a%3D1&attr=b%3D2";
  const without = filterChips(parseFilter(new URLSearchParams(query)).filter).map((chip) =>
    decodeURIComponent(formatFilter(chip.without).toString()),
  );
  expect(without).toEqual([
    "service=billing&status=5xx&attr=a=1&attr=b=2",
    "service=url&status=5xx&attr=a=1&attr=b=2",
    "service=url&service=billing&attr=a=1&attr=b=2",
    "service=url&service=billing&status=5xx&attr=b=2",
    "service=url&service=billing&status=5xx&attr=a=1",
  ]);
});

test("the last of its kind leaves nothing behind", () => {
  const [service] = filterChips({ service: ["url"] });
  const [attribute] = filterChips({ attributes: [{ key: "a", operator: "exists", value: "" }] });
  expect(service?.without).toEqual({});
  expect(attribute?.without).toEqual({});
});
