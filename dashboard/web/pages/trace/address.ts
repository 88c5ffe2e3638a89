import { parseDuration } from "../../../src/model/filter.ts";

/** What a person chose on the page of a trace; all of it is in the address. */
export interface Choices {
  view: "waterfall" | "flame";
  /** The span whose details are open. */
  span: string | undefined;
  /** Trace of that span, where it is a linked one. */
  spanTrace: string | undefined;
  query: string;
  /** Only what the query finds. */
  only: boolean;
  /** As it was typed, `5ms`; "" for none. */
  min: string;
  minNanos: number;
  /** Nanoseconds since the trace's start; undefined for all of it. */
  zoom: { from: number; to: number } | undefined;
  criticalPath: boolean;
  folding: boolean;
  /** Idle stretches of the axis are drawn shorter. */
  compress: boolean;
  /** Linked traces shown in place. */
  follow: readonly string[];
}

export function readChoices(params: URLSearchParams): Choices {
  const min = params.get("min") ?? "";
  return {
    view: params.get("view") === "flame" ? "flame" : "waterfall",
    span: params.get("span") ?? undefined,
    spanTrace: params.get("of") ?? undefined,
    query: params.get("q") ?? "",
    only: params.get("only") === "1",
    min,
    minNanos: (parseDuration(min) ?? 0) * 1e6,
    zoom: parseZoom(params.get("zoom") ?? ""),
    criticalPath: params.get("critical") !== "off",
    folding: params.get("fold") !== "off",
    compress: params.get("gaps") !== "off",
    follow: (params.get("follow") ?? "").split(",").filter((id) => /^[0-9a-f]{32}$/.test(id)),
  };
}

/** `1500-20000`: microseconds since the trace's start. */
export function formatZoom({ from, to }: { from: number; to: number }): string {
  const micros = (nanos: number): string => String(Number((nanos / 1000).toFixed(3)));
  return `${micros(from)}-${micros(to)}`;
}

function parseZoom(text: string): { from: number; to: number } | undefined {
  const match = /^(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$/.exec(text);
  if (match === null) return undefined;
  const from = Number(match[1]) * 1000;
  const to = Number(match[2]) * 1000;
  return to > from ? { from, to } : undefined;
}
