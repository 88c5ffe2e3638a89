import { defineConfig, type ViteUserConfig } from "vitest/config";

// For this folder alone, on any Node: without the servers that other tests need.
const config: ViteUserConfig = defineConfig({
  test: { include: ["dashboard/test/store/*.test.ts"], testTimeout: 60_000, maxWorkers: 2 },
});

export default config;
