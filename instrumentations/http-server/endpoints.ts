import { HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE } from "../../src/semconv/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";

/** Routes and statuses are few where they come from code; an application that makes routes up as it goes is not followed. */
const MAX_ENDPOINTS = 1000;
const MAX_OUTCOMES = 32;

interface Endpoint {
  /** Method → span name. */
  readonly names: Map<string, string>;
  /** Status → attributes. */
  readonly outcomes: Map<number, AttributeBlock>;
}

/** Span names and attributes by route and status: made and encoded once. */
export class Endpoints {
  private readonly endpoints = new Map<string, Endpoint>();

  /** `method` is a known one, or what stands for the others. */
  nameOf(method: string, route: string): string {
    const { names } = this.endpointOf(route);
    let name = names.get(method);
    if (name === undefined) names.set(method, (name = `${method} ${route}`));
    return name;
  }

  /** `status` undefined: no response was begun. */
  attributesOf(route: string | undefined, status: number | undefined): AttributeBlock {
    const { outcomes } = this.endpointOf(route ?? "");
    let block = outcomes.get(status ?? 0);
    if (block === undefined) {
      block = new AttributeBlock({ [HTTP_ROUTE]: route, [HTTP_RESPONSE_STATUS_CODE]: status });
      if (outcomes.size < MAX_OUTCOMES) outcomes.set(status ?? 0, block);
    }
    return block;
  }

  private endpointOf(route: string): Endpoint {
    let endpoint = this.endpoints.get(route);
    if (endpoint === undefined) {
      endpoint = { names: new Map(), outcomes: new Map() };
      if (this.endpoints.size < MAX_ENDPOINTS) this.endpoints.set(route, endpoint);
    }
    return endpoint;
  }
}
