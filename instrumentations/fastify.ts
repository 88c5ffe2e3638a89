import { subscribe } from "node:diagnostics_channel";
import type { IncomingMessage } from "node:http";
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import { recordRequestError, setRoute } from "./shared/server-request.ts";

/*
 * fastify 4 and 5: which route answers a request, and which error it was answered for. No spans: hooks and handlers are the
 * application's own code.
 *
 * fastify publishes every instance it makes, and an instance takes hooks. A hook on the root instance runs first, and for
 * every request of every plugin; fastify 5's own tracing channel starts at the handler, so what a hook before it refuses
 * (authentication, validation) would have no route.
 *
 * Known limitations: `printRoutes({ includeHooks: true })` shows both hooks. A URL fastify cannot decode reaches no hook.
 */

const subscribed = new WeakSet<Kit>();

const fastify: Instrumentation = defineInstrumentation({
  name: "fastify",
  modules: [
    {
      name: "fastify",
      versions: ">=4.0.0 <6",
      file: "fastify.js",
      patch(_exports, kit) {
        // Every copy of fastify in the process publishes to the same channel.
        if (subscribed.has(kit)) return;
        subscribed.add(kit);
        subscribe("fastify.initialization", (message) => {
          if (!kit.owner.enabled) return;
          try {
            const { fastify: instance } = message as { fastify: FastifyInstance };
            instance.addHook("onRequest", tracekitRoute);
            instance.addHook("onError", tracekitError);
          } catch (error) {
            kit.owner.disable("fastify, instance", error);
          }
        });
      },
    },
  ],
});
export default fastify;

interface FastifyInstance {
  addHook(name: "onRequest", hook: typeof tracekitRoute): unknown;
  addHook(name: "onError", hook: typeof tracekitError): unknown;
}

interface FastifyRequest {
  readonly raw: IncomingMessage;
  /** Since 4.10. `url` is undefined where no route matched. */
  readonly routeOptions?: { readonly url?: string };
  /** Before 4.10; deprecated after. */
  readonly routerPath?: string;
}

function tracekitRoute(request: FastifyRequest, _reply: unknown, done: () => void): void {
  try {
    const { routeOptions } = request;
    setRoute(request.raw, routeOptions === undefined ? request.routerPath : routeOptions.url);
  } catch {
    // What a hook throws is the application's answer: better no route.
  }
  done();
}

/** Before the application's error handlers, for every error a request meets. */
function tracekitError(request: FastifyRequest, _reply: unknown, error: unknown, done: () => void): void {
  recordRequestError(request.raw, error);
  done();
}
