import type { EventEmitter } from "node:events";
import type { ClientHttp2Session, Http2Session, Http2Stream, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Kit } from "../../src/instrumentation/kit.ts";
import { createRequestTracer } from "./client.ts";
import { createStreamTracer } from "./server.ts";
import { watchers } from "./streams.ts";

/** The classes of a client's session and stream, and those they share with a server's. */
function findPrototypes(): { clientSession: any; session: any; stream: any } {
  const { Duplex } = process.getBuiltinModule("node:stream");
  const nowhere = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const probe: ClientHttp2Session = process
    .getBuiltinModule("node:http2")
    .connect("http://localhost", { createConnection: () => nowhere });
  probe.on("error", () => {});
  const request = probe.request();
  request.on("error", () => {});
  const clientSession = Object.getPrototypeOf(probe) as object;
  const stream = Object.getPrototypeOf(Object.getPrototypeOf(request)) as object;
  probe.destroy();
  nowhere.destroy();
  return { clientSession, session: Object.getPrototypeOf(clientSession) as object, stream };
}

/** Patches node:http2, and loads it for that. */
export function patchStreams(kit: Kit): void {
  const prototypes = findPrototypes();
  const traceRequest = createRequestTracer(kit);
  const traceStream = createStreamTracer(kit);

  kit.wrap(
    prototypes.clientSession,
    "request",
    (original) =>
      function (this: ClientHttp2Session, headers: unknown, options: unknown): unknown {
        return traceRequest(original, this, headers, options, arguments.length);
      },
  );
  const parentOf = (prototype: object): EventEmitter => Object.getPrototypeOf(prototype) as EventEmitter;
  const sessionParent = parentOf(prototypes.session);
  kit.wrap(
    prototypes.session,
    "emit",
    () =>
      function (this: Http2Session, type: unknown, stream: unknown, headers: unknown): boolean {
        // Looked up each time: `domain` replaces the one all emitters share.
        const { emit } = sessionParent;
        if (type !== "stream") return Reflect.apply(emit, this, arguments);
        const context = traceStream(this, stream, headers);
        if (context === undefined) return Reflect.apply(emit, this, arguments);
        return kit.tracing.run(context, emit, this, [...(arguments as unknown as [string, ...unknown[]])]);
      },
  );

  const streamParent = parentOf(prototypes.stream);
  kit.wrap(
    prototypes.stream,
    "emit",
    () =>
      function (this: Http2Stream, type: unknown, value: unknown): boolean {
        const { emit } = streamParent;
        const watcher = watchers.get(this);
        if (watcher === undefined || watcher === null) return Reflect.apply(emit, this, arguments);
        watcher.onEvent(type, value);
        const { context } = watcher;
        if (context === undefined || context === kit.tracing.active()) return Reflect.apply(emit, this, arguments);
        return kit.tracing.run(context, emit, this, [...(arguments as unknown as [string, ...unknown[]])]);
      },
  );
  kit.wrap(
    prototypes.stream,
    "push",
    (original) =>
      function (this: Http2Stream, chunk: unknown, encoding: unknown): unknown {
        const watcher = watchers.get(this);
        if (watcher === null) return Reflect.apply(original, this, arguments);
        if (watcher === undefined) {
          if (chunk instanceof Uint8Array) traceStream.keepEarly(this as ServerHttp2Stream, chunk);
          return Reflect.apply(original, this, arguments);
        }
        if (chunk === null) watcher.onIncomingEnd();
        else watcher.onIncoming(chunk, encoding);
        const wantsMore = Reflect.apply(original, this, arguments);
        if (wantsMore === false && chunk !== null) watcher.onPause();
        return wantsMore;
      },
  );
  kit.wrap(
    prototypes.stream,
    "_write",
    (original) =>
      function (this: Http2Stream, chunk: unknown, encoding: unknown): unknown {
        watchers.get(this)?.onOutgoing(chunk, encoding);
        return Reflect.apply(original, this, arguments);
      },
  );
  kit.wrap(
    prototypes.stream,
    "_writev",
    (original) =>
      function (this: Http2Stream, chunks: ReadonlyArray<{ chunk: unknown; encoding: unknown }>): unknown {
        const watcher = watchers.get(this);
        if (watcher !== undefined && watcher !== null)
          for (const { chunk, encoding } of chunks) watcher.onOutgoing(chunk, encoding);
        return Reflect.apply(original, this, arguments);
      },
  );
  const watchWish = (original: (...args: any[]) => unknown) =>
    function (this: Http2Stream): unknown {
      // Node itself calls both, once the stream is closed or the connection gone.
      if (!this.closed && !isGone(this)) watchers.get(this)?.onWish();
      return Reflect.apply(original, this, arguments);
    };
  kit.wrap(prototypes.stream, "close", watchWish);
  kit.wrap(prototypes.stream, "destroy", watchWish);
}

function isGone(stream: Http2Stream): boolean {
  try {
    const socket = stream.session?.socket as Socket | undefined;
    return socket === undefined || socket.destroyed;
  } catch {
    return true;
  }
}
