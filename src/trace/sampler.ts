import type { SpanIdentity } from "./span.ts";

/** Decides before anything of a span exists. */
export interface Sampler {
  /** For a span with a parent. */
  sampleChild(parent: SpanIdentity): boolean;
  /** For a new trace, by its id. */
  sampleRoot(traceWord0: number, traceWord1: number, traceWord2: number, traceWord3: number): boolean;
  /** True when `sampleRoot` is always true: a root then needs no id before the decision. */
  readonly alwaysSamplesRoot: boolean;
  /** True when `sampleRoot` is always false. */
  readonly neverSamplesRoot: boolean;
}

export type SamplerName =
  | "always_on"
  | "always_off"
  | "traceidratio"
  | "parentbased_always_on"
  | "parentbased_always_off"
  | "parentbased_traceidratio";

/** `ratio` is 0 to 1. Source: OpenTelemetry SDK specification, "Built-in samplers"; the ratio's arithmetic is SDK 2.x's, so both sample the same traces. */
export function createSampler(name: SamplerName, ratio: number): Sampler {
  const parentBased = name.startsWith("parentbased_");
  const root = parentBased ? name.slice("parentbased_".length) : name;
  const bound = root === "always_on" ? 0x1_0000_0000 : root === "always_off" ? 0 : Math.floor(ratio * 0xffff_ffff);
  const alwaysSamplesRoot = root === "always_on" || (root === "traceidratio" && ratio >= 1);

  function sampleRoot(traceWord0: number, traceWord1: number, traceWord2: number, traceWord3: number): boolean {
    return alwaysSamplesRoot || (traceWord0 ^ traceWord1 ^ traceWord2 ^ traceWord3) >>> 0 < bound;
  }
  function sampleChild(parent: SpanIdentity): boolean {
    if (parentBased) return (parent.flags & 1) === 1;
    return sampleRoot(parent.traceWord0, parent.traceWord1, parent.traceWord2, parent.traceWord3);
  }
  return { sampleChild, sampleRoot, alwaysSamplesRoot, neverSamplesRoot: bound === 0 };
}
