import type { Capture } from "../../src/capture/capture.ts";
import { HTTP_RESPONSE_HEADER_PREFIX, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE } from "../../src/semconv/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";

/** Routes are few where they come from code; an application that makes them up as it goes is not followed. */
const MAX_ENDPOINTS = 1000;
/** Of one route: statuses, and content types for each. */
const MAX_OUTCOMES = 32;

const CONTENT_TYPE = `${HTTP_RESPONSE_HEADER_PREFIX}content-type`;

type Outcomes = Map<number, Map<string, AttributeBlock>>;

/** Span names by route and method, and attributes by route, status and content type: made and encoded once. */
export class Endpoints {
  /** Route → method → span name. */
  private readonly names = new Map<string, Map<string, string>>();
  /** Route → status → content type → attributes. */
  private readonly outcomes = new Map<string, Outcomes>();

  /** `method` is a known one, or what stands for the others. */
  nameOf(method: string, route: string): string {
    const names = entryOf(this.names, route, MAX_ENDPOINTS);
    let name = names.get(method);
    // No limit: known methods are.
    if (name === undefined) names.set(method, (name = `${method} ${route}`));
    return name;
  }

  /** `status` undefined: no response was begun. `contentType` as it was sent; undefined when headers are not recorded. */
  attributesOf(
    route: string | undefined,
    status: number | undefined,
    contentType: string | undefined,
    capture: Capture,
  ): AttributeBlock {
    const outcomes: Outcomes = entryOf(this.outcomes, route ?? "", MAX_ENDPOINTS);
    const blocks = entryOf(outcomes, status ?? 0, MAX_OUTCOMES);
    let block = blocks.get(contentType ?? "");
    if (block === undefined) {
      block = new AttributeBlock({
        [HTTP_ROUTE]: route,
        [HTTP_RESPONSE_STATUS_CODE]: status,
        [CONTENT_TYPE]: contentType === undefined ? undefined : [capture.header("content-type", contentType)],
      });
      if (blocks.size < MAX_OUTCOMES) blocks.set(contentType ?? "", block);
    }
    return block;
  }
}

/** The map within a map; one that is not kept beyond `limit`. */
function entryOf<K, K2, V>(maps: Map<K, Map<K2, V>>, key: K, limit: number): Map<K2, V> {
  let entry = maps.get(key);
  if (entry === undefined) {
    entry = new Map();
    if (maps.size < limit) maps.set(key, entry);
  }
  return entry;
}
