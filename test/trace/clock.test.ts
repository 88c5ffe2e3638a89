import { expect, test } from "vitest";
import { fromTimeInput, now, reanchor, toHrTime, writeUnixNano } from "../../src/trace/clock.ts";

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

test("now is the wall clock within a second, also after re-anchoring", () => {
  expect(Math.abs(Number(unixNano(now()) / 1_000_000n) - Date.now())).toBeLessThan(1000);
  reanchor();
  expect(Math.abs(Number(unixNano(now()) / 1_000_000n) - Date.now())).toBeLessThan(1000);
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
