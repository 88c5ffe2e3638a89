import type { LibraryDescription } from "./description.ts";

export const googleCloudPubsub: LibraryDescription = {
  instrumentation: "google-cloud-pubsub",
  packages: { "@google-cloud/pubsub": ["3.0.0", "4.11.0", "5.3.1", "6.0.1"] },
  server: "a stand-in that speaks Pub/Sub's protocol",
  spans:
    "a published message, its wait for a batch included; a message of the `message` event, until it is settled and async listeners are done",
  attributes: [
    "messaging.destination.name",
    "messaging.gcp_pubsub.message.ordering_key",
    "messaging.message.body.size",
    "messaging.message.id",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.system",
    "server.address",
    "server.port",
    "tracekit.messaging.body.content",
    "tracekit.messaging.context_omitted",
    "tracekit.messaging.delivery_attempt",
    "tracekit.messaging.outcome",
    "tracekit.messaging.queue_time_ms",
  ],
  captured: "payloads",
  limits: [
    "Switched on, the library's own tracing (`enableOpenTelemetryTracing`) takes the place of ours.",
    "A processed message is named after its subscription, which does not know its topic.",
    "`pull` of `v1.SubscriberClient` is not traced.",
  ],
};
