import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { isIPv4 } from "node:net";
import { HttpError } from "./http-error.ts";

/** Who may ask for something: `receiver` is for senders, `read` and `write` are for the page and tools, `page` for anybody who
 *  follows a link. */
export type Access = "receiver" | "read" | "write" | "page";

/** What of a request decides. */
export interface Asked extends Pick<IncomingMessage, "headers" | "rawHeaders"> {
  /** Not looked at for senders. */
  socket?: { localPort?: number | undefined };
}

/** For every answer. The page's scripts, styles and requests are its own, and nobody may frame it. */
export const SECURITY_HEADERS: OutgoingHttpHeaders = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/**
 * Decides from a request's head whether it may be answered. The dashboard holds what an application did, secrets that nobody
 * thought of included, and every page the user visits can send requests to localhost:
 * - a name that an attacker points at 127.0.0.1 makes their page "same origin" (DNS rebinding): the Host header tells;
 * - forms, images and scripts of other sites need no permission to send: the Origin and Sec-Fetch-Site headers tell, and what
 *   changes something needs a header that only a script of our own page can set.
 */
export class Guard {
  readonly #host: string;
  readonly #tokenHash: Buffer | undefined;
  /** Cookies know no ports: another server on this machine gets to see it, and must not learn the token. */
  readonly #cookieValue: string | undefined;

  /** `host` is what the server is bound to. Throws when others can reach it and there is no token. */
  constructor(host: string, token: string | undefined) {
    this.#host = host.toLowerCase();
    if (!isLoopbackHost(this.#host) && !token) throw new Error(`Listening on ${host} needs a token.`);
    if (!token) return;
    this.#tokenHash = hash(token);
    this.#cookieValue = hash(`cookie of ${token}`).toString("base64url");
  }

  /** Throws `forbidden_origin` or `unauthorized`. */
  check(request: Asked, access: Access): void {
    this.#checkOrigin(request, access);
    this.#checkToken(request, access);
    if (access === "write" && request.headers["x-tracekit"] !== "1")
      throw new HttpError("forbidden_origin", "Requests that change something need the header x-tracekit: 1.");
  }

  /** Comes before everything else that is done with a request. Throws `forbidden_host`. */
  checkHost({ headers, rawHeaders }: Asked): void {
    const name = hostName(headers.host);
    // Bound to every address, the names it goes by are unknown; but then each request shows the token, which a page on a
    // rebound name has neither as a cookie nor otherwise.
    const isKnown = name !== undefined && (isLoopbackHost(name) || name === this.#host || isWildcard(this.#host));
    const isOne = rawHeaders.filter((each, index) => index % 2 === 0 && each.toLowerCase() === "host").length === 1;
    if (!isKnown || !isOne)
      throw new HttpError(
        "forbidden_host",
        `Host ${headers.host ?? "is missing and"} is not a name of this machine for itself.`,
      );
  }

  /** Of a sender in a page in development, what lets it read the answer; undefined for any other. */
  senderOrigin(request: Asked): string | undefined {
    const { origin } = request.headers;
    return origin !== undefined && isLoopbackOrigin(origin) ? origin : undefined;
  }

  /** The cookie for a browser that showed the token in the address; undefined where it is wrong or none is needed. */
  cookieFor(token: string, port: number): string | undefined {
    if (this.#tokenHash === undefined || !timingSafeEqual(hash(token), this.#tokenHash)) return undefined;
    return `${cookieName(port)}=${this.#cookieValue}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000`;
  }

  #checkOrigin(request: Asked, access: Access): void {
    const { origin, host } = request.headers;
    if (origin !== undefined) {
      const isOwn = origin.toLowerCase() === `http://${host?.toLowerCase()}`;
      if (!isOwn && !(access === "receiver" && isLoopbackOrigin(origin)))
        throw new HttpError("forbidden_origin", `Requests of pages at ${origin} are not answered.`);
      return;
    }
    const site = request.headers["sec-fetch-site"];
    const isOther = access === "receiver" ? site === "cross-site" : site === "cross-site" || site === "same-site";
    if (isOther && access !== "page")
      throw new HttpError("forbidden_origin", "Requests of pages of other sites are not answered.");
  }

  #checkToken(request: Asked, access: Access): void {
    if (this.#tokenHash === undefined) return;
    const bearer = /^bearer (.*)$/i.exec(request.headers.authorization ?? "")?.[1]?.trim();
    if (bearer !== undefined && timingSafeEqual(hash(bearer), this.#tokenHash)) return;
    // Not for senders: a page elsewhere on this machine would send the cookie without knowing it.
    const cookie = access === "receiver" ? undefined : readCookie(request, cookieName(request.socket?.localPort ?? 0));
    if (cookie !== undefined && timingSafeEqual(hash(cookie), hash(this.#cookieValue ?? ""))) return;
    throw new HttpError(
      "unauthorized",
      access === "receiver"
        ? "The token is missing or wrong: OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20<token>."
        : "The token is missing or wrong: open the address that was printed at the start, with ?token=.",
      { "www-authenticate": "Bearer" },
    );
  }
}

/** The name of a Host header or an address's authority, without port and brackets, in lower case. */
function hostName(authority: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/.exec((authority ?? "").toLowerCase());
  return match?.[1] ?? match?.[2]?.replace(/\.$/, "");
}

/** `localhost`, anything below it, 127.0.0.0/8 and ::1: names and addresses that never leave the machine (RFC 6761, RFC 1122). */
export function isLoopbackHost(name: string): boolean {
  if (name === "localhost" || name.endsWith(".localhost")) return true;
  if (name === "::1" || name === "0:0:0:0:0:0:0:1") return true;
  return isIPv4(name) && name.startsWith("127.");
}

function isLoopbackOrigin(origin: string): boolean {
  const authority = /^https?:\/\/(.+)$/i.exec(origin)?.[1];
  const name = hostName(authority);
  return name !== undefined && isLoopbackHost(name);
}

/** Every address of the machine. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::" || host === "";
}

function cookieName(port: number): string {
  return `tracekit-${port}`;
}

function readCookie(request: Asked, name: string): string | undefined {
  for (const pair of (request.headers.cookie ?? "").split(";")) {
    const equals = pair.indexOf("=");
    if (equals !== -1 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
  }
  return undefined;
}

/** Of equal length whatever it is of, as a comparison in constant time needs. */
function hash(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
