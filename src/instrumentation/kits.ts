import type { Instrumentation, InstrumentedModule } from "./instrumentation.ts";
import { type InstrumentationOptions, Kit, type KitRecording } from "./kit.ts";
import type { Tracing } from "./tracing.ts";

/** An instrumentation known by what it patches; its code comes with `load`. */
export interface InstrumentationSource {
  readonly name: string;
  readonly startsAtOnce: boolean;
  readonly modules: ReadonlyArray<Pick<InstrumentedModule, "name" | "versions" | "file" | "format" | "isOptional">>;
  readonly load: () => Instrumentation;
}

/** A file to patch, as the loader wants it. */
interface Target {
  readonly name: string;
  readonly versions: string;
  readonly file: string;
  readonly format?: "module";
  readonly isOptional?: true;
  patch(exports: unknown, version: string): void;
}

/** `enabled` undefined: all; `disabled` is taken from it. */
interface Selection {
  readonly enabled: ReadonlySet<string> | undefined;
  readonly disabled: ReadonlySet<string>;
}

/** The instrumentations of one process. */
export interface Kits {
  /** What the loader is to patch. */
  readonly targets: readonly Target[];
  /** Short names of all that may trace here. */
  readonly names: readonly string[];
  /** Starts those that need no library: Node's own modules and diagnostics channels. Gives what is to be called soon after. */
  start(): () => void;
  /** From here on every patched function only calls its original, until `enable`. */
  disable(): void;
  enable(): void;
}

/** One kit an instrumentation, made when the instrumentation is first needed. `record` is asked when there is something to record. */
export function createKits(
  sources: readonly InstrumentationSource[],
  selection: Selection,
  options: InstrumentationOptions,
  createTracing: (scope: string) => Tracing,
  record: () => KitRecording,
): Kits {
  const selected = sources.filter(({ name }) => isSelected(name, selection));
  const kits = new Map<string, Kit>();

  function use(
    source: InstrumentationSource,
    during: string,
    action: (instrumentation: Instrumentation, kit: Kit) => void,
  ): void {
    let kit = kits.get(source.name);
    if (kit === undefined) {
      kit = new Kit(source.name, createTracing(`@tracekit/auto/${source.name}`), options, record);
      kits.set(source.name, kit);
    }
    try {
      action(source.load(), kit);
    } catch (error) {
      kit.owner.disable(during, error);
    }
  }

  return {
    names: selected.map(({ name }) => name),
    targets: selected.flatMap((source) =>
      source.modules.map((target) => ({
        ...target,
        patch(exports: unknown, version: string): void {
          use(source, `patching ${target.name}/${target.file}`, (instrumentation, kit) => {
            const module = instrumentation.modules.find(
              ({ name, file, versions }) =>
                name === target.name && file === target.file && versions === target.versions,
            );
            module?.patch(exports, kit, version);
          });
        },
      })),
    ),
    start() {
      const settled: Array<() => void> = [];
      for (const source of selected) {
        if (!source.startsAtOnce) continue;
        use(source, "start", (instrumentation, kit) => {
          const step = instrumentation.start?.(kit);
          if (step !== undefined) settled.push(() => kit.owner.safely("start", step));
        });
      }
      return () => {
        for (const step of settled) step();
      };
    },
    disable() {
      for (const kit of kits.values()) kit.owner.enabled = false;
    },
    enable() {
      for (const kit of kits.values()) kit.owner.enabled = true;
    },
  };
}

/** OpenTelemetry's names are accepted too: its `http` is our `http-server` and `http-client`. */
function isSelected(name: string, { enabled, disabled }: Selection): boolean {
  const family = name.replace(/-(?:server|client)$/, "");
  if (disabled.has(name) || disabled.has(family)) return false;
  return enabled === undefined || enabled.has(name) || enabled.has(family);
}
