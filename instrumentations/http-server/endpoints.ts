import type { Capture } from "../../src/capture/capture.ts";
import { HTTP_RESPONSE_HEADER_PREFIX, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE } from "../../src/semconv/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";

/** Routes are few where they come from code; an application that makes them up as it goes is not followed. */
const MAX_ENDPOINTS = 1000;
/** Of one route: statuses, and content types for each. */
const MAX_OUTCOMES = 32;

const CONTENT_TYPE = `${HTTP_RESPONSE_HEADER_PREFIX}content-type`;

/** The endpoints of all servers, by route. */
export class Endpoints {
  private readonly byRoute = new Map<string, Endpoint>();

  /** `route` undefined: none is known. */
  of(route: string | undefined): Endpoint {
    let endpoint = this.byRoute.get(route ?? "");
    if (endpoint === undefined) {
      endpoint = new Endpoint(route);
      if (this.byRoute.size < MAX_ENDPOINTS) this.byRoute.set(route ?? "", endpoint);
    }
    return endpoint;
  }
}

/** What the spans of one route have in common, made and encoded once. */
export class Endpoint {
  private readonly route: string | undefined;
  /** Method → span name. */
  private readonly names = new Map<string, string>();
  /** Status → content type → attributes. */
  private readonly outcomes = new Map<number, Map<string, AttributeBlock>>();
  /** Most requests end as the one before did: to compare is cheaper than to look for a content type that was made just now. */
  private lastStatus: number | undefined = undefined;
  private lastContentType: string | undefined = undefined;
  private lastAttributes: AttributeBlock | undefined = undefined;

  constructor(route: string | undefined) {
    this.route = route;
  }

  /** `method` is a known one, or what stands for the others. */
  nameOf(method: string): string {
    let name = this.names.get(method);
    // No limit: known methods are.
    if (name === undefined) this.names.set(method, (name = `${method} ${this.route}`));
    return name;
  }

  /** `status` undefined: no response was begun. `contentType` as it was sent; undefined when headers are not recorded. */
  attributesOf(status: number | undefined, contentType: string | undefined, capture: Capture): AttributeBlock {
    if (this.lastAttributes !== undefined && this.lastStatus === status && this.lastContentType === contentType) {
      return this.lastAttributes;
    }
    let blocks = this.outcomes.get(status ?? 0);
    if (blocks === undefined) {
      blocks = new Map();
      if (this.outcomes.size < MAX_OUTCOMES) this.outcomes.set(status ?? 0, blocks);
    }
    let block = blocks.get(contentType ?? "");
    if (block === undefined) {
      block = new AttributeBlock({
        [HTTP_ROUTE]: this.route,
        [HTTP_RESPONSE_STATUS_CODE]: status,
        [CONTENT_TYPE]: contentType === undefined ? undefined : [capture.header("content-type", contentType)],
      });
      if (blocks.size < MAX_OUTCOMES) blocks.set(contentType ?? "", block);
    }
    this.lastStatus = status;
    this.lastContentType = contentType;
    this.lastAttributes = block;
    return block;
  }
}
