import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { httpClientContract } from "../contract/http-client.ts";
import { httpServerContract } from "../contract/http-server.ts";
import { childrenOf, runScenarios, type ScenarioRun, seenIn, warningsIn } from "../contract/scenarios.ts";
import { expectDescribed } from "../libraries/description.ts";
import http2 from "../libraries/http2.ts";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { runApp } from "../support/run-app.ts";
import { createTestCertificates, type TestCertificates } from "../support/tls.ts";
import { NODE_HTTP2 } from "./http-client-adapters.ts";
import { LISTEN, SERVER_HEAD as HEAD } from "./http-server-adapters.ts";

// Each side of its own: the described attributes are those of both.
const described: ReceivedSpan[] = [];

httpClientContract(
  {
    title: "node:http2",
    instrumentation: "http2",
    code: NODE_HTTP2,
    installs: [{}],
    alsoCommonJs: true,
    isHttp2: true,
    abilities: ["method", "redirect", "abort", "timeout", "socket", "trailers", "endless"],
    resetType: /^NGHTTP2_INTERNAL_ERROR$/,
  },
  undefined,
  (spans) => described.push(...spans),
);

httpServerContract(
  {
    title: "node:http2, streams",
    instrumentation: "http2",
    code: `${HEAD}const server = require("node:http2").createServer().on("stream", streamListener); ${LISTEN}`,
    installs: [{}],
    protocol: "2",
  },
  (spans) => described.push(...spans),
);

httpServerContract(
  {
    title: "node:http2 over TLS, the compatibility API",
    instrumentation: "http2",
    code: `${HEAD}const server = require("node:http2").createSecureServer({ ...tls(), allowHTTP1: true }, listener); ${LISTEN}`,
    installs: [{}],
    protocol: "2",
    isSecure: true,
  },
  (spans) => {
    described.push(...spans);
    expectDescribed(http2, described);
  },
);

const code = readFileSync(join(import.meta.dirname, "http2-app.mjs"), "utf8");

let receiver: OtlpReceiver;
let certificates: TestCertificates;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
  certificates = createTestCertificates();
});
afterAll(async () => {
  await receiver.close();
  certificates.remove();
});

describe("both sides of HTTP/2", () => {
  let plain: ScenarioRun;
  let traced: ScenarioRun;
  beforeAll(async () => {
    const libraries = await installLibraries({ undici: "7.30.2", got: "14.6.6" });
    const { files } = certificates;
    const env = { KEY: files.serverKey, CERT: files.serverCert, NODE_EXTRA_CA_CERTS: files.ca };
    plain = await runScenarios(receiver, { code, libraries, env, preload: "none" });
    traced = await runScenarios(receiver, { code, libraries, env });
  }, 200_000);

  const sidesOf = (scenario: string): [client: ReceivedSpan, server: ReceivedSpan | undefined] => {
    const clients = childrenOf(traced, scenario);
    expect(
      clients.map(({ name }) => name),
      scenario,
    ).toHaveLength(1);
    const servers = childrenOf(traced, clients[0]);
    expect(servers.length, scenario).toBeLessThanOrEqual(1);
    return [clients[0] as ReceivedSpan, servers[0]];
  };
  const outcome = (span: ReceivedSpan | undefined): unknown[] => [
    span?.attributes["http.response.status_code"],
    span?.status.code,
    span?.attributes["error.type"],
    span?.attributes["tracekit.http.aborted"],
  ];

  test("the application sees the same events, errors, shapes and contexts as without us", () => {
    expect(seenIn(traced)).toEqual(seenIn(plain));
    expect(JSON.stringify(seenIn(plain))).not.toContain("unexpected ");
    expect(warningsIn(traced)).toBe(warningsIn(plain));
  });

  test.each<[string, unknown[], unknown[]]>([
    ["shapes", [200, "UNSET", undefined, undefined], [200, "UNSET", undefined, undefined]],
    ["trailers", [200, "UNSET", undefined, undefined], [200, "UNSET", undefined, undefined]],
    ["file", [200, "UNSET", undefined, undefined], [200, "UNSET", undefined, undefined]],
    ["push", [200, "UNSET", undefined, undefined], [200, "UNSET", undefined, undefined]],
    ["graceful", [200, "UNSET", undefined, undefined], [200, "UNSET", undefined, undefined]],
    ["early", [413, "ERROR", "413", undefined], [413, "UNSET", undefined, undefined]],
    ["POST too much", [413, "ERROR", "413", undefined], [413, "UNSET", undefined, undefined]],
    // The server gives up.
    [
      "reset",
      [undefined, "ERROR", "NGHTTP2_ENHANCE_YOUR_CALM", undefined],
      [undefined, "ERROR", "NGHTTP2_ENHANCE_YOUR_CALM", true],
    ],
    // Node sends the end of the stream before the reset: the client has a whole response.
    ["cancelled", [200, "UNSET", undefined, undefined], [200, "ERROR", "NGHTTP2_CANCEL", true]],
    ["destroyed", [undefined, "ERROR", "NGHTTP2_INTERNAL_ERROR", undefined], [undefined, "ERROR", "RangeError", true]],
    // The client does, which is no failure of the server; with an error of its own it is one of the client.
    ["closed", [undefined, "UNSET", undefined, true], [undefined, "UNSET", undefined, true]],
    ["destroyed here", [undefined, "ERROR", "OWN_CODE", undefined], [undefined, "UNSET", undefined, true]],
    ["session destroyed", [undefined, "UNSET", undefined, true], [undefined, "UNSET", undefined, true]],
  ])("%s: client %j, server %j", (scenario, ofClient, ofServer) => {
    const [client, server] = sidesOf(scenario);
    expect(outcome(client)).toEqual(ofClient);
    expect(outcome(server)).toEqual(ofServer);
  });

  test("a connection that is ended with GOAWAY, or cut, fails its requests", () => {
    for (const scenario of ["goaway", "cut"]) {
      const [client, server] = sidesOf(scenario);
      expect([scenario, client.status.code]).toEqual([scenario, "ERROR"]);
      expect([scenario, server?.attributes["tracekit.http.aborted"]]).toEqual([scenario, true]);
    }
  });

  test("what is refused before it is sent is one failed span", () => {
    for (const scenario of ["no session", "bad header"]) {
      const [client, server] = sidesOf(scenario);
      expect([scenario, client.status.code, server]).toEqual([scenario, "ERROR", undefined]);
      expect(client.attributes["error.type"]).toMatch(/^ERR_HTTP2_/);
    }
  });

  test("requests that share a connection keep their callers", () => {
    for (let index = 0; index < 10; index++) expect(outcome(sidesOf(`together ${index}`)[1])[0]).toBe(200);
    expect(traced.bytes.includes("hunter2")).toBe(false);
  });

  test("a library that brings HTTP/2 has one span: undici its own, got this one", () => {
    const scopes = ["undici", "got"].map((scenario) => sidesOf(scenario)[0].scope.name);
    expect(scopes).toEqual(["@tracekit/auto/undici", "@tracekit/auto/http2"]);
    for (const scenario of ["undici", "got"]) {
      const [client, server] = sidesOf(scenario);
      expect(client.attributes).toMatchObject({ "network.protocol.version": "2", "http.response.status_code": 200 });
      expect(server?.scope.name).toBe("@tracekit/auto/http2");
    }
  });

  test("every request of the process is one span on each side", () => {
    const ours = traced.spans.filter(({ kind }) => kind !== "INTERNAL");
    const clients = ours.filter(({ kind }) => kind === "CLIENT").map(({ spanId }) => spanId);
    for (const { kind, parentSpanId } of ours) if (kind === "SERVER") expect(clients).toContain(parentSpanId);
    expect(clients.length).toBe([...traced.told.keys()].length);
  });
});

describe("an application without HTTP/2", () => {
  test.each(["esm", "cjs"] as const)("does not load node:http2 because of us, in %s", async (type) => {
    const body = `
      const server = http.createServer((request, response) => response.end("ok")).listen(0, async () => {
        const { port } = server.address();
        http.get({ port, agent: false }, (response) => response.resume().on("end", () => {
          console.log(process.moduleLoadList.includes("NativeModule internal/http2/core"));
          server.close();
          server.closeAllConnections();
        }));
      });`;
    const head = type === "esm" ? 'import http from "node:http";' : 'const http = require("node:http");';
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url };
    const { stdout, stderr } = await runApp({ type, code: head + body, env });
    // From Node 22 on, importing all of node:http is enough: its WebSocket is undici's.
    const plain = await runApp({ type, code: head + body, preload: "none" });
    expect([stdout, stderr.includes("no longer traced")]).toEqual([plain.stdout, false]);
    expect(type === "cjs" ? stdout : "false\n").toBe("false\n");
  });
});

test("an error in our code switches this instrumentation off, and the application goes on", async () => {
  const {
    code: exitCode,
    stdout,
    stderr,
  } = await runApp({
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url },
    code: `
      import http2 from "node:http2";
      const server = http2.createServer((request, response) => response.end("ok")).listen(0, async () => {
        const session = http2.connect("http://localhost:" + server.address().port);
        let count = 0;
        const hostile = { get ":path"() { if (count++ === 0) throw new Error("not for you"); return "/"; } };
        for (let index = 0; index < 2; index++) {
          const stream = session.request(hostile);
          await new Promise((resolve) => stream.on("response", ({ ":status": status }) => resolve(console.log(status))));
          stream.resume();
        }
        session.close();
        server.close();
      });`,
  });
  expect([exitCode, stdout]).toEqual([0, "200\n200\n"]);
  expect(stderr.match(/http2 is no longer traced/g)).toHaveLength(1);
});
