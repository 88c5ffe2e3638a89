import { expect, test } from "vitest";
import { judge } from "../../benchmarks/soak/flatness.ts";
import { runSoak } from "../../benchmarks/soak/run.ts";

// The short form of `npm run soak`, which sends a hundred times as many.
test("nothing grows while requests fail, stall and are abandoned, and nothing holds the process at the end", async () => {
  const { samples, wrong, spansReceived, leftAlone } = await runSoak({
    requests: 4000,
    times: 5,
    node: process.env["TRACEKIT_TEST_NODE"] || process.execPath,
  });
  expect(wrong).toEqual({});
  // Memory from the system still settles in so few requests; the long form judges it.
  const verdicts = judge(samples).filter(({ what }) => what !== "rssMegabytes");
  expect(verdicts.filter(({ isFlat }) => !isFlat)).toEqual([]);
  expect(spansReceived).toBeGreaterThan(2 * 4000);
  expect(leftAlone).toBe(true);
}, 300_000);
