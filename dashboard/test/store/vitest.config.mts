import { defineConfig, type ViteUserConfig } from "vitest/config";

// What `node-sqlite.test.ts` runs on other Nodes: the rest of this folder, without the servers that other tests need.
const config: ViteUserConfig = defineConfig({
  test: {
    include: ["dashboard/test/store/*.test.ts"],
    exclude: ["**/node-sqlite.test.ts"],
    testTimeout: 60_000,
    maxWorkers: 2,
  },
});

export default config;
