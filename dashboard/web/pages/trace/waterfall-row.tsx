import type { ComponentChildren, JSX } from "preact";
import { selfTime } from "../../../src/analysis/self-time.ts";
import { REPAIR } from "../../../src/analysis/trace-tree.ts";
import { Icon } from "../../components/icon.tsx";
import { formatDuration } from "../../format.ts";
import { serviceColour } from "../../service-colour.ts";
import {
  barOf,
  busyStretches,
  criticalStretches,
  hasFailed,
  logDots,
  paintStretches,
  timesOf,
  type Axis,
  type Stretch,
} from "./bar.ts";
import { categoryOf, detailOf, durationOf, isMissing, nameOf, serviceOf, type TraceModel } from "./model.ts";
import type { Followed, Row } from "./rows.ts";

export const ROW_HEIGHT = 28;

/** What all rows are drawn with. */
export interface RowContext {
  axis: Axis;
  criticalPath: boolean;
  followed: ReadonlyMap<string, Followed>;
  matchesOf: (model: TraceModel) => Uint8Array | undefined;
  /** What is searched for, to be marked in what was found. */
  words: readonly string[];
}

/** How a row stands out. */
export interface RowState {
  index: number;
  isFocusable: boolean;
  isSelected: boolean;
}

export function WaterfallRow({ row, state, context }: { row: Row; state: RowState; context: RowContext }): JSX.Element {
  const { index } = state;
  const matches = context.matchesOf(row.model);
  const isMatch = row.type !== "link" && (row.fold?.members ?? [row.node]).some((node) => matches?.[node] === 1);
  const names = ["wf-row", `wf-row-${row.type}`];
  if (matches !== undefined) names.push(isMatch ? "wf-row-match" : "wf-row-dim");
  if (row.type !== "link" && hasFailed(row)) names.push("wf-row-failed");
  return (
    <div
      id={`wf-row-${index}`}
      class={names.join(" ")}
      role="row"
      aria-rowindex={index + 2}
      aria-level={row.level}
      aria-posinset={row.position}
      aria-setsize={row.setSize}
      aria-expanded={row.isExpandable ? row.isExpanded : undefined}
      aria-selected={state.isSelected}
      tabIndex={state.isFocusable ? 0 : -1}
      data-index={index}
      style={{
        transform: `translateY(${index * ROW_HEIGHT}px)`,
        "--service": row.type === "link" ? "var(--border-strong)" : colourOf(row),
      }}
    >
      <div class="wf-name" role="gridcell" style={{ "--level": indentOf(row.level) }}>
        <span class="wf-indent" aria-hidden="true" />
        {row.isExpandable ? (
          <span class="wf-toggle" data-toggle={index} aria-hidden="true">
            <Icon name={row.isExpanded ? "chevron-down" : "chevron-right"} size={14} />
          </span>
        ) : (
          <span class="wf-toggle" aria-hidden="true" />
        )}
        {row.type === "link" ? (
          <LinkName row={row} followed={context.followed} />
        ) : (
          <SpanName row={row} words={isMatch ? context.words : []} />
        )}
      </div>
      {row.type === "link" ? <div class="wf-time" role="gridcell" /> : <SpanTime row={row} context={context} />}
    </div>
  );
}

/** Steps of indentation. Deep down they are small, so that names keep room. */
function indentOf(level: number): number {
  return Math.min(level - 1, 12) + Math.max(0, Math.min(level - 13, 40)) * 0.15;
}

function colourOf({ model, node }: Row): string {
  return isMissing(model, node) ? "var(--border-strong)" : serviceColour(serviceOf(model, node));
}

function SpanName({ row, words }: { row: Row; words: readonly string[] }): JSX.Element {
  const { model, node, fold } = row;
  const service = serviceOf(model, node);
  const parent = model.tree.parent[node]!;
  const isElsewhere = service !== "" && (parent < 0 || serviceOf(model, parent) !== service);
  const detail = detailOf(model, node);
  const failed = hasFailed(row);
  const name = nameOf(model, node);
  const title = [`${service}: ${name}`, detail].filter(Boolean).join("\n");
  return (
    <span class="wf-label" title={title}>
      <Icon name={isMissing(model, node) ? "warning" : categoryOf(model, node)} size={14} />
      {failed && <Icon name="error" size={14} label="failed" />}
      {isElsewhere && <span class="wf-service">{marked(service, words)}</span>}
      <span class="wf-operation">{marked(name, words)}</span>
      {fold !== undefined && <span class="badge wf-times">×{fold.members.length}</span>}
      <Repairs model={model} node={node} />
      {detail !== "" && <span class="wf-detail">{marked(detail, words)}</span>}
    </span>
  );
}

/** The text with the words in it marked, whatever their case. */
function marked(text: string, words: readonly string[]): ComponentChildren {
  if (words.length === 0) return text;
  const pattern = new RegExp(`(${words.map((word) => word.replace(/[^\p{L}\p{N}]/gu, "\\$&")).join("|")})`, "i");
  return text.split(pattern).map((part, index) => (index % 2 === 1 ? <mark key={index}>{part}</mark> : part));
}

function LinkName({ row, followed }: { row: Row; followed: ReadonlyMap<string, Followed> }): JSX.Element {
  const link = row.link!;
  const other = followed.get(link.traceId);
  const what = link.operation === undefined ? `trace ${link.traceId.slice(0, 8)}` : link.operation;
  return (
    <span class="wf-label">
      <Icon name="link" size={14} />
      <span class="wf-service">{link.direction === "in" ? "continued in" : "links to"}</span>
      {link.service !== undefined && <span class="wf-service">{link.service}</span>}
      <span class="wf-operation">{what}</span>
      {other === "loading" && <span class="wf-note">loading …</span>}
      {typeof other === "object" && "error" in other && <span class="wf-note wf-note-error">{other.error}</span>}
      {other === undefined && <span class="wf-note">another trace</span>}
    </span>
  );
}

function Repairs({ model, node }: { model: TraceModel; node: number }): JSX.Element | null {
  const repairs = model.tree.repairs[node]!;
  if ((repairs & ~REPAIR.sharedId) === 0) return null;
  const parent = model.tree.parent[node]!;
  const badges: [string, string][] = [];
  if (repairs & REPAIR.missingParent && parent < 0)
    badges.push(["parent missing", "Its parent has not arrived: it is in flight, was not sent, or is kept elsewhere."]);
  if (repairs & REPAIR.cycle) badges.push(["cycle", "It was among its own ancestors; the cycle is cut here."]);
  if (repairs & REPAIR.duplicateId) badges.push(["duplicate id", "Another span of this trace has the same id."]);
  if (repairs & REPAIR.badTimes) badges.push(["bad times", "Its times are impossible; it is shown without duration."]);
  if (repairs & REPAIR.clockSkew && model.tree.shift[parent] !== model.tree.shift[node]) {
    const moved = model.tree.shift[node]!;
    const amount = `${moved > 0 ? "+" : "−"}${formatDuration(Math.abs(moved))}`;
    badges.push([
      `clock ${amount}`,
      `The clock of ${serviceOf(model, node)} differs from its caller's. It is moved by ${amount}, with all below it.`,
    ]);
  }
  return (
    <>
      {badges.map(([text, title]) => (
        <span key={text} class="badge badge-warn" title={title}>
          {text}
        </span>
      ))}
    </>
  );
}

/** The bar, and the same in words for those who do not see it. */
function SpanTime({ row, context }: { row: Row; context: RowContext }): JSX.Element {
  const inWords = describe(row);
  return (
    <div class="wf-time" role="gridcell" aria-label={inWords}>
      <Bar row={row} context={context} title={inWords} />
    </div>
  );
}

function Bar({ row, context, title }: { row: Row; context: RowContext; title: string }): JSX.Element {
  const { axis } = context;
  const { model, node, fold } = row;
  const bar = barOf(axis, row);
  const duration = fold === undefined ? formatDuration(durationOf(model, node)) : formatDuration(fold.totalNanos);
  if (bar === undefined) {
    const isBefore = timesOf(row).end < axis.scale.toReal(axis.range.from);
    return (
      <span class={isBefore ? "wf-outside wf-outside-left" : "wf-outside wf-outside-right"}>
        {isBefore && <Icon name="chevron-left" size={12} />}
        {duration}
        {!isBefore && <Icon name="chevron-right" size={12} />}
      </span>
    );
  }
  const label = fold === undefined ? duration : `${duration} in ${fold.members.length}`;
  const width = bar.to - bar.from;
  const place = placeLabel(bar, axis.width, label);
  // What has not arrived did who knows what when.
  const isKnown = !isMissing(model, node);
  const critical = isKnown && context.criticalPath ? criticalStretches(axis, row) : [];
  const busy = isKnown ? busyStretches(axis, row) : [];
  return (
    <>
      <span
        class={isKnown ? "wf-bar" : "wf-bar wf-bar-missing"}
        title={title}
        style={{
          left: `${bar.from}px`,
          width: `${width}px`,
          backgroundImage: paintStretches(busy, bar.from, "var(--service)"),
        }}
      />
      {critical.length > 0 && (
        <span
          class="wf-critical"
          style={{
            left: `${bar.from}px`,
            width: `${width}px`,
            backgroundImage: paintStretches(critical, bar.from, "var(--text)"),
          }}
        />
      )}
      {logDots(axis, row).map((dot) => (
        <span
          key={dot.at}
          class={dot.isSevere ? "wf-dot wf-dot-severe" : "wf-dot"}
          title={dot.count === 1 ? `Log: ${dot.text}` : `${dot.count} logs: ${dot.text} …`}
          style={{ left: `${dot.at}px` }}
        />
      ))}
      <span class={`wf-duration wf-duration-${place.side}`} style={{ left: `${place.at}px` }}>
        {label}
      </span>
    </>
  );
}

function describe({ model, node, fold }: Row): string {
  const { tree, offset } = model;
  const start = `starts at ${formatDuration(Math.max(0, tree.start[node]! + offset))}`;
  if (fold !== undefined) {
    const [least, median, most] = [fold.minNanos, fold.medianNanos, fold.maxNanos].map(formatDuration);
    const total = formatDuration(fold.totalNanos);
    return `${fold.members.length} times, ${total} together, each ${least} to ${most}, median ${median}, ${start}`;
  }
  const parts = [formatDuration(durationOf(model, node))];
  if (tree.firstChild[node]! >= 0) parts.push(`${formatDuration(selfTime(tree, node))} of it itself`);
  const critical = model.path.share[node]!;
  if (critical > 0) parts.push(`${formatDuration(critical)} on the critical path`);
  parts.push(start);
  return parts.join(", ");
}

const CHARACTER_PIXELS = 6.4;
const LABEL_GAP = 6;
/** Right of the axis. */
const ROOM_BEYOND = 60;

/** Right of the bar where there is room, else left of it, else inside. */
function placeLabel(bar: Stretch, width: number, label: string): { side: "right" | "left" | "inside"; at: number } {
  const needed = label.length * CHARACTER_PIXELS + LABEL_GAP * 2;
  if (bar.to + needed <= width + ROOM_BEYOND) return { side: "right", at: bar.to + LABEL_GAP };
  if (bar.from >= needed) return { side: "left", at: bar.from - LABEL_GAP };
  return { side: "inside", at: bar.to - LABEL_GAP };
}
