import type { SpanRecord } from "../../../src/model/span.ts";
import { AttributeReader } from "./attribute-reader.ts";

/** What a span of a database tells besides its statement. */
export interface DatabaseFacts {
  system: string;
  namespace?: string;
  server?: string;
  operation?: string;
  collection?: string;
  /** Of systems without SQL: a command, a filter. */
  text?: string;
  returnedRows?: number;
  affectedRows?: number;
  /** SQLSTATE or the system's own code. */
  statusCode?: string;
  sqlState?: string;
  batchSize?: number;
  failedCommands?: number;
  omittedParameters?: number;
  poolWaitMillis?: number;
  statementName?: string;
  transactionOutcome?: string;
  user?: string;
}

export function readDatabaseFacts(span: SpanRecord): DatabaseFacts {
  const read = new AttributeReader(span.attributes);
  return compact({
    system: read.text("db.system.name", "db.system") ?? "database",
    namespace: read.text("db.namespace", "db.name", "db.redis.database_index"),
    server: readServer(read),
    operation: read.text("db.operation.name", "db.operation"),
    collection: read.text("db.collection.name", "db.sql.table", "db.mongodb.collection", "aws.dynamodb.table_names"),
    text: read.text("db.query.text", "db.statement"),
    returnedRows: read.number("db.response.returned_rows"),
    affectedRows: read.number("tracekit.db.affected_rows"),
    statusCode: read.text("db.response.status_code"),
    sqlState: read.text("tracekit.db.sqlstate", "db.response.status_code"),
    batchSize: read.number("db.operation.batch.size"),
    failedCommands: read.number("tracekit.db.failed_commands"),
    omittedParameters: read.number("tracekit.db.omitted_parameters"),
    poolWaitMillis: read.number("tracekit.db.pool_wait_ms"),
    statementName: read.text("tracekit.db.statement_name"),
    transactionOutcome: read.text("tracekit.db.transaction_outcome"),
    user: read.text("db.user"),
  });
}

/** What a span of a cache tells. */
export interface CacheFacts {
  system: string;
  server?: string;
  /** `get`, `set`, `delete`… or the command's own name. */
  operation: string;
  command?: string;
  keys: readonly string[];
  isHit?: boolean;
  /** Of several keys asked for at once. */
  hits?: number;
  misses?: number;
  ttlSeconds?: number;
  sizeBytes?: number;
  value?: string;
  batchSize?: number;
  failedCommands?: number;
}

export function readCacheFacts(span: SpanRecord): CacheFacts {
  const read = new AttributeReader(span.attributes);
  return compact({
    system: read.text("db.system.name", "db.system", "cache.system") ?? "cache",
    server: readServer(read),
    operation: read.text("cache.operation", "db.operation.name", "db.operation") ?? span.name,
    command: read.text("db.query.text", "db.statement"),
    keys: read.list("cache.key", "db.redis.key"),
    isHit: read.flag("cache.hit"),
    hits: read.number("tracekit.cache.hits"),
    misses: read.number("tracekit.cache.misses"),
    ttlSeconds: read.number("cache.ttl"),
    sizeBytes: read.number("cache.item_size"),
    value: read.text("tracekit.cache.value"),
    batchSize: read.number("db.operation.batch.size"),
    failedCommands: read.number("tracekit.db.failed_commands"),
  });
}

/** What a span of a message tells, on either side. */
export interface MessageFacts {
  system: string;
  /** `publish`, `receive`, `process`, `settle`. */
  operation?: string;
  destination?: string;
  template?: string;
  messageId?: string;
  conversationId?: string;
  key?: string;
  body?: string;
  bodySize?: number;
  headers: readonly (readonly [name: string, value: string])[];
  attempt?: number;
  queueMillis?: number;
  consumerGroup?: string;
  clientId?: string;
  outcome?: string;
  batchSize?: number;
  failedMessages?: number;
  receivers?: number;
  contextOmitted?: boolean;
  server?: string;
  /** What only one system has: partition, offset, routing key, stream, quality of service. */
  more: readonly (readonly [label: string, value: string])[];
}

export function readMessageFacts(span: SpanRecord): MessageFacts {
  const read = new AttributeReader(span.attributes);
  const more: [string, ...string[]][] = [
    [
      "partition",
      "messaging.destination.partition.id",
      "messaging.kafka.destination.partition",
      "messaging.kafka.partition",
    ],
    ["offset", "messaging.kafka.offset", "messaging.kafka.message.offset"],
    ["tombstone", "messaging.kafka.message.tombstone"],
    ["cluster", "messaging.kafka.cluster.id"],
    ["routing key", "messaging.rabbitmq.destination.routing_key", "messaging.rabbitmq.routing_key"],
    ["delivery tag", "messaging.rabbitmq.message.delivery_tag"],
    ["ordering key", "messaging.gcp_pubsub.message.ordering_key"],
    ["message group", "tracekit.aws.message_group_id"],
    ["queue URL", "aws.sqs.queue.url"],
    ["topic ARN", "aws.sns.topic.arn"],
    ["job", "tracekit.bullmq.job_name"],
    ["stream", "tracekit.nats.stream"],
    ["sequence", "tracekit.nats.sequence"],
    ["duplicate", "tracekit.nats.duplicate", "tracekit.mqtt.dup"],
    ["quality of service", "tracekit.mqtt.qos"],
    ["retained", "tracekit.mqtt.retain"],
  ];
  return compact({
    system: read.text("messaging.system") ?? "messaging",
    operation: read.text("messaging.operation.name", "messaging.operation.type", "messaging.operation"),
    destination: read.text("messaging.destination.name", "messaging.destination", "messaging.source.name"),
    template: read.text("messaging.destination.template"),
    messageId: read.text("messaging.message.id", "messaging.message_id"),
    conversationId: read.text("messaging.message.conversation_id", "messaging.conversation_id"),
    key: read.text("messaging.kafka.message.key", "messaging.kafka.message_key"),
    body: read.text("tracekit.messaging.body.content", "messaging.message.payload", "messaging.message.body"),
    bodySize: read.number(
      "messaging.message.body.size",
      "messaging.message.payload_size_bytes",
      "messaging.message_payload_size_bytes",
      "messaging.message.envelope.size",
    ),
    headers: ["messaging.message.header.", "messaging.header."].flatMap((prefix) =>
      read.under(prefix).map(([name]) => [name, read.text(prefix + name) ?? ""] as const),
    ),
    attempt: read.number("tracekit.messaging.delivery_attempt", "messaging.gcp_pubsub.message.delivery_attempt"),
    queueMillis: read.number("tracekit.messaging.queue_time_ms"),
    consumerGroup: read.text(
      "messaging.consumer.group.name",
      "messaging.kafka.consumer.group",
      "messaging.kafka.consumer_group",
    ),
    clientId: read.text(
      "messaging.client.id",
      "messaging.client_id",
      "messaging.kafka.client_id",
      "messaging.consumer.id",
    ),
    outcome: read.text("tracekit.messaging.outcome"),
    batchSize: read.number("messaging.batch.message_count"),
    failedMessages: read.number("tracekit.messaging.failed_messages"),
    receivers: read.number("tracekit.messaging.receivers"),
    contextOmitted: read.flag("tracekit.messaging.context_omitted"),
    server: readServer(read),
    more: more.flatMap(([label, ...names]) => {
      const value = read.text(...names);
      return value === undefined ? [] : [[label, value] as const];
    }),
  });
}

/** What a remote procedure call tells. */
export interface RpcFacts {
  system: string;
  service?: string;
  method?: string;
  /** Number and name: `5 NOT_FOUND`. */
  status?: string;
  server?: string;
  requestId?: string;
}

/** In the order of their numbers. Source: gRPC, statuscodes.md. */
const GRPC_STATUSES =
  `OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED
  FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED`.split(/\s+/);

export function readRpcFacts(span: SpanRecord): RpcFacts {
  const read = new AttributeReader(span.attributes);
  const code = read.text(
    "rpc.response.status_code",
    "rpc.grpc.status_code",
    "rpc.connect_rpc.error_code",
    "rpc.jsonrpc.error_code",
  );
  const name = code !== undefined && /^\d+$/.test(code) ? GRPC_STATUSES[Number(code)] : undefined;
  return compact({
    system: read.text("rpc.system.name", "rpc.system") ?? "rpc",
    service: read.text("rpc.service"),
    method: read.text("rpc.method"),
    status: name === undefined ? code : `${code} ${name}`,
    server: readServer(read),
    requestId: read.text("aws.request_id", "rpc.request.id"),
  });
}

function readServer(read: AttributeReader): string | undefined {
  const address = read.text(
    "server.address",
    "net.peer.name",
    "net.sock.peer.name",
    "net.peer.ip",
    "network.peer.address",
  );
  if (address === undefined) return undefined;
  const port = read.text("server.port", "net.peer.port", "net.sock.peer.port");
  return port === undefined ? address : `${address}:${port}`;
}

/** Without what is undefined: a field is there, or it is not. */
function compact<T extends object>(facts: { [Name in keyof T]: T[Name] | undefined }): T {
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)) as T;
}
