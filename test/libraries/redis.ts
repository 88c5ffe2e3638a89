import { REDIS_ATTRIBUTES } from "./attributes.ts";
import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription = {
  instrumentation: "redis",
  packages: {
    redis: ["4.1.0", "4.7.1", "5.12.1", "6.3.1"],
    // What each of them brings.
    "@redis/client": ["1.1.0", "1.6.1", "5.12.1", "6.3.1"],
  },
  title: "node-redis",
  server: "Redis 7",
  spans:
    "a command, pipeline or transaction; a published and a processed message; an entry sent to a stream, entries received from one",
  attributes: REDIS_ATTRIBUTES,
  captured: "keys; values written and read; messages and entries of streams",
  limits: [
    "A command on a closed client, or offline without the offline queue, is no span.",
    "A command that a cluster redirects is a span for each node asked.",
    "A hit of the client-side cache is a count on the active span.",
    "Before redis 4.6 processing a message is no span.",
    "Pub/sub context travels beside the message on a companion channel `__tracekit__:<channel>:context`; not with sharded channels, scripts, or MULTI without a pipeline.",
    "Stream entries carry context only with `TRACEKIT_REDIS_STREAM_CONTEXT=true`.",
  ],
};
export default description;
