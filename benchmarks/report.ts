import type { Installation } from "./install.ts";
import type { Measurement } from "./measurement.ts";
import type { Rate } from "./rate.ts";
import type { Startup } from "./startup.ts";
import { median, spread } from "./statistics.ts";
import { variants } from "./variants.ts";

/** All raw values of a run. */
export interface Run {
  readonly node: string;
  readonly date: string;
  readonly machine: string;
  readonly commit: string;
  readonly command: string;
  readonly workloads: Record<string, Record<string, Measurement>>;
  readonly startup: Record<string, Startup>;
  readonly rate: Record<string, Rate>;
  readonly install: Record<string, Pick<Installation, "version" | "megabytes" | "packages">>;
}

/** What a run amounts to: medians. */
export interface Report {
  readonly node: string;
  readonly date: string;
  readonly workloads: Record<string, Record<string, Cost>>;
  readonly startup: Record<string, { cjsMillis: number; esmMillis: number; rssMegabytes: number }>;
  readonly install: Record<string, { megabytes: number; packages: number }>;
  /** Our added CPU time as a share of the peer's: `ratios.express["dd-trace"] === 0.1` is a tenth. */
  readonly ratios: Record<string, Record<string, number>>;
  readonly pressure: Record<string, Record<string, PressureReport>>;
  /** Spans made by hand as fast as one core can. */
  readonly rate: Record<
    string,
    { spansPerSecond: number; cpuMicrosPerSpan: number; spansMade: number; spansLost: number }
  >;
}

export interface Cost {
  readonly cpuMicrosPerRequest: number;
  /** Median of the differences to no tracer in the same turn: what slows the machine for a while slows both. */
  readonly addedCpuMicrosPerRequest: number;
  /** Half the distance between the quartiles of those differences; for no tracer, of its own values. */
  readonly spreadMicros: number;
  readonly spansPerRequest: number;
  /** Under the load of the measurement, not that of `pressure`. */
  readonly spansLost: number;
  readonly bytesPerSpan: number;
  readonly rssMegabytes: number;
}

export interface PressureReport {
  readonly requestsPerSecond: number;
  readonly p99Millis: number;
  readonly spansLost: number;
  readonly spansExpected: number;
  readonly pacedRequestsPerSecond: number;
  readonly pacedP99Millis: number;
  readonly pacedEventLoopDelayP99Millis: number;
}

const peers = ["opentelemetry", "dd-trace"];

export function toReport(run: Run): Report {
  const byWorkload = mapValues(run.workloads, toCosts);
  return {
    node: run.node,
    date: run.date,
    workloads: byWorkload,
    startup: mapValues(run.startup, (startup) => ({
      cjsMillis: round(median(startup.cjsMillis)),
      esmMillis: round(median(startup.esmMillis)),
      rssMegabytes: round(median(startup.rssMegabytes)),
    })),
    install: Object.fromEntries(
      Object.keys(run.startup).map((variant) => {
        const { megabytes = 0, packages = 0 } = run.install[variants[variant]?.installation ?? ""] ?? {};
        return [variant, { megabytes: round(megabytes), packages }];
      }),
    ),
    ratios: mapValues(byWorkload, toRatios),
    pressure: mapValues(
      filterValues(
        mapValues(run.workloads, (measured) => filterValues(measured, ({ pressure }) => pressure.length > 0)),
        (measured) => Object.keys(measured).length > 0,
      ),
      (measured) => mapValues(measured, toPressure),
    ),
    rate: mapValues(run.rate, ({ spansPerSecond, cpuMicrosPerSpan, spansMade, spansReceived }) => ({
      spansPerSecond: Math.round(median(spansPerSecond)),
      cpuMicrosPerSpan: round(median(cpuMicrosPerSpan)),
      spansMade,
      spansLost: Math.max(0, spansMade - spansReceived),
    })),
  };
}

function toCosts(measured: Record<string, Measurement>): Record<string, Cost> {
  const base = measured["none"]?.cpuMicros ?? [];
  return mapValues(measured, (measurement) => {
    const { cpuMicros, rssMegabytes, spansExpected, spansReceived, wireBytes } = measurement;
    const added = cpuMicros.map((micros, slice) => micros - (base[slice] ?? Number.NaN));
    return {
      cpuMicrosPerRequest: round(median(cpuMicros)),
      addedCpuMicrosPerRequest: round(median(added)),
      spreadMicros: round(spread(measurement === measured["none"] ? cpuMicros : added)),
      spansPerRequest: round(measurement.spansPerRequest),
      spansLost: Math.max(0, Math.round(spansExpected - spansReceived)),
      bytesPerSpan: spansReceived === 0 ? 0 : Math.round(wireBytes / spansReceived),
      rssMegabytes: round(median(rssMegabytes)),
    };
  });
}

function toRatios(costs: Record<string, Cost>): Record<string, number> {
  const ours = costs["tracekit"]?.addedCpuMicrosPerRequest;
  if (ours === undefined) return {};
  return Object.fromEntries(
    peers.flatMap((peer) => {
      const theirs = costs[peer]?.addedCpuMicrosPerRequest;
      return theirs === undefined ? [] : [[peer, round(ours / theirs, 3)]];
    }),
  );
}

function toPressure({ pressure }: Measurement): PressureReport {
  const over = (pickValue: (value: Measurement["pressure"][number]) => number): number =>
    round(median(pressure.map(pickValue)));
  const sum = (pickValue: (value: Measurement["pressure"][number]) => number): number =>
    pressure.reduce((total, value) => total + pickValue(value), 0);
  return {
    requestsPerSecond: over(({ saturated }) => saturated.requestsPerSecond),
    p99Millis: over(({ saturated }) => saturated.p99Millis),
    spansLost: Math.max(
      0,
      sum(({ saturated }) => saturated.spansExpected - saturated.spansReceived),
    ),
    spansExpected: sum(({ saturated }) => saturated.spansExpected),
    pacedRequestsPerSecond: over(({ paced }) => paced.requestsPerSecond),
    pacedP99Millis: over(({ paced }) => paced.p99Millis),
    pacedEventLoopDelayP99Millis: over(({ paced }) => paced.delayP99Millis),
  };
}

function round(value: number, digits = 2): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}

function mapValues<From, To>(record: Record<string, From>, change: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}

function filterValues<Value>(record: Record<string, Value>, keep: (value: Value) => boolean): Record<string, Value> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => keep(value)));
}
