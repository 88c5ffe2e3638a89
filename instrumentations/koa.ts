import type { IncomingMessage } from "node:http";
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import { createHiddenSlot } from "./shared/hidden-slot.ts";
import { recordRequestError, setRoute } from "./shared/server-request.ts";

/*
 * koa 2 and 3: which route answers a request, and which error it was answered for. No spans: middleware is the application's own
 * code.
 *
 * Routers say on the context which route has matched, as soon as they know: `@koa/router` and `koa-router` as `_matchedRoute`,
 * `koa-route` as `routePath`. All contexts inherit setters for both, so that no router has to be patched, of whatever version.
 *
 * Known limitations: other routers' routes are not known. Both properties are inherited ones, which `Object.keys(ctx)` leaves out.
 */

const koa: Instrumentation = defineInstrumentation({
  name: "koa",
  modules: [
    {
      name: "koa",
      versions: ">=2.0.0 <4",
      file: "lib/context.js",
      patch(context, kit) {
        watchRoute(context, "_matchedRoute", kit, matchedRoute);
        watchRoute(context, "routePath", kit, (_context, said) => said);
        kit.wrap(
          context,
          "onerror",
          (original) =>
            function (this: Context, error: unknown): unknown {
              // Without one the response has ended, well.
              if (error !== null && error !== undefined) recordRequestError(this.req, error);
              return Reflect.apply(original, this, arguments);
            },
        );
      },
    },
  ],
});
export default koa;

type Pattern = string | RegExp;

/** The parts of koa's context that are read. */
interface Context {
  readonly req: IncomingMessage;
  readonly method: string;
  /** The path and query that were asked for. */
  readonly originalUrl: string;
  /** The path, without that of an application it is mounted at (koa-mount). */
  readonly path: string;
  /** What has matched the path of all routers so far: their routes, and middleware, which has no methods. */
  readonly matched?: ReadonlyArray<{ readonly path: Pattern; readonly methods: readonly string[] }>;
}

function watchRoute(
  context: object,
  key: string,
  kit: Kit,
  toRoute: (context: Context, said: unknown) => unknown,
): void {
  if (key in context) return;
  const kept = createHiddenSlot<{ said: unknown }>();
  Object.defineProperty(context, key, {
    configurable: true,
    get(this: Context) {
      return kept.get(this)?.said;
    },
    set(this: Context, said: unknown) {
      if (!Object.hasOwn(this, "req")) {
        // An application's own property of this name, for all its contexts.
        Object.defineProperty(this, key, { value: said, configurable: true, enumerable: true, writable: true });
        return;
      }
      const known = kept.get(this);
      if (known === undefined) kept.set(this, { said });
      else known.said = said;
      if (!kit.owner.enabled) return;
      try {
        const route = toRoute(this, said);
        if (typeof route === "string" || route instanceof RegExp)
          setRoute(this.req, mountOf(this) + String(route) || "/");
      } catch (error) {
        kit.owner.disable("koa, route", error);
      }
    },
  });
}

/** What is said may be the path of a router's middleware, too: of that which comes last, or which runs. It belongs to a route. */
function matchedRoute({ matched, method }: Context, said: unknown): unknown {
  if (!Array.isArray(matched)) return said;
  const routes = (matched as NonNullable<Context["matched"]>).filter(({ methods }) => methods.includes(method));
  return routes.some(({ path }) => path === said) ? said : routes.at(-1)?.path;
}

/** Where the application is mounted, as it was asked for: there are no parameters in it. */
function mountOf({ originalUrl, path }: Context): string {
  const mark = originalUrl.indexOf("?");
  const asked = mark === -1 ? originalUrl : originalUrl.slice(0, mark);
  return asked.length > path.length && asked.endsWith(path) ? asked.slice(0, -path.length) : "";
}
