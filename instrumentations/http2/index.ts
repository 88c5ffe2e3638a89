import { subscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { defineInstrumentation, type Instrumentation } from "../../src/instrumentation/instrumentation.ts";
import { sameShape } from "../../src/instrumentation/settlement.ts";
import { ROOT_CONTEXT } from "../../src/trace/context.ts";
import { offSocketConnect, onSocketConnect } from "../shared/sockets.ts";
import { patchStreams } from "./sessions.ts";

/*
 * node:http2, both sides: `session.request` makes a client's span, a server's `stream` event (and with it the compatibility
 * API's `request`) a server's. What an `allowHTTP1` server gets over HTTP/1 is http-server's, what undici sends over HTTP/2
 * is undici's.
 *
 * None of node:http2's classes is exported, so they are taken from a session that is made for that and goes nowhere. Node's
 * channels (22.17, 24.2) come too late: a client's headers are final when they tell. And node:http2 takes 6 ms to load, so
 * nothing is done before a socket connects for it, or a server of it gets its first connection.
 *
 * Known limitations: a pushed stream has no span of its own, on either side. The body of `respondWithFile` and
 * `respondWithFD` is sent by Node's native part and not seen. What is made with `performServerHandshake`, or a connection
 * handed to a server by hand, is traced once another server has had one.
 */
const http2: Instrumentation = defineInstrumentation({
  name: "http2",
  modules: [],
  start(kit) {
    let isPatched = false;
    const patch = (): void => {
      if (isPatched || !kit.owner.enabled) return;
      isPatched = true;
      try {
        kit.tracing.run(ROOT_CONTEXT, patchStreams, undefined, [kit]);
      } catch (error) {
        kit.owner.disable("node:http2, first use", error);
      }
    };
    subscribe("net.server.socket", (message) => {
      if (isPatched) return;
      const { server } = (message as { socket: { server?: { updateSettings?: unknown } } }).socket;
      if (typeof server?.updateSettings === "function") patch();
    });
    onHttp2Loaded(() => {
      const onConnect = (socket: Socket): void => {
        if (!isPatched && !isForHttp2(socket)) return;
        offSocketConnect(onConnect);
        patch();
      };
      onSocketConnect(onConnect);
    });
  },
});

export default http2;

/**
 * Calls back when node:http2 loads. Where it has channels it asks for them at that time, by the one property of a public
 * module that it reads then; before, at once: node:net is there already on the Nodes concerned (for node:http's agents).
 */
function onHttp2Loaded(action: () => void): void {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const hasChannels = major > 24 || (major === 24 && minor >= 2) || (major === 22 && minor >= 17);
  if (!hasChannels || isHttp2Loaded()) {
    action();
    return;
  }
  const diagnosticsChannel = process.getBuiltinModule("node:diagnostics_channel");
  const original = diagnosticsChannel.channel;
  const watching = sameShape(
    function (this: unknown, name: string | symbol): unknown {
      if (name === "http2.client.stream.created" && diagnosticsChannel.channel === watching) {
        diagnosticsChannel.channel = original;
        action();
      }
      return Reflect.apply(original, this, [name]);
    },
    original as (...args: unknown[]) => unknown,
  ) as typeof diagnosticsChannel.channel;
  diagnosticsChannel.channel = watching;
}

/**
 * Whether a socket is about to connect for node:http2. Over TLS it says so itself, by offering h2 before anything else;
 * without, only the call stack tells: 10 µs a connection, in processes that have loaded node:http2 (fetch does, for undici's
 * sake) and not used it yet. What follows a yes costs some milliseconds, once.
 */
function isForHttp2(socket: Socket): boolean {
  try {
    const { _tlsOptions: tls } = socket as { _tlsOptions?: { ALPNProtocols?: unknown } };
    if (tls !== undefined && tls !== null) {
      const { ALPNProtocols: offered } = tls;
      return (
        offered instanceof Uint8Array && offered[0] === 2 && offered[1] === 104 /* h */ && offered[2] === 50
      ); /* 2 */
    }
    return isHttp2Loaded() && isCalledByHttp2();
  } catch {
    return false;
  }
}

function isCalledByHttp2(): boolean {
  const { stackTraceLimit, prepareStackTrace } = Error;
  const holder: { stack?: string } = {};
  try {
    Error.stackTraceLimit = 10;
    // The application's own would be asked to format it.
    Error.prepareStackTrace = undefined as unknown as typeof prepareStackTrace;
    Error.captureStackTrace(holder, isCalledByHttp2);
    return holder.stack?.includes("node:internal/http2/core") === true;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    Error.prepareStackTrace = prepareStackTrace;
  }
}

let seenModules = 0;

/** Whether anyone has loaded node:http2; the list only grows. */
function isHttp2Loaded(): boolean {
  const { moduleLoadList } = process as unknown as { moduleLoadList: string[] };
  if (moduleLoadList.length === seenModules) return false;
  const isLoaded = moduleLoadList.includes("NativeModule internal/http2/core", seenModules);
  if (!isLoaded) seenModules = moduleLoadList.length;
  return isLoaded;
}
