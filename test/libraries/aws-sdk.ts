import type { LibraryDescription } from "./description.ts";

export const awsSdk: LibraryDescription = {
  instrumentation: "aws-sdk",
  packages: {
    "@aws-sdk/client-sqs": ["3.501.0", "3.600.0", "3.803.0", "3.1169.0"],
    "@aws-sdk/client-sns": ["3.1169.0"],
    "@aws-sdk/client-s3": ["3.1169.0"],
    // What these clients are made of.
    "@smithy/smithy-client": ["2.5.1", "3.7.0", "4.2.0"],
    "@smithy/core": ["3.41.0"],
  },
  title: "AWS SDK v3, every client",
  server: "fauxqs, an emulator",
  spans: "a command, retries included, above its HTTP requests; a send, batch or receive of SNS and SQS",
  attributes: [
    "aws.request_id",
    "aws.s3.bucket",
    "aws.sns.topic.arn",
    "aws.sqs.queue.url",
    "http.request.resend_count",
    "http.response.status_code",
    "messaging.batch.message_count",
    "messaging.destination.name",
    "messaging.message.body.size",
    "messaging.message.id",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.system",
    "rpc.method",
    "rpc.service",
    "rpc.system",
    "tracekit.messaging.body.content",
    "tracekit.messaging.context_omitted",
    "tracekit.messaging.delivery_attempt",
    "tracekit.messaging.queue_time_ms",
  ],
  captured: "message payloads; of other services only what is called, and S3 buckets and DynamoDB tables",
  limits: [
    "SQS has no handler in the SDK, so there is no `process` span: a receive links to the publishers of its messages.",
    "Context needs a free one of ten message attributes, and room below the size limit.",
    "A message sent to a phone carries no context, and its number is not recorded.",
  ],
};
