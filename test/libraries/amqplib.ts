import type { LibraryDescription } from "./description.ts";

export const amqplib: LibraryDescription = {
  instrumentation: "amqplib",
  packages: { amqplib: ["0.5.5", "0.10.9", "1.2.0", "2.3.1"] },
  server: "RabbitMQ 3.10",
  spans: "a published message (on a confirm channel until it is confirmed), a processed one, one fetched with `get`",
  attributes: [
    "messaging.system",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.destination.name",
    "messaging.destination.anonymous",
    "messaging.message.id",
    "messaging.message.conversation_id",
    "messaging.message.body.size",
    "messaging.rabbitmq.destination.routing_key",
    "messaging.rabbitmq.message.delivery_tag",
    "server.address",
    "server.port",
    "tracekit.messaging.body.content",
    "tracekit.messaging.delivery_attempt",
    "tracekit.messaging.outcome",
    "tracekit.messaging.queue_time_ms",
  ],
  captured: "payloads",
  limits: [
    "Without a confirm channel a publish ends when the message is handed to the socket.",
    "A handler that returns no promise is done when the message is acknowledged; after a minute without that, when it returned.",
    "Without quorum queues or dead-lettering the delivery attempt says no more than first or again.",
  ],
};
