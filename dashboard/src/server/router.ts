import type { IncomingMessage, ServerResponse } from "node:http";
import type { Access } from "./guard.ts";
import { HttpError } from "./http-error.ts";

export interface Call {
  request: IncomingMessage;
  response: ServerResponse;
  /** Decoded segments, by the names they have in the route's path. */
  params: Readonly<Record<string, string>>;
  query: URLSearchParams;
}

export interface Route {
  method: "GET" | "POST" | "PUT" | "DELETE";
  /** Segments that begin with a colon stand for any one: `/api/traces/:traceId`. */
  path: string;
  access: Access;
  /** Answers, or throws what `toHttpError` understands. */
  handle(call: Call): void | Promise<void>;
}

export interface Match {
  route: Route;
  params: Readonly<Record<string, string>>;
}

/** Finds the route of a request by comparing segments; there are two dozen of them. */
export class Router {
  readonly #routes: readonly { route: Route; segments: readonly string[] }[];

  constructor(routes: readonly Route[]) {
    this.#routes = routes.map((route) => ({ route, segments: route.path.split("/") }));
  }

  /** Undefined for a path nobody knows; throws `method_not_allowed` for one that is known. GET answers HEAD, too. */
  match(method: string, path: string): Match | undefined {
    const asked = path.split("/");
    const allowed = this.methodsOf(path);
    if (allowed.length === 0) return undefined;
    const wanted = method === "HEAD" ? "GET" : method;
    for (const { route, segments } of this.#routes) {
      if (route.method !== wanted) continue;
      const params = paramsOf(segments, asked);
      if (params !== undefined) return { route, params };
    }
    throw new HttpError("method_not_allowed", `${path} answers ${allowed.join(" and ")}.`, {
      allow: allowed.join(", "),
    });
  }

  methodsOf(path: string): string[] {
    const asked = path.split("/");
    return this.#routes.flatMap(({ route, segments }) =>
      paramsOf(segments, asked) === undefined ? [] : [route.method as string],
    );
  }

  /** Whether senders send there. */
  isReceiver(path: string): boolean {
    return this.#routes.some(({ route }) => route.access === "receiver" && route.path === path);
  }
}

function paramsOf(segments: readonly string[], asked: readonly string[]): Record<string, string> | undefined {
  if (segments.length !== asked.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, segment] of segments.entries()) {
    const text = asked[index] as string;
    if (segment.startsWith(":")) {
      const decoded = decode(text);
      if (decoded === undefined || decoded === "") return undefined;
      params[segment.slice(1)] = decoded;
    } else if (segment !== text) return undefined;
  }
  return params;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
