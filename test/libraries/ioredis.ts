import { REDIS_ATTRIBUTES } from "./attributes.ts";
import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription = {
  instrumentation: "ioredis",
  packages: { ioredis: ["4.11.1", "4.31.0", "5.11.1", "6.0.0"] },
  server: "Redis 7",
  spans:
    "a command, pipeline or transaction; a published and a processed message; an entry sent to a stream, entries received from one",
  attributes: REDIS_ATTRIBUTES,
  captured: "keys; values written and read; messages and entries of streams",
  limits: [
    "Commands of the connection's set-up are spans inside a trace only.",
    "A cluster's pipeline does not name its node.",
    "Pub/sub context travels beside the message on a companion channel `__tracekit__:<channel>:context`; not with sharded channels, scripts, or MULTI without a pipeline.",
    "Stream entries carry context only with `TRACEKIT_REDIS_STREAM_CONTEXT=true`.",
  ],
};
export default description;
