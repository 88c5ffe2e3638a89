import { describe, expect, test } from "vitest";
import { formatAge, formatBytes, formatCount, formatDuration, plural } from "../../web/format.ts";

describe("formatDuration", () => {
  test.each([
    [0, "0ms"],
    [412, "412ns"],
    [999.4, "999ns"],
    [312_000, "312µs"],
    [4_500_000, "4.5ms"],
    [4_567_000, "4.57ms"],
    [45_670_000, "45.7ms"],
    [187_000_000, "187ms"],
    [1_204_000_000, "1.2s"],
    [59_900_000_000, "59.9s"],
    [65_000_000_000, "1m 05s"],
    [3_600_000_000_000, "1h 00m"],
    [3 * 86_400_000_000_000, "3d"],
    [-4_500_000, "-4.5ms"],
  ])("%d ns is %s", (nanos, text) => {
    expect(formatDuration(nanos)).toBe(text);
  });

  test("a unit ends where rounding would print 1000 of it", () => {
    expect(formatDuration(999_499)).toBe("999µs");
    expect(formatDuration(999_500)).toBe("1ms");
    expect(formatDuration(999_499_999)).toBe("999ms");
    expect(formatDuration(999_500_000)).toBe("1s");
    expect(formatDuration(59_949_000_000)).toBe("59.9s");
    expect(formatDuration(59_950_000_000)).toBe("1m 00s");
    expect(formatDuration(3_599_600_000_000)).toBe("1h 00m");
  });

  test("what is no number is a dash", () => {
    expect(formatDuration(Number.NaN)).toBe("–");
    expect(formatDuration(Number.POSITIVE_INFINITY)).toBe("–");
  });
});

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1 KB"],
  [1_500_000, "1.43 MB"],
  [512 * 2 ** 20, "512 MB"],
  [1023.9 * 2 ** 20, "1 GB"],
])("%d bytes are %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  [1500, "now"],
  [12_000, "12s ago"],
  [59_999, "59s ago"],
  [60_000, "1m ago"],
  [3_600_000, "1h ago"],
  [47 * 3_600_000, "47h ago"],
  [72 * 3_600_000, "3d ago"],
])("what happened %d ms before is said to be %s", (millis, text) => {
  expect(formatAge(1_000_000_000, 1_000_000_000 + millis)).toBe(text);
});

test("a sender whose clock is ahead is now", () => {
  expect(formatAge(5000, 1000)).toBe("now");
});

test("counts are grouped, and agree with their noun", () => {
  expect(formatCount(1_204_000)).toBe("1,204,000");
  expect(plural(1, "trace")).toBe("1 trace");
  expect(plural(1200, "trace")).toBe("1,200 traces");
  expect(plural(2, "miss", "misses")).toBe("2 misses");
});
