import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { api } from "../../api.ts";
import { Segmented } from "../../components/segmented.tsx";
import { EmptyState, ErrorState, Loading } from "../../components/states.tsx";
import { plural } from "../../format.ts";
import { route, setParams } from "../../router.ts";
import type { ServiceMap } from "../../../src/model/api.ts";
import { parseRange, RANGES, rangeStart, type Range } from "./range.ts";
import { ServiceMapView } from "./service-map.tsx";
import { ServiceTable } from "./service-table.tsx";

const REFRESH_MILLIS = 4000;

/** Who talks to whom, how often, how fast, and how often in vain: as a map and as a table. */
export function ServicesPage(): JSX.Element {
  const range = parseRange(route.value.params.get("range"));
  const [attempt, setAttempt] = useState(0);
  const { map, error, isOld } = useServiceMap(range, attempt);

  useEffect(() => {
    document.title = "Services · Tracekit";
  }, []);
  return (
    <div class="services-page">
      <header class="services-header">
        <h1>Services</h1>
        {map !== undefined && map.nodes.length > 0 && <p class="services-count">{describe(map)}</p>}
        <Segmented
          label="Time range"
          name="services-range"
          value={range}
          options={RANGES.map(({ value, label }) => ({ value, label }))}
          onChange={(chosen) => setParams({ range: chosen })}
        />
      </header>
      {error !== undefined && map !== undefined && (
        <p class="services-stale" role="status">
          This is what was known last; it cannot be refreshed now:{" "}
          {error instanceof Error ? error.message : String(error)}
        </p>
      )}
      {map === undefined ? (
        error === undefined ? (
          <Loading label="Loading services" />
        ) : (
          <ErrorState error={error} onRetry={() => setAttempt(attempt + 1)} />
        )
      ) : map.nodes.length === 0 ? (
        <Empty range={range} />
      ) : (
        <div class={isOld ? "services-content services-content-old" : "services-content"}>
          <ServiceMapView map={map} />
          <ServiceTable nodes={map.nodes} />
        </div>
      )}
    </div>
  );
}

/** The latest answer for the range, asked for again every few seconds while somebody looks. */
function useServiceMap(range: Range, attempt: number): { map: ServiceMap | undefined; error: unknown; isOld: boolean } {
  const [answer, setAnswer] = useState<{ range: Range; text: string; map: ServiceMap }>();
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const load = async (): Promise<void> => {
      try {
        const since = rangeStart(range);
        const map = await api.services(since === undefined ? {} : { since }, controller.signal);
        const text = JSON.stringify(map);
        // What has not changed is not drawn again.
        setAnswer((known) => (known?.range === range && known.text === text ? known : { range, text, map }));
        setError(undefined);
      } catch (failure) {
        if (controller.signal.aborted) return;
        setError(failure);
      }
      timer = setTimeout(next, REFRESH_MILLIS);
    };
    const next = (): void => {
      if (document.visibilityState === "visible") void load();
    };
    const look = (): void => {
      clearTimeout(timer);
      next();
    };
    void load();
    document.addEventListener("visibilitychange", look);
    return () => {
      controller.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [range, attempt]);
  return { map: answer?.map, error, isOld: answer !== undefined && answer.range !== range };
}

function Empty({ range }: { range: Range }): JSX.Element {
  if (range !== "all") {
    const name = RANGES.find(({ value }) => value === range)?.words ?? "";
    return (
      <EmptyState title={`Nothing arrived in ${name}`} icon="service">
        <p>The map is drawn from the spans of that time.</p>
        <button type="button" class="button" onClick={() => setParams({ range: "all" })}>
          Show all there is
        </button>
      </EmptyState>
    );
  }
  return (
    <EmptyState title="No services yet" icon="service">
      <p>
        The map draws itself from the spans that arrive: services, and the databases, caches, topics and third parties
        they talk to.
      </p>
      <p>
        Start an application with <code>npx tracekit dev -- node app.js</code>, and send it a request.
      </p>
    </EmptyState>
  );
}

function describe({ nodes }: ServiceMap): string {
  const services = nodes.filter(({ type }) => type === "service").length;
  const others = nodes.length - services;
  return `${plural(services, "service")}${others > 0 ? `, and ${plural(others, "thing")} they talk to` : ""}`;
}
