import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { runApp } from "../support/run-app.ts";
import { createTestCertificates, type TestCertificates } from "../support/tls.ts";
import { BIG_SIZE, startTarget, type Target } from "./http-target.ts";

const source = readFileSync(join(import.meta.dirname, "undici-app.mjs"), "utf8");

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
  type: "cjs" | "esm";
  preload?: "import" | "none";
  env: Record<string, string>;
}): Promise<Run> {
  const { type, preload = "import" } = options;
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
  return code
    .replace(/^import (.+) from (".+");$/gm, "const $1 = require($2);")
    .replace('await import("undici")', 'require("undici")');
}

describe.each([
  ["Node's own fetch", "esm", {}],
  ["the package, in esm", "esm", { UNDICI: "1" }],
  ["the package, in cjs", "cjs", { UNDICI: "1" }],
] as const)("undici: %s", (_, type, env) => {
  let plain: Run;
  let traced: Run;
  beforeAll(async () => {
    plain = await run({ type, env, preload: "none" });
    traced = await run({ type, env: { ...env, WAIT_FOR_UNREAD: "1" } });
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

  test("the application sees the same results, errors and contexts as without us", () => {
    expect(traced.told).toEqual(plain.told);
    expect(JSON.stringify(plain.told)).not.toContain("unexpected ");
    expect(traced.told.filter(({ where }) => where.includes(false))).toEqual([]);
    expect(traced.stderr.replaceAll(/node:\d+/g, "")).toBe(plain.stderr.replaceAll(/node:\d+/g, ""));
  });

  test("every request is one span under its caller, whichever way it is made and however it ends", () => {
    const counts = Object.fromEntries(traced.told.map(({ name }) => [name, spansIn(name).length]));
    const expected: Record<string, number> = Object.fromEntries(traced.told.map(({ name }) => [name, 1]));
    Object.assign(expected, { redirect: 2, suppressed: 0, unsampled: 0 });
    if ("UNDICI" in env) Object.assign(expected, { retries: 3, "redirect interceptor": 2, mocked: 0 });
    expect(counts).toEqual(expected);
    const requests = traced.spans.filter(({ kind }) => kind === "CLIENT");
    expect(requests).toHaveLength(Object.values(counts).reduce((sum, count) => sum + count));
    // fetch is not seen a second time by node:http.
    const ofHttp = requests.filter(({ scope }) => scope.name !== "@tracekit/auto/undici");
    expect(ofHttp).toEqual([spanIn("http beside it")]);
  });

  test("a request says what was asked of whom, and what came back", () => {
    const { attributes, ...span } = spanIn("fetch");
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
    expect(phasesOf(spanIn("fetch"))).toEqual(["dns", "connect", "ttfb", "body"]);
    expect(phasesOf(spanIn("https"))).toEqual(["dns", "connect", "tls", "ttfb", "body"]);
    expect(phasesOf(spanIn("body"))).toEqual(expect.arrayContaining(["send", "ttfb", "body"]));
    expect(phasesOf(spanIn("body cancelled"))).toEqual(expect.arrayContaining(["ttfb", "body"]));
    const phase = (name: string): number => spanIn("slow").attributes[`tracekit.http.phase.${name}`] as number;
    // The server takes 60 + 40 ms; a busy machine may see parts of it late.
    expect(phase("ttfb")).toBeGreaterThan(30);
    expect(phase("ttfb") + phase("body")).toBeGreaterThan(80);
  });

  test("bodies are recorded as text within the budget, whichever way they are written", () => {
    const content = (scenario: string): unknown => spanIn(scenario).attributes["http.request.body.content"];
    expect(content("body")).toBe('{"token":"REDACTED","b":"ü"}');
    expect(spanIn("body").attributes["http.request.body.size"]).toBe(30);
    expect(content("streamed body")).toBe('{"from":"a stream"}');
    expect(content("form")).toBe("a=1&pin=REDACTED");
    expect(content("binary body")).toBeUndefined();
    expect(spanIn("binary body").attributes["http.request.body.size"]).toBe(1000);
    const { attributes: gzip } = spanIn("gzip");
    expect(gzip["http.response.body.size"]).toBeGreaterThan(20);
    expect(gzip["http.response.body.content"]).toBe('{"id":42,"password":"REDACTED","name":"widget"}');
    for (const scenario of ["big", "chunks"]) {
      const { attributes } = spanIn(scenario);
      expect(attributes["http.response.body.size"]).toBe(BIG_SIZE);
      expect((attributes["http.response.body.content"] as string).length).toBeLessThan(5000);
    }
  });

  test("a failure has its status code or error as its type, and says it once", () => {
    const outcome = (scenario: string): unknown => {
      const { status, attributes } = spanIn(scenario);
      return [status.code, attributes["error.type"], attributes["http.response.status_code"]];
    };
    expect(outcome("404")).toEqual(["ERROR", "404", 404]);
    expect(outcome("503")).toEqual(["ERROR", "503", 503]);
    expect(outcome("refused")).toEqual(["ERROR", "ECONNREFUSED", undefined]);
    expect(outcome("reset")).toEqual(["ERROR", expect.stringMatching(/^(ECONNRESET|UND_ERR_SOCKET)$/), undefined]);
    expect(outcome("cut")).toEqual(["ERROR", expect.stringMatching(/^(ECONNRESET|UND_ERR_SOCKET)$/), 200]);
    expect(outcome("deadline")).toEqual(["ERROR", "TimeoutError", undefined]);
    expect(spanIn("refused").events.map(({ name }) => name)).toEqual(["exception"]);
  });

  test("giving up on a request is no failure", () => {
    for (const scenario of ["aborted", "aborted with a reason", "body cancelled", "loop left early"]) {
      const { status, attributes } = spanIn(scenario);
      expect([scenario, status.code, attributes["error.type"]]).toEqual([scenario, "UNSET", undefined]);
      expect(attributes["tracekit.http.aborted"], scenario).toBe(true);
    }
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
    expect(spanIn("unread small").attributes["http.response.body.size"]).toBe(46);
  });

  test("redirects are requests of their own, and counted", () => {
    const counts = (scenario: string): unknown[] =>
      spansIn(scenario).map(({ attributes }) => attributes["http.request.resend_count"]);
    expect(counts("redirect")).toEqual([undefined, 1]);
    expect(counts("redirect not followed")).toEqual([undefined]);
    expect(counts("again")).toEqual([undefined]);
  });

  test("every request carries its span's context, and nothing else has changed", () => {
    const spans = new Map(traced.spans.map((span) => [span.spanId, span]));
    expect(traced.received).toHaveLength(plain.received.length);
    for (const { url, headers } of traced.received) {
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
    }
    const names = ({ url, rawHeaders }: Target["received"][number]): string =>
      `${url} ${rawHeaders.filter((name, place) => place % 2 === 0 && name !== "traceparent").join(" ")}`;
    const withoutPid = (line: string): string => line.replace(/flaky\?\d+/, "flaky");
    // Retries and parallel requests arrive in no certain order.
    expect(traced.received.map(names).map(withoutPid).toSorted()).toEqual(
      plain.received.map(names).map(withoutPid).toSorted(),
    );
  });

  test("no secret of a URL, header or body leaves the process", () => {
    expect(spanIn("secrets").attributes["url.full"]).toContain("token=REDACTED&page=1");
    for (const secret of ["t0ps3cret", "s3cret", "k3y", "hunter2", "1234"]) {
      expect(traced.bytes.includes(secret), secret).toBe(false);
    }
  });

  if (!("UNDICI" in env)) return;

  test("a request that waits for a pool's connection starts when it is made, under whoever made it", () => {
    const waits = ["A", "B", "C"].map((name) => {
      const { attributes } = spanIn(`pool ${name}`);
      expect(attributes["url.full"]).toBe(`${target.url}/slow?pool=${name}`);
      return attributes["tracekit.http.phase.queue"] as number | undefined;
    });
    expect(waits[1]).toBeGreaterThan(50);
    expect(waits[2]).toBeGreaterThan(100);
  });

  test("a request that is sent again stays with its caller, and is counted", () => {
    const outcomes = spansIn("retries").map(({ attributes }) => [
      attributes["http.response.status_code"],
      attributes["http.request.resend_count"],
    ]);
    expect(outcomes).toEqual([
      [503, undefined],
      [503, 1],
      [200, 2],
    ]);
    const redirects = spansIn("redirect interceptor").map(({ attributes }) => attributes["http.request.resend_count"]);
    expect(redirects).toEqual([undefined, 1]);
    expect(spanIn("between the retries").attributes["http.request.resend_count"]).toBeUndefined();
  });

  test("the package's other ways end as fetch does", () => {
    for (const scenario of ["request", "stream", "dispatch", "body dumped"]) {
      expect([scenario, spanIn(scenario).attributes["http.response.body.size"]]).toEqual([scenario, 46]);
    }
    expect(spanIn("pipeline").attributes["http.request.body.size"]).toBe(5);
    expect(spanIn("upgrade").attributes["http.response.status_code"]).toBe(101);
    expect(spanIn("CONNECT tunnel")).toMatchObject({
      name: "CONNECT",
      attributes: { "http.response.status_code": 200 },
    });
    expect(spanIn("headers timeout").attributes["error.type"]).toBe("UND_ERR_HEADERS_TIMEOUT");
    expect(spanIn("body destroyed").attributes["tracekit.http.aborted"]).toBe(true);
  });
});

describe("with other settings", () => {
  beforeEach(() => {
    receiver.reset();
    target.received.length = 0;
  });

  const get = `console.log(await (await fetch(process.env.TARGET + "/json")).text());`;

  test("an unsampled request makes no span, and sends the decision along", async () => {
    await runApp({ code: get, env: environment({ OTEL_TRACES_SAMPLER: "always_off" }) });
    expect(target.received[0]?.headers["traceparent"]).toMatch(/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-02$/);
    expect(receiver.spans).toEqual([]);
  });

  test("headers and bodies stay here when they are not to be captured", async () => {
    await runApp({ code: get, env: environment({ TRACEKIT_CAPTURE: "none" }) });
    const keys = Object.keys(receiver.spans[0]?.attributes ?? {});
    expect(keys).toContain("http.response.status_code");
    expect(keys.filter((key) => /header|content/.test(key))).toEqual([]);
  });

  test("a response that is dropped unread ends before its memory is collected", async () => {
    const code = `
      const get = async () => (await fetch(process.env.TARGET + "/big")).status;
      await get();
      for (let round = 0; round < 10; round++) await new Promise((resolve) => setTimeout(resolve, 50)).then(gc);
      process.exit();`;
    await runApp({ code, nodeArgs: ["--expose-gc"], env: environment() });
    expect(receiver.spans).toMatchObject([{ name: "GET", status: { code: "UNSET" } }]);
    expect(receiver.spans[0]?.attributes["tracekit.http.aborted"]).toBeUndefined();
  });

  test("an error in our code switches this instrumentation off, and the application goes on", async () => {
    const code = `
      import { channel } from "node:diagnostics_channel";
      const get = async () => console.log((await fetch(process.env.TARGET + "/json")).status);
      await get();
      channel("undici:request:create").publish({ request: { get origin() { throw new Error("not for you"); } } });
      await get();`;
    const { code: exitCode, stdout, stderr } = await runApp({ code, env: environment() });
    expect([exitCode, stdout]).toEqual([0, "200\n200\n"]);
    expect(stderr.match(/undici is no longer traced/g)).toHaveLength(1);
  });
});
