import type { LibraryDescription } from "./description.ts";

export const bullmq: LibraryDescription = {
  instrumentation: "bullmq",
  packages: { bullmq: ["3.0.0", "3.16.2", "4.18.3", "5.81.5", "6.7.0"] },
  server: "Redis 7",
  spans: "a job that is added (several at once: one span), an attempt to process one",
  attributes: [
    "messaging.system",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.destination.name",
    "messaging.batch.message_count",
    "messaging.message.id",
    "messaging.message.body.size",
    "server.address",
    "server.port",
    "tracekit.bullmq.job_name",
    "tracekit.messaging.body.content",
    "tracekit.messaging.delivery_attempt",
    "tracekit.messaging.outcome",
    "tracekit.messaging.queue_time_ms",
  ],
  captured: "job data",
  limits: [
    "In processes without Tracekit a job's options show the context (`telemetry.metadata`).",
    "Jobs of a scheduler, and repeated ones, start traces of their own.",
    "What a sandboxed processor does in its process is not below its span.",
    "Jobs fetched by hand (`getNextJob`) are not traced.",
  ],
};
