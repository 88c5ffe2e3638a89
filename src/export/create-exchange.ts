import type { Endpoint, Exchange } from "./exchange.ts";
import { createGrpcExchange } from "./grpc-exchange.ts";
import { createHttpExchange } from "./http-exchange.ts";

/** Reads Node's http modules, which is why it is not called before there is something to send. */
export function createExchange(endpoint: Endpoint): Exchange {
  return endpoint.protocol === "grpc" ? createGrpcExchange(endpoint) : createHttpExchange(endpoint);
}
