import type { JSX } from "preact";
import { Icon } from "../../components/icon.tsx";
import { ServiceName } from "../../components/service-name.tsx";
import { formatCount, formatDuration } from "../../format.ts";
import { route, setParams } from "../../router.ts";
import type { ServiceNode } from "../../../src/model/api.ts";
import { NODE_TYPES } from "./node-types.ts";
import { parseRange } from "./range.ts";
import {
  type Column,
  COLUMNS,
  errorShare,
  FIRST_SORTING,
  formatRate,
  formatShare,
  formatSorting,
  nextSorting,
  parseSorting,
  sortServices,
} from "./sort-services.ts";
import { tracesHref } from "./traces-href.ts";

const TITLES: Readonly<Record<Column, { title: string; hint?: string }>> = {
  name: { title: "Name" },
  type: { title: "Type" },
  rate: { title: "Rate" },
  errors: { title: "Errors" },
  p50: { title: "p50", hint: "Half of the calls are faster" },
  p95: { title: "p95", hint: "95% of the calls are faster" },
  count: { title: "Calls" },
};

/** Every node of the map with its numbers; sorted as the address says. */
export function ServiceTable({ nodes }: { nodes: readonly ServiceNode[] }): JSX.Element {
  const { params } = route.value;
  const sorting = parseSorting(params.get("sort"));
  const range = parseRange(params.get("range"));
  const sortBy = (column: Column): void => {
    const next = formatSorting(nextSorting(sorting, column));
    setParams({ sort: next === formatSorting(FIRST_SORTING) ? null : next }, { replace: true });
  };
  return (
    <div class="services-table-frame">
      <table class="services-table">
        <caption class="visually-hidden">Services and what they talk to</caption>
        <thead>
          <tr>
            {COLUMNS.map((column) => {
              const isSorted = column === sorting.column;
              const { title, hint } = TITLES[column];
              return (
                <th
                  key={column}
                  scope="col"
                  class={column === "name" || column === "type" ? undefined : "numeric"}
                  aria-sort={isSorted ? (sorting.isDescending ? "descending" : "ascending") : undefined}
                >
                  <button type="button" title={hint} onClick={() => sortBy(column)}>
                    {title}
                    <span class="sort-mark">
                      {isSorted && <Icon name={sorting.isDescending ? "arrow-down" : "arrow-up"} size={12} />}
                    </span>
                  </button>
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {sortServices(nodes, sorting).map((node) => (
            <Row key={node.id} node={node} href={tracesHref(node, range)} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ node, href }: { node: ServiceNode; href: string }): JSX.Element {
  const { stats, type, name } = node;
  const { label, icon } = NODE_TYPES[type];
  return (
    <tr>
      <th scope="row">
        <a href={href} title={`Traces with ${name}`}>
          {type === "service" ? <ServiceName service={name} /> : <span class="services-other">{name}</span>}
        </a>
      </th>
      <td>
        <span class="services-type">
          <Icon name={icon} size={14} />
          {label}
        </span>
      </td>
      <td class="numeric">{formatRate(stats.perSecond)}</td>
      <td class="numeric">
        {stats.errorCount === 0 ? (
          <span class="faint">0%</span>
        ) : (
          <span class="services-errors" title={`${formatCount(stats.errorCount)} of ${formatCount(stats.count)}`}>
            <Icon name="error" size={12} label="errors" />
            {formatShare(errorShare(stats))}
          </span>
        )}
      </td>
      <td class="numeric">{stats.count === 0 ? <span class="faint">–</span> : formatDuration(stats.p50Nanos)}</td>
      <td class="numeric">{stats.count === 0 ? <span class="faint">–</span> : formatDuration(stats.p95Nanos)}</td>
      <td class="numeric">{formatCount(stats.count)}</td>
    </tr>
  );
}
