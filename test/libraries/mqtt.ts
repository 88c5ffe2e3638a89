import type { LibraryDescription } from "./description.ts";

export const mqtt: LibraryDescription = {
  instrumentation: "mqtt",
  packages: { mqtt: ["4.0.0", "4.3.8", "5.0.0", "5.16.0"] },
  server: "Mosquitto 2.0",
  spans:
    "a publish, until it is acknowledged with QoS 1 and 2; a message, while its listeners and `handleMessage` work on it",
  attributes: [
    "messaging.client.id",
    "messaging.consumer.group.name",
    "messaging.destination.name",
    "messaging.destination.template",
    "messaging.message.body.size",
    "messaging.message.conversation_id",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.system",
    "network.protocol.version",
    "server.address",
    "server.port",
    "tracekit.messaging.body.content",
    "tracekit.messaging.queue_time_ms",
    "tracekit.mqtt.qos",
    "tracekit.mqtt.retain",
  ],
  captured: "payloads",
  limits: [
    "Context travels with protocol version 5; 3.1 and 3.1.1 have no place for it.",
    "With QoS 0 and no callback a publish ends when the client has taken the message.",
    "A publish with QoS 1 or 2 that is never acknowledged has no span.",
    "A retained message that a new subscriber gets starts a trace of its own, with a link to its publisher.",
    "A will carries no context.",
  ],
};
