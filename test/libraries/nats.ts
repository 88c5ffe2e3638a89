import type { LibraryDescription } from "./description.ts";

export const nats: LibraryDescription = {
  instrumentation: "nats",
  packages: {
    nats: ["2.6.1", "2.13.1", "2.29.3"],
    "@nats-io/nats-core": ["3.0.0", "3.4.0"],
    "@nats-io/transport-node": ["3.0.0", "3.4.0"],
    "@nats-io/jetstream": ["3.0.0", "3.4.0"],
  },
  server: "NATS 2.9 with JetStream",
  spans:
    "a publish, with JetStream until it is acknowledged; a request until its reply; a message, in a callback or in a turn of a " +
    "`for await` loop; `next()` and `pull()`",
  attributes: [
    "messaging.client.id",
    "messaging.consumer.group.name",
    "messaging.destination.name",
    "messaging.destination.template",
    "messaging.message.body.size",
    "messaging.message.id",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.system",
    "server.address",
    "server.port",
    "tracekit.messaging.body.content",
    "tracekit.messaging.delivery_attempt",
    "tracekit.messaging.outcome",
    "tracekit.messaging.queue_time_ms",
    "tracekit.nats.duplicate",
    "tracekit.nats.sequence",
    "tracekit.nats.stream",
  ],
  captured: "payloads",
  limits: [
    "Servers before 2.2 have no headers: context does not travel.",
    "When an error leaves a `for await` loop, the message's span ends but does not show it.",
    "What `next()` or `pull()` gave is processed outside of any span of ours.",
    "Replies, the key-value store and the object store have no spans.",
  ],
};
