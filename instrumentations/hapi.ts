import type { IncomingMessage } from "node:http";
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import { recordRequestError, setRoute } from "./shared/server-request.ts";

/*
 * @hapi/hapi 20 (from 20.2, which works on Node 20) and 21: which route answers a request, and which error it was answered for.
 * No spans: extensions and handlers are the application's own code.
 *
 * Known limitations: what an `onRequest` extension answers has no route yet. Of an error that an extension replaces, both are told.
 */

const hapi: Instrumentation = defineInstrumentation({
  name: "hapi",
  modules: [
    {
      name: "@hapi/hapi",
      versions: ">=20.2.0 <22",
      file: "lib/request.js",
      patch(Request, kit) {
        const { owner } = kit;
        kit.wrap(
          Request.prototype,
          "_lookup",
          (original) =>
            function (this: HapiRequest): unknown {
              const result = Reflect.apply(original, this, arguments);
              if (!owner.enabled) return result;
              try {
                const { _route: route, raw } = this;
                if (!route._special) setRoute(raw.req, route.path);
              } catch (error) {
                owner.disable("hapi, route", error);
              }
              return result;
            },
        );
        kit.wrap(
          Request.prototype,
          "_setResponse",
          (original) =>
            function (this: HapiRequest, response: unknown): unknown {
              if (owner.enabled) {
                try {
                  if (isError(response, this)) recordRequestError(this.raw.req, response);
                } catch (error) {
                  owner.disable("hapi, error", error);
                }
              }
              return Reflect.apply(original, this, arguments);
            },
        );
      },
    },
  ],
});
export default hapi;

interface HapiRequest {
  readonly raw: { readonly req: IncomingMessage };
  /** Special ones answer what no route of the application's does. */
  readonly _route: { readonly path: string; readonly _special: boolean };
}

/** hapi makes a Boom of every error. A path without a route is none of the application's, and a client that left is no error. */
function isError(response: any, { _route: route }: HapiRequest): boolean {
  if (response?.isBoom !== true) return false;
  const status: unknown = response.output?.statusCode;
  return status !== 499 && !(route._special && status === 404);
}
