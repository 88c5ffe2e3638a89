import { subscribe } from "node:diagnostics_channel";
import type { EventEmitter } from "node:events";
import { defineInstrumentation, type Instrumentation } from "../../src/instrumentation/instrumentation.ts";
import { createRequestTracer, type RequestTracer } from "./requests.ts";
import { createUpgradeTracer } from "./upgrades.ts";

/*
 * node:http and node:https servers: one span a request, from Node's own diagnostics channels.
 *
 * A request whose connection closes before its response is complete ends there, with `tracekit.http.aborted`. It has failed
 * when the server closed the connection (`error.type` is the error it was destroyed with, else `connection_closed`). It has
 * not when the client left, whatever that looks like from here: end of stream, reset, broken pipe, half a request.
 *
 * Known limitations: requests the parser refuses get no span. A stream of events whose beginning is only flushed headers is
 * one only with its first event. For upgrades see `upgrades.ts`, for HTTP/2 `../http2/`.
 */

const httpServer: Instrumentation = defineInstrumentation({
  name: "http-server",
  modules: [],
  start(kit) {
    let tracer: RequestTracer | undefined;
    const start = (): RequestTracer => (tracer ??= createRequestTracer(kit));
    subscribe("http.server.request.start", (message) => {
      if (!kit.owner.enabled) return;
      try {
        start().onStart(message);
      } catch (error) {
        kit.owner.disable("HTTP request, start", error);
      }
    });
    subscribe("http.server.response.finish", (message) => tracer?.onFinish(message));

    let watchUpgrades: ((server: EventEmitter) => void) | undefined;
    subscribe("net.server.socket", (message) => {
      const { server } = (message as { socket: { server?: EventEmitter } }).socket;
      if (server === undefined || !kit.owner.enabled) return;
      try {
        // "connect" is an event of other servers, too.
        if (server.listenerCount("upgrade") === 0 && server.listenerCount("connect") === 0) return;
        if (!("requestTimeout" in server)) return;
        watchUpgrades ??= createUpgradeTracer(kit);
        watchUpgrades(server);
      } catch (error) {
        kit.owner.disable("HTTP upgrade, server", error);
      }
    });

    // The first request does not have to wait, where there may be one.
    return () => {
      if (isHttpLoaded()) start();
    };
  },
});
export default httpServer;

function isHttpLoaded(): boolean {
  const { moduleLoadList } = process as unknown as { moduleLoadList?: string[] };
  return moduleLoadList?.includes("NativeModule _http_server") === true;
}
