import type { IncomingMessage, ServerResponse } from "node:http";
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import { createHiddenSlot, type HiddenSlot } from "./shared/hidden-slot.ts";
import { findServerRequest, recordRequestError, type ServerRequest } from "./shared/server-request.ts";

/*
 * Express 4 (from 4.16) and 5, and `router` 2 on its own: which route answers a request, and which error it was answered
 * for. No spans: middleware is the application's own code, and a span for each is noise.
 *
 * `req.baseUrl + req.route.path` would do but for parameters in mount paths, which `baseUrl` has replaced by their values
 * (`/users/42/posts/:id`). So each layer `use` has made remembers its path, and a request the path of each router it is in.
 *
 * Known limitations: a route given as a regular expression is written as one (`/api/^\/v\d+/`). router's own tracing channel
 * is left alone: its routes lack the mount path, and a subscriber costs every layer an object and a context.
 */

const express: Instrumentation = defineInstrumentation({
  name: "express",
  modules: [
    {
      name: "express",
      versions: ">=4.16.0 <5",
      file: "lib/router/index.js",
      patch: (router, kit) => patchRouter(router, kit),
    },
    {
      name: "express",
      versions: ">=4.16.0 <5",
      file: "lib/router/layer.js",
      patch: (Layer, kit) => patchLayer(Layer, "handle_request", "handle_error", kit),
    },
    {
      name: "router",
      versions: ">=2.0.0 <3",
      file: "index.js",
      patch: (Router, kit) => patchRouter(Router.prototype, kit),
    },
    {
      name: "router",
      versions: ">=2.0.0 <3",
      file: "lib/layer.js",
      patch: (Layer, kit) => patchLayer(Layer, "handleRequest", "handleError", kit),
    },
  ],
});
export default express;

type Next = (error?: unknown) => void;
type Path = string | RegExp | ReadonlyArray<Path>;
type ExpressRequest = IncomingMessage & { url: string; baseUrl?: string };

/** The parts of router's and express's `Layer` that both have. */
interface Layer {
  /** Where a route is; absent where middleware is. */
  route?: { path: Path };
  /** Truthy when the path is this layer's. Throws on malformed escapes. */
  match(path: string): unknown;
}

function patchLayer(Layer: any, handleRequest: string, handleError: string, kit: Kit): void {
  const { owner } = kit;
  kit.wrap(
    Layer.prototype,
    handleRequest,
    (original) =>
      function (this: Layer, incoming: ExpressRequest, _response: unknown, next: Next): unknown {
        const request = findServerRequest(incoming);
        if (request !== undefined && owner.enabled) {
          try {
            enterLayer(this, request, incoming, next);
          } catch (error) {
            owner.disable("express, route", error);
          }
        }
        return Reflect.apply(original, this, arguments);
      },
  );
  kit.wrap(
    Layer.prototype,
    handleError,
    (original) =>
      function (this: Layer, error: unknown, incoming: ExpressRequest): unknown {
        recordRequestError(incoming, error);
        return Reflect.apply(original, this, arguments);
      },
  );
}

function patchRouter(prototype: any, kit: Kit): void {
  const { owner } = kit;
  kit.wrap(
    prototype,
    "use",
    (original) =>
      function (this: { stack: Layer[] }, ...args: unknown[]): unknown {
        const first = this?.stack?.length;
        const result = Reflect.apply(original, this, args);
        try {
          for (const layer of this.stack.slice(first)) mounts.set(layer, new LayerPath(layer, mountPathOf(args[0])));
        } catch (error) {
          owner.disable("express, use", error);
        }
        return result;
      },
  );
  kit.wrap(
    prototype,
    "handle",
    (original) =>
      function (this: unknown, incoming: ExpressRequest, response: ServerResponse, out: Next): unknown {
        const request = findServerRequest(incoming);
        if (request === undefined || typeof out !== "function") return Reflect.apply(original, this, arguments);
        if (request.routing instanceof Routing) {
          request.routing.pendingBase = incoming.baseUrl ?? "";
          return Reflect.apply(original, this, arguments);
        }
        request.routing = new Routing(incoming.baseUrl ?? "");
        return Reflect.apply(original, this, [incoming, response, watchExit(request, incoming, response, out)]);
      },
  );
}

/** `out` is where a request goes that the outermost router is done with. */
function watchExit(request: ServerRequest, incoming: IncomingMessage, response: ServerResponse, out: Next): Next {
  return function (this: unknown, error?: unknown): void {
    request.routing = undefined;
    if (error) recordRequestError(incoming, error);
    // Every route that matched has passed it on: none of them is what answers.
    else if (!response.headersSent) request.route = undefined;
    return Reflect.apply(out, this, arguments);
  };
}

const mounts: HiddenSlot<LayerPath> = createHiddenSlot();
const routes: HiddenSlot<LayerPath> = createHiddenSlot();

function enterLayer(layer: Layer, request: ServerRequest, incoming: ExpressRequest, next: Next): void {
  const { routing } = request;
  if (!(routing instanceof Routing)) return;
  const isRoute = layer.route !== undefined;
  let path = isRoute ? routes.get(layer) : mounts.get(layer);
  if (path === undefined) {
    // A route's handlers are layers too, without a path of their own.
    if (layer.route === undefined) return;
    routes.set(layer, (path = new LayerPath(layer, layer.route.path)));
  }
  const router = routing.enter(next);
  const below = path.below(router.prefix, router.base, layer, incoming);
  if (isRoute) request.route = below === "" ? "/" : below;
  else routing.pendingPrefix = below;
}

/** A router a request is in. Each run of one has a `next` of its own, which all its layers are called with. */
interface Router {
  readonly next: Next;
  /** Where it is mounted, as a pattern. */
  readonly prefix: string;
  /** Where it is mounted, as it was asked for: its `req.baseUrl`. */
  readonly base: string;
  readonly outer: Router | undefined;
}

/** The routers a request is in. */
class Routing {
  private innermost: Router | undefined = undefined;
  /** Where a router is mounted that starts now: the path of the layer that ran last. */
  pendingPrefix = "";
  pendingBase: string;

  constructor(base: string) {
    this.pendingBase = base;
  }

  /** Makes the router with this `next` the innermost one: when an outer one is seen again, the routers within are over. */
  enter(next: Next): Router {
    let router = this.innermost;
    while (router !== undefined && router.next !== next) router = router.outer;
    router ??= { next, prefix: this.pendingPrefix, base: this.pendingBase, outer: this.innermost };
    return (this.innermost = router);
  }
}

/** The path a layer was made with, below wherever its router is mounted. */
class LayerPath {
  private readonly text: string;
  private prefix = "";
  private joined: string;
  /** Of a list of paths, each by itself; which one has matched is not kept. */
  private readonly alternatives: ReadonlyArray<{ readonly layer: Layer; readonly path: LayerPath }> | undefined;

  constructor(layer: Layer, path: Path) {
    const paths = isList(path) ? ((path as unknown[]).flat(Infinity) as Array<string | RegExp>) : [path];
    const [first] = paths;
    // Without its last slash, so that a router's own root reads as the path it is mounted at.
    this.text = typeof first === "string" ? first.replace(/\/+$/, "") : String(first);
    this.joined = this.text;
    this.alternatives =
      paths.length === 1
        ? undefined
        : paths.map((item) => ({ layer: likeLayer(layer, item), path: new LayerPath(layer, item) }));
  }

  /** `base` is the URL path its router is mounted at. */
  below(prefix: string, base: string, layer: Layer, incoming: ExpressRequest): string {
    if (this.alternatives !== undefined) {
      const asked = layer.route === undefined ? (incoming.baseUrl ?? "").slice(base.length) : pathOf(incoming.url);
      for (const alternative of this.alternatives) {
        if (matches(alternative.layer, asked)) return alternative.path.below(prefix, base, layer, incoming);
      }
    }
    // A layer has one prefix as a rule: made once, the same string is found fastest later.
    if (this.prefix !== prefix) {
      this.prefix = prefix;
      this.joined = prefix + this.text;
    }
    return this.joined;
  }
}

function isList(path: Path): path is ReadonlyArray<Path> {
  return Array.isArray(path);
}

/** A layer for one of the paths of `layer`: the library's own matching decides. */
function likeLayer(layer: Layer, path: string | RegExp): Layer {
  const SameLayer = layer.constructor as new (path: string | RegExp, options: object, handle: () => void) => Layer;
  return new SameLayer(path, { end: layer.route !== undefined }, () => {});
}

function matches(layer: Layer, path: string): boolean {
  try {
    return Boolean(layer.match(path === "" ? "/" : path));
  } catch {
    return false;
  }
}

function pathOf(url: string): string {
  const mark = url.indexOf("?");
  return mark === -1 ? url : url.slice(0, mark);
}

/** `use(path, …)` or `use(…)`, told apart as Express does. */
function mountPathOf(argument: unknown): Path {
  let first = argument;
  while (Array.isArray(first) && first.length !== 0) first = first[0];
  return typeof first === "function" ? "/" : (argument as Path);
}
