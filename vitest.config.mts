import { defineConfig, type ViteUserConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The test that compiles six versions of a library takes six minutes. Begun last, it leaves a core idle. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLongest = ({ moduleId }: TestSpecification): boolean => moduleId.endsWith("/better-sqlite3.test.ts");
    return [...sorted.filter(isLongest), ...sorted.filter((file) => !isLongest(file))];
  }
}

const config: ViteUserConfig = defineConfig({
  test: {
    include: ["test/**/*.test.ts", "dashboard/test/**/*.test.ts"],
    globalSetup: ["test/services/global-setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Most tests wait for a child process; more workers than cores only makes them wait longer.
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
  },
});

export default config;
