import { afterEach, describe, expect, test, vi } from "vitest";
import type * as Clock from "../../src/trace/clock.ts";
import { fromTimeInput, now, toHrTime, writeUnixNano } from "../../src/trace/clock.ts";

function unixNano(time: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  writeUnixNano(time, view, 0);
  return view.getBigUint64(0, true);
}

test("both written forms of a time are the same nanosecond", () => {
  for (const time of [now(), 0, 0.0000001, 12345.678901, 86_400_000.999999]) {
    const [seconds, nanos] = toHrTime(time);
    expect(unixNano(time)).toBe(BigInt(seconds) * 1_000_000_000n + BigInt(nanos));
    expect(nanos).toBeLessThan(1e9);
  }
});

test("is the clock of performance.now(), to microseconds", () => {
  const apart = Array.from({ length: 1000 }, () => {
    const before = performance.now();
    const time = now();
    return Math.max(before - time, time - performance.now());
  });
  // Of a thousand readings at least one is not interrupted.
  expect(Math.min(...apart)).toBeLessThan(0.02);
});

describe("a clock that was just loaded", () => {
  afterEach(() => {
    vi.restoreAllMocks();
    vi.resetModules();
  });

  /** Not the one of the other tests: an anchor is a process's, and starts with the first read. */
  async function load(): Promise<typeof Clock> {
    vi.resetModules();
    return await import("../../src/trace/clock.ts");
  }

  function wallMillis(clock: typeof Clock, time = clock.now()): number {
    const [seconds, nanos] = clock.toHrTime(time);
    return seconds * 1000 + nanos / 1e6;
  }

  test("is the wall clock to the millisecond, however long its first read takes", async () => {
    const getBuiltinModule = process.getBuiltinModule.bind(process);
    vi.spyOn(process, "getBuiltinModule").mockImplementation(((name: string) => {
      const until = Date.now() + 40;
      while (Date.now() < until);
      return getBuiltinModule(name);
    }) as typeof process.getBuiltinModule);
    for (const first of ["reanchor", "now"] as const) {
      const clock = await load();
      clock[first]();
      const before = Date.now();
      const wall = wallMillis(clock);
      expect(wall).toBeGreaterThanOrEqual(before - 1);
      expect(wall).toBeLessThanOrEqual(Date.now() + 2);
    }
  });

  test("follows a wall clock that was set, and is not moved by one that was not", async () => {
    let ahead = 0;
    const readWall = Date.now;
    vi.spyOn(Date, "now").mockImplementation(() => readWall() + ahead);
    const clock = await load();
    clock.reanchor();
    const time = clock.now();
    const readings = Array.from({ length: 1000 }, () => {
      clock.reanchor();
      return wallMillis(clock, time);
    });
    // Node's origin is exact to some 10 µs, one reading of the wall clock to 1000.
    expect(Math.max(...readings) - Math.min(...readings)).toBeLessThan(0.1);

    for (ahead of [3_600_000, -3_600_000]) {
      clock.reanchor();
      const before = Date.now();
      const wall = wallMillis(clock);
      expect(wall).toBeGreaterThanOrEqual(before - 1);
      expect(wall).toBeLessThanOrEqual(Date.now() + 2);
    }
  });
});

test.each([
  ["epoch milliseconds", 1_700_000_000_123],
  ["a date", new Date(1_700_000_000_123)],
  ["seconds and nanoseconds", [1_700_000_000, 123_000_000] as [number, number]],
])("a caller's %s keep their millisecond", (_, input) => {
  expect(unixNano(fromTimeInput(input)) / 1000n).toBe(1_700_000_000_123_000n);
});

test("a performance.now() reading is taken as it is", () => {
  expect(fromTimeInput(42.5)).toBe(42.5);
});
