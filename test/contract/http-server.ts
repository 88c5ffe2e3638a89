import { readdirSync, readFileSync } from "node:fs";
import { Agent, type IncomingHttpHeaders, request } from "node:http";
import { type ClientHttp2Session, connect } from "node:http2";
import { request as requestSecurely } from "node:https";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { type App, startApp } from "../support/run-app.ts";
import { createTestCertificates, type TestCertificates } from "../support/tls.ts";

export interface HttpServerContract {
  /** For the titles: "fastify over HTTP/2". */
  readonly title: string;
  readonly instrumentation: "http-server" | "http2";
  /** CommonJS text: it serves `ROUTES` of `./http-server-app.cjs`, and says so with `announce`. KEY and CERT are files. */
  readonly code: string;
  /** What to install for each run. `[{}]` for what Node brings. */
  readonly installs: ReadonlyArray<Readonly<Record<string, string>>>;
  /** How it is asked. Default "1.1". */
  readonly protocol?: "1.1" | "2";
  /** Over TLS. Default false. */
  readonly isSecure?: boolean;
  /** Its requests have routes, so that it is a framework on one of the servers that are tested by themselves. Default false. */
  readonly hasRoutes?: boolean;
}

/** What came back for a request. */
interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
}

/** Asks one application. */
interface Asker {
  ask(path: string, asked?: Asked): Promise<Answer>;
  /** Begins to ask, and leaves: at once, or when the first piece has come. */
  leave(path: string, when: "soon" | "after the first piece"): Promise<void>;
  close(): void;
}

/** Declares the tests every HTTP server passes. `after` gets all its spans. */
export function httpServerContract(
  contract: HttpServerContract,
  after: (spans: readonly ReceivedSpan[]) => void = () => {},
): void {
  describe.each(contract.installs.map((install) => ({ install, title: nameOf(contract, install) })))(
    "$title as an HTTP server",
    ({ install }) => {
      declare(contract, install, after);
    },
  );
}

function declare(
  contract: HttpServerContract,
  install: Readonly<Record<string, string>>,
  after: (spans: readonly ReceivedSpan[]) => void,
): void {
  const { protocol = "1.1", isSecure = false, hasRoutes = false } = contract;
  let receiver: OtlpReceiver;
  let certificates: TestCertificates;
  let app: App;
  let plainApp: App;
  let traced: Asker;
  let plain: Asker;
  beforeAll(async () => {
    receiver = await startOtlpReceiver();
    certificates = createTestCertificates();
    const libraries = Object.keys(install).length === 0 ? undefined : await installLibraries({ ...install });
    const beside = readdirSync(import.meta.dirname).filter((name) => name.endsWith("-app.cjs"));
    const options = {
      type: "cjs" as const,
      code: contract.code,
      files: Object.fromEntries(beside.map((name) => [name, readFileSync(join(import.meta.dirname, name), "utf8")])),
      ...(libraries !== undefined && { libraries }),
      env: {
        KEY: certificates.files.serverKey,
        CERT: certificates.files.serverCert,
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        OTEL_BSP_SCHEDULE_DELAY: "50",
      },
    };
    app = startApp({ ...options, preload: "require" });
    plainApp = startApp({ ...options, preload: "none" });
    const origin = async (from: App): Promise<string> =>
      `${isSecure ? "https" : "http"}://localhost:${await from.port()}`;
    const create = protocol === "2" ? askHttp2 : askHttp1;
    traced = create(await origin(app), certificates.ca);
    plain = create(await origin(plainApp), certificates.ca);
  });
  afterAll(async () => {
    traced?.close();
    plain?.close();
    await Promise.all([app?.kill(), plainApp?.kill()]);
    await receiver?.close();
    certificates?.remove();
  });

  /** All its server spans of a path, once one of a later request has arrived. */
  async function spansOf(path: string): Promise<ReceivedSpan[]> {
    const marker = `/hello/after-${Math.random()}`;
    await traced.ask(marker);
    const spans = await receiver.waitForSpans((received) =>
      received.some(({ attributes }) => attributes["url.path"] === marker),
    );
    return spans.filter(({ attributes, kind }) => kind === "SERVER" && attributes["url.path"] === path);
  }

  async function spanOf(path: string): Promise<ReceivedSpan> {
    // A span whose body is decoded arrives a moment later.
    await receiver.waitForSpans((received) => received.some(({ attributes }) => attributes["url.path"] === path));
    const spans = await spansOf(path);
    expect(
      spans.map(({ name }) => name),
      path,
    ).toHaveLength(1);
    return spans[0] as ReceivedSpan;
  }

  /** The span of one request; its answer is compared with what the application answers without us. */
  async function spanFor(path: string, asked: Asked = {}): Promise<ReceivedSpan> {
    const [answer, expected] = [await traced.ask(path, asked), await plain.ask(path, asked)];
    expect(withoutDate(answer)).toEqual(withoutDate(expected));
    return spanOf(path.replace(/\?.*/, ""));
  }

  const nameFor = (method: string, route: string): string => (hasRoutes ? `${method} ${route}` : method);

  test("a request's span says what was asked, by whom, and what was answered", async () => {
    const headers = { "user-agent": "probe/1.0", "x-request-id": "abc", "x-forwarded-for": "203.0.113.9, 10.0.0.1" };
    const span = await spanFor("/hello/all?page=2&token=hunter2", { headers });
    expect(span).toMatchObject({ name: nameFor("GET", "/hello/:name"), parentSpanId: "", status: { code: "UNSET" } });
    expect(span.scope.name).toBe(`@tracekit/auto/${contract.instrumentation}`);
    expect(span.attributes).toEqual({
      "http.request.method": "GET",
      ...(hasRoutes && { "http.route": "/hello/:name" }),
      "url.scheme": isSecure ? "https" : "http",
      "url.path": "/hello/all",
      "url.query": "page=2&token=REDACTED",
      "server.address": "localhost",
      "server.port": await app.port(),
      "client.address": "203.0.113.9",
      "network.peer.address": expect.stringMatching(/^127\.0\.0\.1$|^::1$/) as string,
      "network.peer.port": expect.any(Number) as number,
      "network.protocol.version": protocol,
      "user_agent.original": "probe/1.0",
      "http.request.header.x-request-id": ["abc"],
      "http.response.status_code": 200,
      "http.response.header.content-type": ["text/plain; charset=utf-8"],
      "http.response.header.x-request-id": ["r-1"],
      "http.response.body.size": 5,
      "http.response.body.content": "hello",
    });
  });

  test("it continues the caller's trace, and what the handler does is below it", async () => {
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01`, tracestate: "a=1" };
    const span = await spanFor("/where/child", { headers });
    expect(span).toMatchObject({ traceId, parentSpanId: "b7ad6b7169203331", traceState: "a=1" });
    const work = receiver.spans.find(({ name, parentSpanId }) => name === "work" && parentSpanId === span.spanId);
    expect(work?.traceId).toBe(traceId);
  });

  test("at once or one after the other, each request has its own", async () => {
    const paths = Array.from({ length: 12 }, (_, index) => `/where/at-once-${index}`);
    const answers = await Promise.all(paths.map((path) => traced.ask(path)));
    expect(answers.map(({ text }) => text)).toEqual(paths.map(() => '{"same":true}'));
    const spans = await Promise.all(paths.map(spanOf));
    const works = receiver.spans.filter(({ name }) => name === "work").map(({ parentSpanId }) => parentSpanId);
    expect(works.filter((id) => spans.some(({ spanId }) => spanId === id))).toHaveLength(12);
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(12);
  });

  test("without a sampled caller there is none, and the decision travels", async () => {
    const headers = { traceparent: `00-${"c".repeat(32)}-b7ad6b7169203331-00` };
    const { text } = await traced.ask("/decision/unsampled", { headers });
    expect(text).toBe("true");
    expect(await spansOf("/decision/unsampled")).toEqual([]);
    expect(receiver.spans.filter(({ traceId }) => traceId === "c".repeat(32))).toEqual([]);
  });

  test.each([
    ["json", "application/json", '{"password":"hunter2","name":"Zoë"}', '{"password":"REDACTED","name":"Zoë"}'],
    ["form", "application/x-www-form-urlencoded", "user=ann&password=hunter2", "user=ann&password=REDACTED"],
    ["lines", "application/x-ndjson", '{"token":"hunter2"}\n{"n":2}\n', '{"token":"REDACTED"}\n{"n":2}\n'],
    ["empty", "application/json", "", undefined],
    ["binary", "application/octet-stream", "\u0000\u0001", undefined],
  ])("a body of %s is shown both ways, without secrets", async (name, type, body, shown) => {
    const span = await spanFor(`/echo/${name}`, { method: "POST", headers: { "content-type": type }, body });
    const { attributes } = span;
    const size = Buffer.byteLength(body) || undefined;
    expect(span.name).toBe(nameFor("POST", "/echo/:id"));
    expect(attributes["http.response.status_code"]).toBe(201);
    expect([attributes["http.request.body.size"], attributes["http.response.body.size"]]).toEqual([size, size]);
    expect([attributes["http.request.body.content"], attributes["http.response.body.content"]]).toEqual([shown, shown]);
    const children = receiver.spans.filter(({ parentSpanId }) => parentSpanId === span.spanId);
    expect(children.map((child) => child.name)).toEqual(["after the body"]);
  });

  test("a compressed body is shown decoded", async () => {
    const headers = { "content-type": "application/json", "content-encoding": "gzip" };
    const body = gzipSync('{"password":"hunter2","city":"Oslo"}');
    const { attributes } = await spanFor("/echo/gzip", { method: "POST", headers, body });
    expect(attributes["http.request.body.size"]).toBe(body.length);
    expect(attributes["http.request.body.content"]).toBe('{"password":"REDACTED","city":"Oslo"}');
    for (const coding of ["gzip", "deflate", "br", "zstd"]) {
      const span = await spanFor(`/coded/${coding}`);
      const isKnown = span.attributes["http.response.status_code"] === 200;
      expect([coding, isKnown]).toEqual([coding, isKnown || coding !== "zstd"]);
      const shown = isKnown ? '{"password":"REDACTED","city":"Oslo"}' : undefined;
      expect(span.attributes["http.response.body.content"]).toBe(shown);
    }
  });

  test("a multipart body is its parts' names, types and sizes", async () => {
    const body =
      '--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nhunter2\r\n' +
      '--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n' +
      `${"x".repeat(40_000)}\r\n--b--\r\n`;
    const headers = { "content-type": "multipart/form-data; boundary=b" };
    const { attributes } = await spanFor("/echo/multipart", { method: "POST", headers, body });
    expect(attributes["tracekit.http.request.body.parts"]).toEqual([
      "title (7 bytes)",
      "file: a.png, image/png (40000 bytes)",
    ]);
    expect(attributes).not.toHaveProperty("http.request.body.content");
  });

  test("a response in pieces, a large one and one that is no text", async () => {
    const chunks = await spanFor("/chunks/1");
    expect(chunks.attributes["http.response.body.content"]).toBe('{"password":"REDACTED","name":"Zoë"}');
    const large = await spanFor("/large/1");
    expect(large.attributes["http.response.body.size"]).toBe(120_000);
    expect(large.attributes["http.response.body.content"]).toMatch(/^été .*…$/);
    const binary = await spanFor("/binary/1");
    expect(binary.attributes["http.response.body.size"]).toBe(300);
    expect(binary.attributes).not.toHaveProperty("http.response.body.content");
  });

  test("HEAD and 204 have no body", async () => {
    const head = await spanFor("/hello/head", { method: "HEAD" });
    expect(head.attributes["http.request.method"]).toBe("HEAD");
    const empty = await spanFor("/status/204");
    for (const { status, attributes } of [head, empty]) {
      expect(status.code).toBe("UNSET");
      expect(attributes["http.response.status_code"]).toBeDefined();
      expect(attributes).not.toHaveProperty("http.response.body.size");
      expect(attributes).not.toHaveProperty("tracekit.http.aborted");
    }
  });

  test.each(hasRoutes ? [] : ["PROPFIND"])("a method of its own making is one of many: %s", async (method) => {
    const { name, attributes } = await spanFor("/nowhere", { method });
    expect(name).toBe("HTTP");
    expect(attributes).toMatchObject({ "http.request.method": "_OTHER", "http.request.method_original": method });
  });

  test.each([
    [404, "UNSET", undefined],
    [500, "ERROR", "500"],
    [503, "ERROR", "503"],
  ])("status %i is %s", async (code, status, type) => {
    const span = await spanFor(`/status/${code}`);
    expect([span.status.code, span.attributes["error.type"]]).toEqual([status, type]);
  });

  test.each(["soon", "after the first piece"] as const)("a client that leaves %s is no error", async (when) => {
    const path = when === "soon" ? "/hang/1" : "/partial/1";
    await traced.leave(path, when);
    await sleep(100);
    const { status, attributes } = await spanOf(path);
    expect([status.code, attributes["tracekit.http.aborted"], attributes["error.type"]]).toEqual([
      "UNSET",
      true,
      undefined,
    ]);
    expect(attributes["http.response.body.content"]).toBe(when === "soon" ? undefined : "the beginning");
  });

  test("a server that gives up is one, with its error", async () => {
    await traced.ask("/destroy/1").catch(() => {});
    const span = await spanOf("/destroy/1");
    expect(span.status).toEqual({ code: "ERROR", message: "gave up" });
    expect(span.attributes).toMatchObject({ "tracekit.http.aborted": true, "error.type": "E_GAVE_UP" });
    expect(span.events.map(({ name }) => name)).toEqual(["exception"]);
  });

  // Five seconds each: the frameworks have nothing to add to it.
  test.each(hasRoutes ? [] : ["/events/endless"])("a stream of events is not held open: %s", async (path) => {
    const asking = traced.ask(path).catch(() => {});
    const span = await spanOf(path);
    expect(span.attributes).toMatchObject({
      "tracekit.http.streaming": true,
      "http.response.status_code": 200,
      "http.response.body.content": expect.stringMatching(/^data: \{"password":"REDACTED"\}\n\n/) as string,
    });
    expect(span.attributes).not.toHaveProperty("tracekit.http.aborted");
    void asking;
  });

  test("no secret leaves, and the spans are those that are described", async () => {
    const headers = { cookie: "sid=hunter2", authorization: "Bearer hunter2", "x-api-key": "hunter2" };
    const { attributes } = await spanFor("/secrets/all?password=hunter2", { headers });
    expect(attributes["http.response.body.content"]).toBe('{"password":"REDACTED","ok":true}');
    for (const { body } of receiver.requests) expect(body.includes("hunter2")).toBe(false);
    expect(app.stderr).not.toContain("no longer traced");
    after(receiver.spans.filter(({ kind }) => kind === "SERVER"));
  });
}

function askHttp1(origin: string, ca: string): Asker {
  const send = origin.startsWith("https") ? requestSecurely : request;
  const agent = origin.startsWith("https") ? undefined : new Agent({ keepAlive: true });
  const options = { ca, agent: agent ?? false };
  return {
    ask: (path, { method = "GET", headers = {}, body } = {}) =>
      new Promise((resolve, reject) => {
        const sent = send(`${origin}${path}`, { ...options, method, headers }, (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("error", reject);
          response.on("end", () =>
            resolve({
              status: response.statusCode,
              headers: response.headers,
              text: Buffer.concat(chunks).toString("latin1"),
            }),
          );
        });
        sent.on("error", reject);
        sent.end(body);
      }),
    leave: (path, when) =>
      new Promise((resolve) => {
        const sent = send(`${origin}${path}`, { ...options, agent: false }, (response) => {
          response.on("error", () => {});
          response.once("data", () => sent.destroy());
        });
        sent.on("error", () => {});
        sent.on("close", resolve);
        sent.end();
        if (when === "soon") setTimeout(() => sent.destroy(), 150);
      }),
    close: () => agent?.destroy(),
  };
}

function askHttp2(origin: string, ca: string): Asker {
  let session: ClientHttp2Session | undefined;
  const open = (): ClientHttp2Session => {
    if (session === undefined || session.closed || session.destroyed) {
      session = connect(origin, { ca });
      session.on("error", () => {});
    }
    return session;
  };
  return {
    ask: (path, { method = "GET", headers = {}, body } = {}) =>
      new Promise((resolve, reject) => {
        const stream = open().request({ ":path": path, ":method": method, ...headers });
        const chunks: Buffer[] = [];
        let answer: IncomingHttpHeaders & { ":status"?: number } = {};
        stream.on("response", (received) => (answer = { ...received } as typeof answer));
        stream.on("data", (chunk: Buffer) => chunks.push(chunk));
        stream.on("error", reject);
        stream.on("close", () =>
          resolve({ status: answer[":status"], headers: answer, text: Buffer.concat(chunks).toString("latin1") }),
        );
        stream.end(body);
      }),
    leave: (path, when) =>
      new Promise((resolve) => {
        const stream = open().request({ ":path": path });
        stream.on("error", () => {});
        stream.on("close", resolve);
        stream.once("data", () => stream.close(8));
        if (when === "soon") setTimeout(() => stream.close(8), 150);
      }),
    close: () => session?.destroy(),
  };
}

function withoutDate({ headers: { date: _date, ...headers }, ...answer }: Answer): unknown {
  return { ...answer, headers };
}

function nameOf({ title }: HttpServerContract, install: Readonly<Record<string, string>>): string {
  const versions = Object.entries(install).map(([name, version]) => `${name} ${version}`);
  return versions.length === 0 ? title : `${title} (${versions.join(", ")})`;
}
