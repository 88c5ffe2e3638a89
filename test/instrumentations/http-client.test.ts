import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { runApp } from "../support/run-app.ts";
import { createTestCertificates, type TestCertificates } from "../support/tls.ts";
import { BIG_SIZE, startTarget, type Target } from "./http-target.ts";

const source = readFileSync(join(import.meta.dirname, "http-client-app.mjs"), "utf8");

let certificates: TestCertificates;
let receiver: OtlpReceiver;
let target: Target;
let secureTarget: Target;
beforeAll(async () => {
  certificates = createTestCertificates();
  receiver = await startOtlpReceiver();
  target = await startTarget();
  secureTarget = await startTarget({ tls: certificates.server });
});
afterAll(async () => {
  await Promise.all([receiver.close(), target.close(), secureTarget.close()]);
  certificates.remove();
});

/** What the application printed for one scenario. */
interface Told {
  name: string;
  seen: unknown[];
  where: boolean[];
}

interface Run {
  told: Told[];
  spans: ReceivedSpan[];
  /** Everything that was sent, as it was sent. */
  bytes: Buffer;
  received: Target["received"];
  stderr: string;
}

async function run(options: {
  type?: "cjs" | "esm";
  preload?: "import" | "none";
  env?: Record<string, string>;
}): Promise<Run> {
  const { type = "esm", preload = "import" } = options;
  receiver.reset();
  target.received.length = 0;
  const result = await runApp({
    type,
    preload,
    code: type === "esm" ? source : toCommonJs(source),
    env: environment(options.env),
    timeoutMillis: 90_000,
  });
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return {
    told: result.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Told)
      .toSorted((a, b) => a.name.localeCompare(b.name)),
    spans: [...receiver.spans],
    bytes: Buffer.concat(receiver.requests.map(({ body }) => body)),
    received: [...target.received],
    stderr: result.stderr,
  };
}

function environment(more: Record<string, string> = {}): Record<string, string> {
  return {
    TARGET: target.url,
    SECURE_TARGET: secureTarget.url,
    NODE_EXTRA_CA_CERTS: certificates.files.ca,
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    ...more,
  };
}

function toCommonJs(code: string): string {
  return code.replace(
    /^import (.+) from (".+");$/gm,
    (_, names: string, from: string) => `const ${names.replaceAll(" as ", ": ")} = require(${from});`,
  );
}

describe.each(["esm", "cjs"] as const)("node:http and node:https as clients, in %s", (type) => {
  let plain: Run;
  let traced: Run;
  beforeAll(async () => {
    plain = await run({ type, preload: "none" });
    traced = await run({ type, env: { WAIT_FOR_UNREAD: "1" } });
  }, 240_000);

  /** The client spans of a scenario, in the order they started. */
  function spansIn(scenario: string): ReceivedSpan[] {
    const root = traced.spans.find(({ name, kind }) => name === scenario && kind === "INTERNAL");
    return traced.spans
      .filter((span) => span.parentSpanId === root?.spanId)
      .toSorted((a, b) => Number(a.startTimeUnixNano - b.startTimeUnixNano));
  }
  function spanIn(scenario: string): ReceivedSpan {
    const spans = spansIn(scenario);
    expect(
      spans.map(({ name }) => name),
      scenario,
    ).toHaveLength(1);
    return spans[0] as ReceivedSpan;
  }
  function phasesOf(span: ReceivedSpan): string[] {
    const prefix = "tracekit.http.phase.";
    const names = Object.keys(span.attributes).filter((key) => key.startsWith(prefix));
    for (const name of names) expect(span.attributes[name], name).toBeGreaterThanOrEqual(0);
    // The rest depends on how busy the machine is.
    return names.map((key) => key.slice(prefix.length)).filter((name) => name !== "queue");
  }

  test("the application sees the same results, errors, events, shapes and contexts as without us", () => {
    expect(traced.told).toEqual(plain.told);
    expect(JSON.stringify(plain.told)).not.toContain("unexpected ");
    expect(traced.told.flatMap(({ where }) => where)).not.toContain(false);
    expect(plain.told.length).toBeGreaterThan(60);
    expect(traced.stderr.replaceAll(/node:\d+/g, "")).toBe(plain.stderr.replaceAll(/node:\d+/g, ""));
  });

  test("every request is one span under its caller, whichever way it is made and however it ends", () => {
    const counts = Object.fromEntries(traced.told.map(({ name }) => [name, spansIn(name).length]));
    const expected = Object.fromEntries(traced.told.map(({ name }) => [name, 1]));
    expect(counts).toEqual({ ...expected, "axios redirect": 2, suppressed: 0, unsampled: 0 });
    const requests = traced.spans.filter(({ kind }) => kind === "CLIENT");
    expect(requests).toHaveLength(Object.values(counts).reduce((sum, count) => sum + count));
    expect(new Set(requests.map(({ scope }) => scope.name))).toEqual(new Set(["@tracekit/auto/http-client"]));
  });

  test("the exporter's own requests are not among them", () => {
    const urls = traced.spans.map(({ attributes }) => String(attributes["url.full"]));
    expect(urls.filter((url) => url.includes(`:${receiver.port}`))).toEqual([]);
  });

  test("a request says what was asked of whom, and what came back", () => {
    const { attributes, ...span } = spanIn("http.get");
    expect(span).toMatchObject({ name: "GET", kind: "CLIENT", status: { code: "UNSET", message: "" }, events: [] });
    expect(attributes).toMatchObject({
      "http.request.method": "GET",
      "url.full": `${target.url}/json?page=2`,
      "server.address": "localhost",
      "server.port": target.port,
      "network.peer.address": expect.stringMatching(/^127\.0\.0\.1$|^::1$/) as string,
      "network.peer.port": target.port,
      "network.protocol.version": "1.1",
      "http.response.status_code": 200,
      "http.response.header.content-type": ["application/json"],
      "http.response.header.x-request-id": ["r-1"],
      "http.response.body.size": 46,
      "http.response.body.content": '{"id":42,"password":"REDACTED","name":"widget"}',
    });
    expect(Object.keys(attributes)).not.toContain("http.request.body.size");
  });

  test("the phases are those there were", () => {
    expect(phasesOf(spanIn("http.get"))).toEqual(["dns", "connect", "ttfb", "body"]);
    expect(phasesOf(spanIn("https.get"))).toEqual(["dns", "connect", "tls", "ttfb", "body"]);
    expect(phasesOf(spanIn("agent false"))).toEqual(["dns", "connect", "ttfb", "body"]);
    expect(phasesOf(spanIn("second on a connection"))).toEqual(["ttfb", "body"]);
    expect(phasesOf(spanIn("body at the end"))).toEqual(["send", "ttfb", "body"]);
    expect(phasesOf(spanIn("answer before the body"))).toEqual(["ttfb", "body"]);
    // The server takes 60 + 40 ms; a busy machine may see parts of it late.
    const phase = (scenario: string, name: string): number =>
      spanIn(scenario).attributes[`tracekit.http.phase.${name}`] as number;
    expect(phase("slow", "ttfb")).toBeGreaterThan(30);
    expect(phase("slow", "ttfb") + phase("slow", "body")).toBeGreaterThan(80);
    expect(phase("queued C", "queue")).toBeGreaterThan(100);
  });

  test("bodies are recorded as text within the budget, whichever way they are written", () => {
    const content = (scenario: string): unknown => spanIn(scenario).attributes["http.request.body.content"];
    expect(content("body in pieces")).toMatch(/^\{"a":1,"token":"REDACTED"/);
    expect(content("body at the end")).toBe('{"b":"ü"}');
    expect(content("piped body")).toBe('{"from":"a stream"}');
    expect(content("axios post")).toBe('{"a":1}');
    expect(spanIn("body at the end").attributes["http.request.body.size"]).toBe(10);
    expect(content("binary body")).toBeUndefined();
    expect(spanIn("binary body").attributes["http.request.body.size"]).toBe(1000);
    const { attributes: gzip } = spanIn("gzip");
    expect(gzip["http.response.body.size"]).toBeGreaterThan(20);
    expect(gzip["http.response.body.content"]).toBe('{"id":42,"password":"REDACTED","name":"widget"}');
    const { attributes: big } = spanIn("big");
    expect(big["http.response.body.size"]).toBe(BIG_SIZE);
    expect((big["http.response.body.content"] as string).length).toBeLessThan(5000);
  });

  test("a failure has its status code or error as its type, and says it once", () => {
    const outcome = (scenario: string): unknown => {
      const { status, attributes } = spansIn(scenario).at(-1) as ReceivedSpan;
      return [status.code, attributes["error.type"], attributes["http.response.status_code"]];
    };
    expect(outcome("404")).toEqual(["ERROR", "404", 404]);
    expect(outcome("axios error")).toEqual(["ERROR", "503", 503]);
    expect(outcome("refused")).toEqual(["ERROR", "ECONNREFUSED", undefined]);
    expect(outcome("unknown host")).toEqual(["ERROR", "ENOTFOUND", undefined]);
    expect(outcome("reset")).toEqual(["ERROR", "ECONNRESET", undefined]);
    expect(outcome("cut")).toEqual(["ERROR", "ECONNRESET", 200]);
    expect(outcome("certificate")).toEqual(["ERROR", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", undefined]);
    expect(outcome("destroyed with an error")).toEqual(["ERROR", "OWN_CODE", undefined]);
    expect(outcome("timeout")).toEqual(["ERROR", "timeout", undefined]);
    expect(outcome("axios timeout")).toEqual(["ERROR", "ECONNABORTED", undefined]);
    expect(spanIn("refused").events.map(({ name }) => name)).toEqual(["exception"]);
  });

  test("giving up on a request is no failure", () => {
    for (const scenario of [
      "destroyed",
      "aborted",
      "signal",
      "axios cancelled",
      "destroyed at once",
      "response destroyed",
      "loop left early",
    ]) {
      const { status, attributes } = spanIn(scenario);
      expect([scenario, status.code, attributes["error.type"]]).toEqual([scenario, "UNSET", undefined]);
      expect(attributes["tracekit.http.aborted"], scenario).toBe(true);
    }
    expect(spanIn("204").attributes["tracekit.http.aborted"]).toBeUndefined();
  });

  test("upgrades and tunnels end where HTTP does", () => {
    expect(spanIn("upgrade").attributes["http.response.status_code"]).toBe(101);
    expect(spanIn("CONNECT")).toMatchObject({ name: "CONNECT", attributes: { "http.response.status_code": 200 } });
    expect(spanIn("unknown method")).toMatchObject({
      name: "HTTP",
      attributes: { "http.request.method": "_OTHER", "http.request.method_original": "PURGE" },
    });
  });

  test("a response nobody reads ends with what has arrived, soon and at exit", () => {
    for (const scenario of ["unread", "unread at exit"]) {
      const { status, attributes, startTimeUnixNano, endTimeUnixNano } = spanIn(scenario);
      expect([status.code, attributes["http.response.status_code"]]).toEqual(["UNSET", 200]);
      expect(attributes["tracekit.http.aborted"]).toBeUndefined();
      expect(attributes["http.response.body.size"]).toBeLessThan(BIG_SIZE);
      // Not when it was noticed.
      expect(Number(endTimeUnixNano - startTimeUnixNano) / 1e6).toBeLessThan(2500);
    }
    expect(spanIn("nobody listens for the response").attributes["http.response.status_code"]).toBe(200);
  });

  test("redirects are requests of their own, and counted", () => {
    expect(spansIn("axios redirect").map(({ attributes }) => attributes["http.request.resend_count"])).toEqual([
      undefined,
      1,
    ]);
  });

  test("every request carries its span's context, and nothing else has changed", () => {
    const spans = new Map(traced.spans.map((span) => [span.spanId, span]));
    // On a busy machine a request may be given up before it is sent.
    const certain = ({ received }: Run): Run["received"] => received.filter(({ url }) => url !== "/hang");
    expect(certain(traced).map(({ method, url }) => [method, url])).toEqual(
      certain(plain).map(({ method, url }) => [method, url]),
    );
    certain(traced).forEach(({ url, headers, rawHeaders }, index) => {
      const [, traceId, spanId = "", flags] = String(headers["traceparent"]).split("-");
      if (url === "/json?suppressed") expect(headers["traceparent"]).toBeUndefined();
      else if (url === "/json?own") expect(traceId).toBe("0af7651916cd43dd8448eb211c80319c");
      else if (url === "/json?unsampled")
        expect([traceId, spanId, flags]).toEqual(["1".repeat(32), "2".repeat(16), "00"]);
      else {
        const span = spans.get(spanId);
        expect([url, span?.traceId, flags]).toEqual([url, traceId, "03"]);
        if (url !== "elsewhere.test:443")
          expect(new URL(String(span?.attributes["url.full"])).pathname).toBe(url.split("?")[0]);
      }
      const names = (raw: string[]): string[] =>
        raw.filter((name, place) => place % 2 === 0 && name !== "traceparent" && name !== "User-Agent");
      expect([url, names(rawHeaders)]).toEqual([url, names(certain(plain)[index]?.rawHeaders ?? [])]);
    });
  });

  test("no secret of a URL, header or body leaves the process", () => {
    const { attributes } = spanIn("secrets");
    expect(attributes["url.full"]).toContain("token=REDACTED&page=1");
    expect(attributes["http.request.body.content"]).toBe('{"password":"REDACTED","city":"Oslo"}');
    for (const secret of ["t0ps3cret", "wonderland", "s3cret", "k3y", "hunter2"]) {
      expect(traced.bytes.includes(secret), secret).toBe(false);
    }
  });
});

describe("with other settings", () => {
  beforeEach(() => {
    receiver.reset();
    target.received.length = 0;
  });

  const get = `import http from "node:http";
    http.get(process.env.TARGET + "/json", (response) => response.resume().on("end", () => console.log("done")));`;

  test("an unsampled request makes no span, and sends the decision along", async () => {
    const { stdout } = await runApp({ code: get, env: environment({ OTEL_TRACES_SAMPLER: "always_off" }) });
    expect(stdout).toBe("done\n");
    expect(target.received[0]?.headers["traceparent"]).toMatch(/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-02$/);
    expect(receiver.spans).toEqual([]);
  });

  test("headers and bodies stay here when they are not to be captured", async () => {
    await runApp({ code: get, env: environment({ TRACEKIT_CAPTURE: "none" }) });
    const keys = Object.keys(receiver.spans[0]?.attributes ?? {});
    expect(keys).toContain("http.response.status_code");
    expect(keys.filter((key) => /header|content/.test(key))).toEqual([]);
  });

  test.each(["request", "response"])(
    "an error of a %s nobody handles ends the process as it would have",
    async (which) => {
      const code = `import http from "node:http";
      http.get(process.env.TARGET + "${which === "request" ? "/reset" : "/cut"}", (response) => response.resume());`;
      const plain = await runApp({ code, preload: "none", env: environment() });
      const traced = await runApp({ code, env: environment() });
      expect(plain.code).not.toBe(0);
      expect(traced.code).toBe(plain.code);
      const uncaught = (stderr: string): string | undefined => /^.*Error: .*$/m.exec(stderr)?.[0];
      expect(uncaught(traced.stderr)).toBe(uncaught(plain.stderr));
      expect(receiver.spans.map(({ status }) => status.code)).toEqual(["ERROR"]);
    },
  );

  test("an error in our code switches this instrumentation off, and the application goes on", async () => {
    const code = `import http from "node:http";
      class Hostile extends http.ClientRequest {
        get protocol() { throw new Error("not for you"); }
        set protocol(value) {}
      }
      const get = () => new Promise((resolve) => new Hostile(process.env.TARGET + "/json", (response) => {
        console.log(response.statusCode);
        response.resume().on("end", resolve);
      }).end());
      await get();
      await get();`;
    const { code: exitCode, stdout, stderr } = await runApp({ code, env: environment() });
    expect([exitCode, stdout]).toEqual([0, "200\n200\n"]);
    expect(stderr.match(/http-client is no longer traced/g)).toHaveLength(1);
  });
});
