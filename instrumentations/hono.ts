import type { IncomingMessage } from "node:http";
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import { sameShape } from "../src/instrumentation/settlement.ts";
import { findServerRequest, recordRequestError } from "./shared/server-request.ts";

/*
 * hono 4 on @hono/node-server: which route answers a request, and which error its handler failed with. No spans: handlers are the
 * application's own code.
 *
 * A route's handler is wrapped as it is added to the router; what `app.routes` lists is the application's. Middleware is no route:
 * it is for all methods, and takes `next`.
 *
 * Known limitations: routers given as `new Hono({ router })` are not watched. Errors of middleware are not seen, nor those that an
 * application within another one answers with an `onError` of its own.
 */

/** The same router, once for each kind of module. */
const files = [
  { file: "dist/router/smart-router/router.js", format: "module" },
  { file: "dist/cjs/router/smart-router/router.js" },
] as const;

const hono: Instrumentation = defineInstrumentation({
  name: "hono",
  modules: files.map((one) => ({
    ...one,
    name: "hono",
    versions: ">=4.0.0 <5",
    patch(exports, kit) {
      kit.wrap(
        exports.SmartRouter.prototype,
        "add",
        (original) =>
          function (this: unknown, method: unknown, path: unknown, added: unknown): unknown {
            return Reflect.apply(original, this, [method, path, watched(added, kit)]);
          },
      );
    },
  })),
});
export default hono;

type Handler = (context: HonoContext, next: unknown) => unknown;

interface HonoContext {
  /** What the adapter gives: of @hono/node-server, the request and response of node:http. */
  readonly env?: { readonly incoming?: IncomingMessage };
}

/** What Hono remembers of a route. */
interface Route {
  readonly method: string;
  readonly path: string;
  /**
   * As the application gave it. Of an application within another that has its own `onError`, the handler is inside a composed
   * one, which older versions mark otherwise.
   */
  readonly handler: Handler & { readonly __COMPOSED_HANDLER?: Handler };
}

/** What is added to a router: a handler and its route. */
function watched(added: unknown, kit: Kit): unknown {
  if (!Array.isArray(added) || added.length !== 2 || typeof added[0] !== "function") return added;
  const [handler, route] = added as [Handler, Route];
  try {
    return isMiddleware(route) ? added : [watchedHandler(handler, route, kit), route];
  } catch (error) {
    kit.owner.disable("hono, route", error);
    return added;
  }
}

function isMiddleware({ method, handler }: Route): boolean {
  return method === "ALL" && (handler.__COMPOSED_HANDLER ?? handler).length > 1;
}

function watchedHandler(original: Handler, { path }: Route, { owner }: Kit): Handler {
  const handler = function (this: unknown, context: HonoContext): unknown {
    const incoming = context?.env?.incoming;
    const request = incoming === undefined || !owner.enabled ? undefined : findServerRequest(incoming);
    if (incoming === undefined || request === undefined) return Reflect.apply(original, this, arguments);
    request.route = path;
    const failed = (error: unknown): never => {
      recordRequestError(incoming, error);
      throw error;
    };
    try {
      const returned: any = Reflect.apply(original, this, arguments);
      return returned instanceof Promise ? returned.then(undefined, failed) : returned;
    } catch (error) {
      return failed(error);
    }
  };
  return sameShape(handler, original);
}
