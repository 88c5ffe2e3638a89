import type { JSX } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Icon } from "../../components/icon.tsx";
import { formatCount, formatDuration } from "../../format.ts";
import { route } from "../../router.ts";
import { serviceColour } from "../../service-colour.ts";
import type { ServiceEdge, ServiceMap } from "../../../src/model/api.ts";
import { layOutMap, MAP_SIZES, type PlacedEdge, type PlacedNode } from "./map-layout.ts";
import { NODE_TYPES } from "./node-types.ts";
import { parseRange } from "./range.ts";
import { errorShare, formatRate, formatShare } from "./sort-services.ts";
import { tracesHref } from "./traces-href.ts";

/** A line whose calls fail this often is drawn as failing; every error has its number. */
const FAILING_SHARE = 0.01;
/** Smaller, nothing can be read: then it scrolls. */
const MIN_SCALE = 0.8;

/**
 * Nodes are links in reading order; lines between them tell calls and errors. All it says stands in the table below, too, except who
 * calls whom, which the links say to those who cannot see the lines.
 */
export function ServiceMapView({ map }: { map: ServiceMap }): JSX.Element {
  // The numbers change with every refresh; places only when something comes or goes.
  const shape = useMemo(
    () =>
      JSON.stringify([
        map.nodes.map(({ id }) => id).toSorted(),
        map.edges.map(({ from, to }) => [from, to]).toSorted(),
      ]),
    [map],
  );
  const layout = useMemo(() => layOutMap(map.nodes, map.edges), [shape]);
  const nodes = new Map(map.nodes.map((node) => [node.id, node]));
  const edges = new Map(map.edges.map((edge) => [edgeKey(edge), edge]));
  const busiest = Math.max(1, ...map.edges.map(({ stats }) => stats.count));
  const [marked, mark] = useState<string>();
  const near = useMemo(() => (marked === undefined ? undefined : neighboursOf(marked, map.edges)), [marked, map]);
  const { frame, scale } = useFittingScale(layout.width);
  const isFar = (id: string): boolean => near !== undefined && !near.has(id);

  const inReadingOrder = layout.nodes.toSorted((a, b) => a.layer - b.layer || a.y - b.y);
  return (
    <section class="map-section" aria-label="Map of services">
      <div ref={frame} class="map-frame">
        <div class="map" style={{ "--width": `${layout.width * scale}px`, "--height": `${layout.height * scale}px` }}>
          <div
            class="map-canvas"
            style={{ "--scale": scale, "--inner-width": `${layout.width}px`, "--inner-height": `${layout.height}px` }}
          >
            <svg class="map-lines" width={layout.width} height={layout.height} aria-hidden="true">
              <defs>
                {["plain", "failed", "marked"].map((tone) => (
                  <marker
                    key={tone}
                    id={`map-arrow-${tone}`}
                    class={`map-arrow map-arrow-${tone}`}
                    viewBox="0 0 8 8"
                    refX="7"
                    refY="4"
                    markerWidth="8"
                    markerHeight="8"
                    markerUnits="userSpaceOnUse"
                    orient="auto"
                  >
                    <path d="M0.5 0.5 7.5 4 0.5 7.5z" />
                  </marker>
                ))}
              </defs>
              {layout.edges.map((placed) => {
                const edge = edges.get(edgeKey(placed.edge)) ?? placed.edge;
                const isMarked = marked !== undefined && (edge.from === marked || edge.to === marked);
                return (
                  <Line
                    key={edgeKey(edge)}
                    placed={placed}
                    edge={edge}
                    share={edge.stats.count / busiest}
                    state={isMarked ? "marked" : marked === undefined ? "plain" : "far"}
                  />
                );
              })}
            </svg>
            {layout.edges.map((placed) => {
              const edge = edges.get(edgeKey(placed.edge)) ?? placed.edge;
              const isFarEdge = marked !== undefined && edge.from !== marked && edge.to !== marked;
              return <LineLabel key={edgeKey(edge)} placed={placed} edge={edge} isFar={isFarEdge} />;
            })}
            <ul class="map-nodes">
              {inReadingOrder.map((placed) => {
                const node = nodes.get(placed.node.id) ?? placed.node;
                return (
                  <Node
                    key={node.id}
                    placed={{ ...placed, node }}
                    edges={map.edges}
                    names={nodes}
                    isFar={isFar(node.id)}
                    onMark={mark}
                  />
                );
              })}
            </ul>
          </div>
        </div>
      </div>
      <ul class="map-legend" aria-label="Legend">
        {Object.entries(NODE_TYPES).map(([type, { label, icon }]) => (
          <li key={type}>
            <span class={`map-swatch map-node-${type}`}>
              <Icon name={icon} size={12} />
            </span>
            {label}
          </li>
        ))}
        <li class="map-legend-note">Numbers on lines are calls; thicker lines have more of them.</li>
      </ul>
    </section>
  );
}

function Node(props: {
  placed: PlacedNode;
  edges: readonly ServiceEdge[];
  names: ReadonlyMap<string, { name: string }>;
  isFar: boolean;
  onMark: (id: string | undefined) => void;
}): JSX.Element {
  const { x, y, node } = props.placed;
  const { stats, type, name, id } = node;
  const { label, icon } = NODE_TYPES[type];
  const range = parseRange(route.value.params.get("range"));
  const share = errorShare(stats);
  const calls = props.edges
    .filter(({ from, to }) => from === id && to !== id)
    .map(({ to }) => props.names.get(to)?.name);
  return (
    <li>
      <a
        class={`map-node map-node-${type}${props.isFar ? " map-far" : ""}${share > 0 ? " map-node-failing" : ""}`}
        href={tracesHref(node, range)}
        style={{
          "--x": `${x}px`,
          "--y": `${y}px`,
          "--w": `${MAP_SIZES.nodeWidth}px`,
          "--h": `${MAP_SIZES.nodeHeight}px`,
          "--service": type === "service" ? serviceColour(name) : "var(--border-strong)",
        }}
        title={`${label} ${name}: show its traces`}
        onPointerEnter={() => props.onMark(id)}
        onPointerLeave={() => props.onMark(undefined)}
        onFocus={() => props.onMark(id)}
        onBlur={() => props.onMark(undefined)}
      >
        <span class="map-node-name">
          <Icon name={icon} size={14} label={label} />
          <span class="truncate">{name}</span>
        </span>
        <span class="map-node-stats">
          {stats.count === 0 ? (
            <span>calls others only</span>
          ) : (
            <>
              <span>{formatRate(stats.perSecond)}</span>
              <span title="95% are faster">p95 {formatDuration(stats.p95Nanos)}</span>
            </>
          )}
          {stats.errorCount > 0 && (
            <span class="map-node-errors">
              <Icon name="error" size={12} label="errors" />
              {formatShare(share)}
            </span>
          )}
        </span>
        {calls.length > 0 && <span class="visually-hidden">calls {calls.join(", ")}</span>}
      </a>
    </li>
  );
}

function Line(props: {
  placed: PlacedEdge;
  edge: ServiceEdge;
  share: number;
  state: "plain" | "marked" | "far";
}): JSX.Element {
  const { placed, edge, share, state } = props;
  const isFailing = errorShare(edge.stats) >= FAILING_SHARE;
  const arrow = state === "marked" ? "marked" : isFailing ? "failed" : "plain";
  return (
    <path
      class={`map-line map-line-${state}${isFailing ? " map-line-failed" : ""}`}
      d={placed.path}
      stroke-width={1 + 3 * Math.sqrt(share)}
      stroke-dasharray={isFailing ? "6 4" : undefined}
      marker-end={`url(#map-arrow-${arrow})`}
    />
  );
}

function LineLabel(props: { placed: PlacedEdge; edge: ServiceEdge; isFar: boolean }): JSX.Element {
  const { labelX, labelY } = props.placed;
  const { count, errorCount } = props.edge.stats;
  return (
    <span
      class={props.isFar ? "map-label map-far" : "map-label"}
      style={{ "--x": `${labelX}px`, "--y": `${labelY}px` }}
      aria-hidden="true"
    >
      {shortCount(count)}
      {errorCount > 0 && (
        <span class="map-label-errors">
          <Icon name="error" size={10} />
          {shortCount(errorCount)}
        </span>
      )}
    </span>
  );
}

/** As large as fits, never larger than drawn. */
function useFittingScale(width: number): { frame: { current: HTMLDivElement | null }; scale: number } {
  const frame = useRef<HTMLDivElement>(null);
  const [available, setAvailable] = useState(0);
  useLayoutEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => setAvailable(element.clientWidth));
    observer.observe(element);
    setAvailable(element.clientWidth);
    return () => observer.disconnect();
  }, []);
  const scale = available === 0 || width === 0 ? 1 : Math.min(1, Math.max(MIN_SCALE, available / width));
  return { frame, scale };
}

function neighboursOf(id: string, edges: readonly ServiceEdge[]): Set<string> {
  return new Set([id, ...edges.flatMap(({ from, to }) => (from === id ? [to] : to === id ? [from] : []))]);
}

function edgeKey({ from, to }: ServiceEdge): string {
  return `${from}\n${to}`;
}

/** `950`, `1.2k`, `34k`, `1.2M`. */
function shortCount(count: number): string {
  return count < 10_000
    ? formatCount(count)
    : Intl.NumberFormat("en", { notation: "compact" }).format(count).toLowerCase();
}
