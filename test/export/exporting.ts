import { afterEach, beforeEach } from "vitest";
import { loadConfig } from "../../src/config/config.ts";
import { counters, diag } from "../../src/diag/diag.ts";
import { createExport, type Exporting, type ExportExtras } from "../../src/export/create-export.ts";
import type { InstrumentationScope } from "../../src/trace/pipeline.ts";
import { createSpan, SCOPE } from "./spans.ts";

/** An export as the environment configures it, and what it says and counts. */
export interface TestExport extends Exporting {
  /** Ends a span. */
  end(name: string, attributes?: Record<string, string | number>, scope?: InstrumentationScope): void;
}

/** Lines of our own log in this test. */
export let messages: string[] = [];
/** Counters since this test began. */
export const counted = (): typeof counters =>
  Object.fromEntries(
    Object.entries(counters).map(([name, value]) => [name, value - before[name as keyof typeof counters]]),
  ) as typeof counters;

let before = { ...counters };
const running: Exporting[] = [];

/** To be called once in a test file. */
export function watchExports(): void {
  beforeEach(() => {
    messages = [];
    before = { ...counters };
    diag.setSink((line) => messages.push(line));
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map((exporting) => exporting.shutdown()));
    diag.setSink();
  });
}

export function startExport(env: Record<string, string>, extras: ExportExtras = {}): TestExport {
  const config = loadConfig({ OTEL_SERVICE_NAME: "shop", ...env }, {}, { mainScript: undefined, cwd: "/" });
  if (config.problems.length > 0) throw new Error(config.problems.join("\n"));
  const exporting = createExport(config, extras);
  running.push(exporting);
  return {
    ...exporting,
    end(name, attributes = {}, scope = SCOPE) {
      const span = createSpan(name, { sink: exporting.sink, scope });
      span.setAttributes(attributes);
      span.end();
    },
  };
}
