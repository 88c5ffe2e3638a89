import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { childrenOf, runScenarios, type ScenarioRun, seenIn, warningsIn } from "../contract/scenarios.ts";
import { installLibraries } from "../support/library.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { createTestCertificates, type TestCertificates } from "../support/tls.ts";

const code = `import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { trace } from "@opentelemetry/api";
import ws, * as all from "ws";
import { runMain, scenario, sleep, spanId } from "./scenarios-app.cjs";
let handshake;
function serve(server, socketServer) {
  server.on("upgrade", (request, socket, head) => {
    handshake = new WeakRef(trace.getActiveSpan() ?? {});
    if (request.url === "/refused") return socket.end("HTTP/1.1 503 Service Unavailable\\r\\nConnection: close\\r\\n\\r\\n");
    socketServer.handleUpgrade(request, socket, head, (connection) => socketServer.emit("connection", connection, request));
  });
  socketServer.on("connection", (connection, request) => {
    connection.on("message", (data) => {
      const { socket } = request;
      const listeners = socket.eventNames().map((name) => [String(name), socket.listenerCount(name)]);
      connection.send(JSON.stringify({ echo: String(data), listeners, keys: Object.keys(socket).filter((key) => key !== "_peername").sort() }));
    });
  });
  return new Promise((resolve) => server.listen(0, "localhost", () => resolve(server.address().port)));
}
runMain(async () => {
  const plain = http.createServer();
  const secure = https.createServer({ key: readFileSync(process.env.KEY), cert: readFileSync(process.env.CERT) });
  const WebSocketServer = all.WebSocketServer ?? ws.Server;
  const options = { noServer: true, handleProtocols: () => "chat" };
  const port = await serve(plain, new WebSocketServer(options));
  const securePort = await serve(secure, new WebSocketServer(options));
  const talk = async (note, where, url) => {
    const socket = new ws(url, ["chat"]);
    await once(socket, "open");
    where();
    for (const text of ["one", "two"]) {
      socket.send(text);
      const [data] = await once(socket, "message");
      note(JSON.parse(data));
    }
    where();
    return socket;
  };
  await scenario("ws", async (note, where) => {
    const socket = await talk(note, where, "ws://localhost:" + port + "/chat?token=hunter2");
    if (globalThis.gc) {
      // The connection is open, and what was recorded of its handshake is gone.
      for (let round = 0; round < 20 && handshake.deref() !== undefined; round++) {
        await sleep(50);
        gc();
      }
      note(handshake.deref() === undefined);
    }
    socket.close();
    note((await once(socket, "close"))[0]);
  });
  await scenario("wss", async (note, where) => {
    const socket = await talk(note, where, "wss://localhost:" + securePort + "/chat");
    socket.terminate();
  });
  await scenario("refused", async (note) => {
    const socket = new ws("ws://localhost:" + port + "/refused");
    note((await once(socket, "error"))[0].message);
  });
  plain.close();
  secure.close();
  plain.closeAllConnections();
  secure.closeAllConnections();
});
`;

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

describe.each(["7.5.14", "8.23.0"])("WebSockets by ws %s", (version) => {
  let plain: ScenarioRun;
  let traced: ScenarioRun;
  beforeAll(async () => {
    const libraries = await installLibraries({ ws: version });
    const { files } = certificates;
    const env = {
      KEY: files.serverKey,
      CERT: files.serverCert,
      NODE_EXTRA_CA_CERTS: files.ca,
      NODE_OPTIONS: "--expose-gc",
    };
    plain = await runScenarios(receiver, { code, libraries, env, preload: "none" });
    traced = await runScenarios(receiver, { code, libraries, env });
  }, 200_000);

  const clientIn = (scenario: string): ReceivedSpan => {
    const spans = childrenOf(traced, scenario);
    expect(spans).toHaveLength(1);
    return spans[0] as ReceivedSpan;
  };

  test("the application sees the same messages, listeners, keys and errors as without us", () => {
    expect(seenIn(traced)).toEqual(seenIn(plain));
    expect(JSON.stringify(seenIn(plain))).not.toContain("unexpected ");
    expect(warningsIn(traced)).toBe(warningsIn(plain));
    expect([...traced.told.values()].flatMap(({ where }) => where)).toEqual([true, true, true, true]);
  });

  test("an open connection keeps nothing of its handshake's span", () => {
    expect(traced.told.get("ws")?.seen.at(-2)).toBe(true);
  });

  test.each(["ws", "wss"])("%s: a handshake is a span on each side, in one trace", (scenario) => {
    const client = clientIn(scenario);
    expect(client).toMatchObject({ name: "GET", kind: "CLIENT", status: { code: "UNSET" } });
    expect(client.scope.name).toBe("@tracekit/auto/http-client");
    expect(client.attributes["http.response.status_code"]).toBe(101);
    const servers = childrenOf(traced, client);
    expect(servers.map(({ name, kind, scope }) => [name, kind, scope.name])).toEqual([
      ["GET", "SERVER", "@tracekit/auto/http-server"],
    ]);
    expect(servers[0]?.attributes).toMatchObject({
      "http.request.method": "GET",
      "http.response.status_code": 101,
      "url.path": "/chat",
      "url.scheme": scenario === "ws" ? "http" : "https",
      "network.protocol.version": "1.1",
    });
    expect(servers[0]?.attributes).not.toHaveProperty("tracekit.http.aborted");
    // The handshake, not the conversation.
    expect((servers[0]?.endTimeUnixNano ?? 0n) <= client.endTimeUnixNano).toBe(true);
  });

  test("a refused handshake is a failure of both", () => {
    const client = clientIn("refused");
    expect([client.status.code, client.attributes["http.response.status_code"]]).toEqual(["ERROR", 503]);
    const [server] = childrenOf(traced, client);
    expect([server?.status.code, server?.attributes["error.type"]]).toEqual(["ERROR", "503"]);
  });

  test("no secret of the handshake leaves", () => {
    expect(traced.bytes.includes("hunter2")).toBe(false);
  });
});
