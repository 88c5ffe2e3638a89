import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BIG_SIZE, type Proxy, startProxy, startTarget, type Target } from "../instrumentations/http-target.ts";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { createTestCertificates, type TestCertificates } from "../support/tls.ts";
import { childrenOf, receivedOnce, runScenarios, type ScenarioRun, seenIn, warningsIn } from "./scenarios.ts";

/** What a client may be able to do besides sending a request; each is a function of what `runHttpClient` gets. */
export type HttpClientAbility =
  | "method"
  | "redirect"
  | "retry"
  | "abort"
  | "timeout"
  | "socket"
  | "proxy"
  | "tunnel"
  | "expect"
  | "trailers"
  | "endless";

export interface HttpClientContract {
  /** For the titles: "got". */
  readonly title: string;
  /** Whose spans they are, whatever library sits on top: exactly one span a request. */
  readonly instrumentation: "http-client" | "http2" | "undici";
  /** ES-module text of the application: it calls `runHttpClient` of `./http-client-app.cjs`, which lists what it is to give. */
  readonly code: string;
  /** What to install for each run. `[{}]` for what Node brings. */
  readonly installs: ReadonlyArray<Readonly<Record<string, string>>>;
  readonly abilities: readonly HttpClientAbility[];
  /** The first install runs as CommonJS, too. Default false. */
  readonly alsoCommonJs?: boolean;
  /** The client's connections go to a port by a scheme of HTTP/2. Default false. */
  readonly isHttp2?: boolean;
  /** Of what a client gives up that the server has reset, or cut off. Default: Node's. */
  readonly resetType?: RegExp;
  /** `error.type` of a request that took too long. */
  readonly timeoutType?: RegExp;
  /** A request right after another may open a connection of its own: the first one's is free only a moment later. */
  readonly hasNoReuse?: boolean;
}

/** One traced run, for the library's own tests. */
export interface TracedClient {
  run(): ScenarioRun;
  /** The client spans directly below a scenario, in the order they started. */
  spansIn(scenario: string): ReceivedSpan[];
}

/** Declares the tests every HTTP client passes. `after` gets the spans of all traced runs. */
export function httpClientContract(
  contract: HttpClientContract,
  own: (traced: TracedClient) => void = () => {},
  after: (spans: readonly ReceivedSpan[]) => void = () => {},
): void {
  describe(`${contract.title} as an HTTP client`, () => {
    declare(contract, own, after);
  });
}

function declare(
  contract: HttpClientContract,
  own: (traced: TracedClient) => void,
  after: (spans: readonly ReceivedSpan[]) => void,
): void {
  let receiver: OtlpReceiver;
  let certificates: TestCertificates;
  let folder: string;
  const targets: { plain: Target; secure: Target; local: Target; proxy: Proxy } = {} as never;
  beforeAll(async () => {
    receiver = await startOtlpReceiver();
    certificates = createTestCertificates();
    folder = mkdtempSync(join(tmpdir(), "tracekit-http-"));
    const { isHttp2 = false } = contract;
    targets.plain = await startTarget({ isHttp2 });
    targets.secure = await startTarget({ isHttp2, tls: certificates.server });
    targets.local = await startTarget({ isHttp2, path: socketPath() });
    targets.proxy = await startProxy();
  });
  afterAll(async () => {
    await receiver.close();
    await Promise.all(Object.values(targets).map((each) => each.close()));
    certificates.remove();
    rmSync(folder, { recursive: true, force: true });
  });
  const socketPath = (): string =>
    process.platform === "win32" ? `\\\\.\\pipe\\tracekit-http-${process.pid}` : join(folder, "socket");

  const all: ReceivedSpan[] = [];
  const isOurs = ({ scope }: ReceivedSpan): boolean => scope.name === `@tracekit/auto/${contract.instrumentation}`;
  const { abilities } = contract;

  const runs = contract.installs.map((install) => ({ install, type: "esm" as "cjs" | "esm" }));
  if (contract.alsoCommonJs === true) runs.push({ install: contract.installs[0] ?? {}, type: "cjs" });

  describe.each(runs.map((run) => ({ ...run, title: `${nameOf(run.install)}${run.type}` })))(
    "$title",
    ({ install, type }) => {
      let plain: ScenarioRun;
      let traced: ScenarioRun;
      let received: Target["received"];
      beforeAll(async () => {
        const libraries = Object.keys(install).length === 0 ? undefined : await installLibraries({ ...install });
        const env = {
          TARGET: targets.plain.url,
          SECURE_TARGET: targets.secure.url,
          SOCKET: socketPath(),
          PROXY: targets.proxy.url,
          NODE_EXTRA_CA_CERTS: certificates.files.ca,
        };
        const options = { code: contract.code, type, libraries, env, timeoutMillis: 90_000 };
        plain = await runScenarios(receiver, { ...options, preload: "none" });
        targets.plain.received.length = targets.proxy.asked.length = 0;
        const run = await runScenarios(receiver, { ...options, preload: type === "esm" ? "import" : "require" });
        // The process is gone, but on a busy machine its last batch may still be waiting to be read.
        const names = [...run.told.keys()].filter((name) => name !== "unsampled");
        const hasArrived = (spans: ReceivedSpan[]): boolean =>
          names.every((name) => spans.some((span) => span.name === name));
        await receiver.waitForSpans(hasArrived, 10_000).catch(() => {});
        traced = { ...run, spans: receivedOnce(receiver) };
        received = [...targets.plain.received];
        all.push(...traced.spans.filter(({ kind }) => kind === "CLIENT"));
      }, 240_000);

      const spansIn = (scenario: string): ReceivedSpan[] => childrenOf(traced, scenario).filter(isOurs);
      const spanIn = (scenario: string): ReceivedSpan => {
        const spans = spansIn(scenario);
        expect(
          spans.map(({ name }) => name),
          scenario,
        ).toHaveLength(1);
        return spans[0] as ReceivedSpan;
      };
      const attributesIn = (scenario: string): Record<string, unknown> => spanIn(scenario).attributes;
      const phasesIn = (scenario: string): string[] => {
        const names = Object.keys(attributesIn(scenario)).filter((key) => key.startsWith(PHASE));
        // How long a request waits depends on how busy the machine is.
        return names.map((key) => key.slice(PHASE.length)).filter((name) => name !== "queue");
      };

      test("the application sees the same answers, errors and warnings as without us", () => {
        expect(seenIn(traced)).toEqual(seenIn(plain));
        expect(JSON.stringify(seenIn(plain))).not.toContain("unexpected ");
        expect(warningsIn(traced)).toBe(warningsIn(plain));
      });

      test("what follows a request runs in the context of whoever made it", () => {
        const where = [...traced.told.values()].flatMap((told) => told.where);
        expect(where.length).toBeGreaterThanOrEqual(10);
        expect(where).not.toContain(false);
      });

      test("every request is one span under its caller, however it ends", () => {
        const twice = { redirect: 2, retry: 3, unsampled: 0 };
        const scenarios = [...traced.told.keys()].filter((name) => name !== "tunnel");
        const counts = Object.fromEntries(scenarios.map((name) => [name, spansIn(name).length]));
        expect(counts).toEqual({
          ...Object.fromEntries(scenarios.map((name) => [name, 1])),
          ...Object.fromEntries(Object.entries(twice).filter(([name]) => traced.told.has(name))),
        });
        const requests = traced.spans.filter(({ kind }) => kind === "CLIENT");
        expect(requests.filter((span) => !isOurs(span))).toEqual([]);
        const roots = new Set(traced.spans.filter(({ kind }) => kind === "INTERNAL").map(({ spanId }) => spanId));
        expect(requests.filter(({ parentSpanId }) => !roots.has(parentSpanId))).toEqual([]);
      });

      test("a span says what was asked of whom, and what came back", () => {
        const span = spanIn("get");
        expect(span).toMatchObject({ name: "GET", kind: "CLIENT", status: { code: "UNSET", message: "" }, events: [] });
        expect(span.attributes).toMatchObject({
          "http.request.method": "GET",
          "url.full": `${targets.plain.url}/json?page=2`,
          "server.address": "localhost",
          "server.port": targets.plain.port,
          "network.peer.address": expect.stringMatching(/^127\.0\.0\.1$|^::1$/) as string,
          "network.peer.port": targets.plain.port,
          "network.protocol.version": contract.isHttp2 === true ? "2" : "1.1",
          "http.response.status_code": 200,
          "http.response.header.content-type": ["application/json"],
          "http.response.header.x-request-id": ["r-1"],
          "http.response.body.size": 46,
          "http.response.body.content": '{"id":42,"password":"REDACTED","name":"widget"}',
        });
      });

      test("the phases are those there were", () => {
        expect(phasesIn("get")).toEqual(["dns", "connect", "ttfb", "body"]);
        expect(phasesIn("https")).toEqual(["dns", "connect", "tls", "ttfb", "body"]);
        if (contract.hasNoReuse !== true) expect(phasesIn("get again")).toEqual(["ttfb", "body"]);
        const { [`${PHASE}ttfb`]: ttfb = 0, [`${PHASE}body`]: body = 0 } = attributesIn("slow");
        expect(ttfb).toBeGreaterThan(30);
        expect(Number(ttfb) + Number(body)).toBeGreaterThan(80);
      });

      test("bodies are shown as text within the budget, and without secrets", () => {
        expect(attributesIn("post")).toMatchObject({
          "http.request.body.size": 36,
          "http.request.body.content": '{"password":"REDACTED","city":"Oslo"}',
          "http.response.body.content": "36 bytes",
        });
        expect(attributesIn("form")["http.request.body.content"]).toBe("user=ann&password=REDACTED");
        const multipart = attributesIn("multipart");
        expect(multipart["tracekit.http.request.body.parts"]).toEqual([
          "title (7 bytes)",
          "file: a.png, image/png (500 bytes)",
        ]);
        expect(multipart).not.toHaveProperty("http.request.body.content");
        const binary = attributesIn("binary");
        expect(binary["http.request.body.size"]).toBe(1000);
        expect(binary).not.toHaveProperty("http.request.body.content");
        expect(attributesIn("chunks")["http.response.body.content"]).toBe('{"password":"REDACTED","n":1}');
        expect(attributesIn("lines")["http.response.body.content"]).toBe('{"n":1,"token":"REDACTED"}\n{"n":2}\n');
        expect(attributesIn("parts")["tracekit.http.response.body.parts"]).toEqual(["(unnamed): text/plain (7 bytes)"]);
        const events = attributesIn("events");
        expect(events["http.response.body.content"]).toBe('data: {"password":"REDACTED"}\n\ndata: last\n\n');
        expect(events).not.toHaveProperty("tracekit.http.streaming");
        const big = attributesIn("big");
        expect(big["http.response.body.size"]).toBe(BIG_SIZE);
        expect((big["http.response.body.content"] as string).length).toBeLessThanOrEqual(4096);
      });

      test.each(["gzip", "br", "deflate"])("what is sent as %s is shown decoded", (coding) => {
        expect(attributesIn(coding)["http.response.header.content-encoding"]).toEqual([coding]);
        expect(attributesIn(coding)["http.response.body.content"]).toBe(
          '{"id":42,"password":"REDACTED","name":"widget"}',
        );
      });

      test("what has no body has none", () => {
        for (const scenario of ["HEAD", "no content"]) {
          const { status, attributes } = spanIn(scenario);
          expect(status.code).toBe("UNSET");
          expect(Object.keys(attributes).filter((key) => key.includes("response.body"))).toEqual([]);
        }
      });

      test("a failure has its status or its error as its type", () => {
        const outcome = (scenario: string): unknown[] => {
          const { status, attributes } = spanIn(scenario);
          return [status.code, attributes["error.type"], attributes["http.response.status_code"]];
        };
        expect(outcome("not found")).toEqual(["ERROR", "404", 404]);
        expect(outcome("unavailable")).toEqual(["ERROR", "503", 503]);
        expect(outcome("refused")).toEqual(["ERROR", "ECONNREFUSED", undefined]);
        const reset = contract.resetType ?? /^ECONNRESET$/;
        expect(outcome("reset")).toEqual(["ERROR", expect.stringMatching(reset), undefined]);
        expect(outcome("cut")).toEqual(["ERROR", expect.stringMatching(reset), 200]);
        expect(spanIn("refused").events.map(({ name }) => name)).toEqual(["exception"]);
      });

      test("each request carries its own span, and an unsampled one its decision", () => {
        const spans = new Map(traced.spans.map((span) => [span.spanId, span]));
        expect(received.length).toBeGreaterThan(25);
        for (const { url, headers } of received) {
          const [, traceId, spanId = "", flags] = String(headers["traceparent"]).split("-");
          if (url === "/json?unsampled") expect([traceId, flags]).toEqual(["a".repeat(32), "00"]);
          else expect([url, spans.get(spanId)?.traceId, flags]).toEqual([url, traceId, "03"]);
        }
        expect(traced.spans.filter(({ traceId }) => traceId === "a".repeat(32))).toEqual([]);
      });

      test("no secret of a URL, header or body leaves", () => {
        expect(attributesIn("secrets")["url.full"]).toContain("token=REDACTED&page=1");
        expect(traced.bytes.includes("hunter2")).toBe(false);
        expect(traced.bytes.includes("t0ps3cret")).toBe(false);
      });

      test("the application has shown exactly these abilities", () => {
        const names = [
          "method",
          "redirect",
          "retry",
          "abort",
          "timeout",
          "socket",
          "proxy",
          "tunnel",
          "expect",
          "trailers",
        ];
        const shown = names.filter((name) => traced.told.has(name));
        if (traced.told.has("endless events")) shown.push("endless");
        expect(shown.sort()).toEqual([...abilities].sort());
      });

      const declareAbility: Readonly<Record<HttpClientAbility, () => void>> = {
        method() {
          test("a method of its own making is one of many", () => {
            expect(spanIn("method")).toMatchObject({
              name: "HTTP",
              attributes: { "http.request.method": "_OTHER", "http.request.method_original": "PROPFIND" },
            });
          });
        },
        redirect() {
          test("each hop of a redirect is counted", () => {
            const hops = spansIn("redirect").map(({ attributes }) => [
              attributes["http.response.status_code"],
              attributes["http.request.resend_count"],
            ]);
            expect(hops).toEqual([
              [302, undefined],
              [200, 1],
            ]);
          });
        },
        retry() {
          test("each try is a span of its own, under the same caller", () => {
            const statuses = spansIn("retry").map(({ attributes }) => attributes["http.response.status_code"]);
            expect(statuses).toEqual([503, 503, 200]);
          });
        },
        abort() {
          test("giving up is no failure", () => {
            const { status, attributes } = spanIn("abort");
            expect([status.code, attributes["tracekit.http.aborted"]]).toEqual(["UNSET", true]);
            expect(attributes).not.toHaveProperty("error.type");
          });
        },
        timeout() {
          test("a timeout is one", () => {
            const { status, attributes } = spanIn("timeout");
            expect([status.code, attributes["error.type"]]).toEqual([
              "ERROR",
              expect.stringMatching(contract.timeoutType ?? /./),
            ]);
          });
        },
        socket() {
          test("a Unix socket has no peer", () => {
            const attributes = attributesIn("socket");
            expect(attributes["http.response.status_code"]).toBe(200);
            expect(attributes).not.toHaveProperty("network.peer.port");
          });
        },
        proxy() {
          test("through a proxy it is a request to its server", () => {
            const url = `${targets.plain.url}/json?proxied`;
            expect(targets.proxy.asked).toContain(`GET ${url}`);
            expect(attributesIn("proxy")).toMatchObject({
              "url.full": url,
              "server.address": "localhost",
              "server.port": targets.plain.port,
              "http.response.status_code": 200,
            });
          });
        },
        tunnel() {
          test("through a tunnel it is a request to its server, too", () => {
            expect(targets.proxy.asked).toContain(`CONNECT localhost:${targets.secure.port}`);
            const requests = spansIn("tunnel").filter(({ name }) => name === "GET");
            expect(requests).toHaveLength(1);
            expect(requests[0]?.attributes).toMatchObject({
              "url.full": `${targets.secure.url}/json?tunnelled`,
              "server.port": targets.secure.port,
              "http.response.status_code": 200,
            });
          });
        },
        expect() {
          test("a body that waits for 100 Continue is recorded", () => {
            expect(attributesIn("expect")).toMatchObject({
              "http.request.body.content": '{"late":true}',
              "http.response.status_code": 200,
            });
          });
        },
        trailers() {
          test("a response with trailers ends as others do", () => {
            expect(attributesIn("trailers")).toMatchObject({
              "http.response.body.content": "with trailers",
              "http.response.status_code": 200,
            });
          });
        },
        endless() {
          test("a stream of events is not held open", () => {
            const { status, attributes, startTimeUnixNano, endTimeUnixNano } = spanIn("endless events");
            expect([status.code, attributes["tracekit.http.streaming"]]).toEqual(["UNSET", true]);
            expect(attributes["http.response.body.content"]).toMatch(/^data: \{"password":"REDACTED"\}\n\ndata: more/);
            expect(Number(endTimeUnixNano - startTimeUnixNano) / 1e6).toBeLessThan(6900);
          });
        },
      };
      for (const ability of abilities) declareAbility[ability]();
      own({ run: () => traced, spansIn });
    },
  );
  test("every run has been traced, and its spans are those that are described", () => {
    expect(all.length).toBeGreaterThan(30 * runs.length);
    after(all);
  });
}

const PHASE = "tracekit.http.phase.";

function nameOf(install: Readonly<Record<string, string>>): string {
  return Object.entries(install)
    .map(([name, version]) => `${name} ${version}, `)
    .join("");
}
