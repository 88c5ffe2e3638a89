import { fstatSync } from "node:fs";
import type { Config } from "./config/config.ts";
import { diag } from "./diag/diag.ts";

/** Milliseconds until an application has usually loaded its libraries. */
const SETTLING_MILLIS = 300;

/**
 * The one line a person sees: who, where to, and what is traced. Only in a terminal, and once the application's libraries are
 * known: shortly after start, or at exit if that comes first.
 */
export function announce(
  config: Config,
  report: { readonly patched: ReadonlySet<string> },
  kits: { readonly names: readonly string[] },
): { cancel(): void } {
  if (!diag.isEnabled("info") || !isTerminal()) return { cancel() {} };
  let said = false;
  const say = (): void => {
    if (said) return;
    said = true;
    const target = config.exporters.includes("otlp")
      ? `${config.otlp.url} (${config.otlp.protocol})`
      : config.exporters.join(", ");
    const builtIn = kits.names.filter((name) => /^(?:http|undici)/.test(name));
    const libraries = [...report.patched];
    diag.info(
      `${config.serviceName} → ${target || "nowhere (OTEL_TRACES_EXPORTER=none)"} · ${[...builtIn, ...libraries].join(", ")}`,
    );
  };
  const timer = setTimeout(say, SETTLING_MILLIS);
  timer.unref();
  process.once("exit", say);
  return {
    cancel() {
      clearTimeout(timer);
      process.removeListener("exit", say);
    },
  };
}

/**
 * Without `process.stderr`, whose first use opens the stream in the application's name. With bigint, which has a buffer of its
 * own: on Node 20 `realpathSync`, and with it every `require` through a symbolic link, reads the last plain result again, and
 * stops resolving when that was a pipe. Modules were then loaded twice.
 */
function isTerminal(): boolean {
  try {
    return fstatSync(2, { bigint: true }).isCharacterDevice();
  } catch {
    return false;
  }
}
