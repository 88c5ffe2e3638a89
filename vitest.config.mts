import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({
  test: {
    include: ["test/**/*.test.ts", "dashboard/test/**/*.test.ts"],
    globalSetup: ["test/services/global-setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Most tests wait for a child process; more workers than cores only makes them wait longer.
    maxWorkers: 2,
  },
});

export default config;
