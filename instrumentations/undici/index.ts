import { subscribe } from "node:diagnostics_channel";
import { defineInstrumentation, type Instrumentation } from "../../src/instrumentation/instrumentation.ts";
import { createRequestTracer, patchDispatcher, type RequestTracer } from "./requests.ts";

/*
 * undici, and the `fetch` Node builds on its own copy of it: both publish the same diagnostics channels. Every request that
 * goes out is one span, so a redirect or a retry makes a further one.
 *
 * What the channels do not say is seen on prototypes, patched once each: chunks of bodies, and that nobody takes them
 * (`Request`, whose class comes with the first request; the chunk channels came with undici 7.11, and cannot tell a
 * response that is read from one that is not), an upgrade's end (`Request`, which publishes it in some versions), how a connection came to be
 * (`net.Socket`), and who is behind a request that had to wait or is sent again (the package's `DispatcherBase`: that
 * happens in some other request's context).
 *
 * Known limitations: a response nobody reads ends where the buffers are full, and its `body` phase is the time until then. What a `MockAgent` answers makes no span:
 * nothing is sent. Over HTTP/2, undici 6 tells neither peer nor phases, and undici 5 drops the trace context.
 */
const undici: Instrumentation = defineInstrumentation({
  name: "undici",
  modules: [
    {
      name: "undici",
      versions: ">=5 <7",
      file: "lib/dispatcher-base.js",
      patch: (exports, kit) => patchDispatcher(exports, kit),
    },
    {
      name: "undici",
      versions: ">=6 <9",
      file: "lib/dispatcher/dispatcher-base.js",
      patch: (exports, kit) => patchDispatcher(exports, kit),
    },
  ],
  start(kit) {
    let tracer: RequestTracer | undefined;
    const on = (channel: string, listen: (message: any) => void): void => {
      subscribe(channel, (message) => {
        if (!kit.owner.enabled) return;
        try {
          listen(message);
        } catch (error) {
          kit.owner.disable(channel, error);
        }
      });
    };
    on("undici:request:create", (message) => {
      tracer ??= createRequestTracer(kit);
      tracer.onCreate(message);
    });
    on("undici:client:beforeConnect", () => tracer?.onBeforeConnect());
    on("undici:client:sendHeaders", (message) => tracer?.onSend(message));
    on("undici:request:bodySent", (message) => tracer?.onSent(message));
    on("undici:request:headers", (message) => tracer?.onHeaders(message));
    on("undici:request:trailers", (message) => tracer?.onEnd(message));
    on("undici:request:error", (message) => tracer?.onError(message));
  },
});

export default undici;
