import { subscribe } from "node:diagnostics_channel";
import { defineInstrumentation, type Instrumentation } from "../../src/instrumentation/instrumentation.ts";
import { type Begin, createRequestTracer, type HttpRequest, watchAgents } from "./requests.ts";

/*
 * node:http and node:https as clients: `request`, `get`, `new ClientRequest`, and all that is built on them (axios, got,
 * node-fetch, follow-redirects, agents of one's own).
 *
 * Every request, however it was made, is a `ClientRequest`. Its prototype is patched rather than `http.request`: that would
 * need node:https too (5 to 13 ms at start), and would miss `new ClientRequest` and whatever was taken before us. `emit` is
 * among what is patched, so that no listener of ours is on the application's request: it would keep an error nobody
 * handles from ending the process. What is not recorded passes all of it in some 10 ns a call.
 *
 * A request starts where it is made: Node 22.12 and later say so on a channel, before that its agent's `addRequest` does.
 *
 * Known limitations: on Node 20 a request whose agent has an `addRequest` of
 * its own (agent-base before 7), or none at all, starts when its headers go, in the context of whoever sends them.
 */
const httpClient: Instrumentation = defineInstrumentation({
  name: "http-client",
  modules: [],
  start(kit) {
    const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
    if (major < 22 || (major === 22 && minor < 12)) {
      watchAgents(kit, createRequestTracer(kit));
      return;
    }
    let begin: Begin | undefined;
    // Whoever makes the first request has loaded node:http by then: 6 ms that an application without it is spared.
    subscribe("http.client.request.created", (message) => {
      if (!kit.owner.enabled) return;
      try {
        begin ??= createRequestTracer(kit);
        begin((message as { request: HttpRequest }).request);
      } catch (error) {
        kit.owner.disable("http request, first", error);
      }
    });
  },
});

export default httpClient;
