/** Attribute names. Source: OpenTelemetry semantic conventions 1.45 unless a group says otherwise. */

export const CLIENT_ADDRESS = "client.address";
export const ERROR_TYPE = "error.type";
export const EXCEPTION_MESSAGE = "exception.message";
export const EXCEPTION_STACKTRACE = "exception.stacktrace";
export const EXCEPTION_TYPE = "exception.type";
export const NETWORK_PEER_ADDRESS = "network.peer.address";
export const NETWORK_PEER_PORT = "network.peer.port";
export const NETWORK_PROTOCOL_VERSION = "network.protocol.version";
export const NETWORK_TRANSPORT = "network.transport";
export const SERVER_ADDRESS = "server.address";
export const SERVER_PORT = "server.port";
export const URL_FULL = "url.full";
export const URL_PATH = "url.path";
export const URL_QUERY = "url.query";
export const URL_SCHEME = "url.scheme";
export const USER_AGENT_ORIGINAL = "user_agent.original";
export const USER_EMAIL = "user.email";
export const USER_ID = "user.id";
export const USER_NAME = "user.name";
export const USER_ROLES = "user.roles";

export const HTTP_REQUEST_BODY_CONTENT = "http.request.body.content";
export const HTTP_REQUEST_BODY_SIZE = "http.request.body.size";
export const HTTP_REQUEST_HEADER_PREFIX = "http.request.header.";
export const HTTP_REQUEST_METHOD = "http.request.method";
export const HTTP_REQUEST_METHOD_ORIGINAL = "http.request.method_original";
export const HTTP_REQUEST_RESEND_COUNT = "http.request.resend_count";
export const HTTP_RESPONSE_BODY_CONTENT = "http.response.body.content";
export const HTTP_RESPONSE_BODY_SIZE = "http.response.body.size";
export const HTTP_RESPONSE_HEADER_PREFIX = "http.response.header.";
export const HTTP_RESPONSE_STATUS_CODE = "http.response.status_code";
export const HTTP_ROUTE = "http.route";

export const DB_NAMESPACE = "db.namespace";
export const DB_OPERATION_BATCH_SIZE = "db.operation.batch.size";
export const DB_OPERATION_NAME = "db.operation.name";
export const DB_QUERY_PARAMETER_PREFIX = "db.query.parameter.";
export const DB_QUERY_SUMMARY = "db.query.summary";
export const DB_QUERY_TEXT = "db.query.text";
export const DB_RESPONSE_RETURNED_ROWS = "db.response.returned_rows";
export const DB_RESPONSE_STATUS_CODE = "db.response.status_code";
export const DB_STORED_PROCEDURE_NAME = "db.stored_procedure.name";
export const DB_SYSTEM_NAME = "db.system.name";

export const AWS_DYNAMODB_TABLE_NAMES = "aws.dynamodb.table_names";
export const AWS_REQUEST_ID = "aws.request_id";
export const AWS_S3_BUCKET = "aws.s3.bucket";
export const AWS_SNS_TOPIC_ARN = "aws.sns.topic.arn";
export const AWS_SQS_QUEUE_URL = "aws.sqs.queue.url";

/** Of AWS's calls; the conventions for RPC in general are moving on to other names. */
export const RPC_METHOD = "rpc.method";
export const RPC_SERVICE = "rpc.service";
export const RPC_SYSTEM = "rpc.system";

export const MESSAGING_BATCH_MESSAGE_COUNT = "messaging.batch.message_count";
export const MESSAGING_CLIENT_ID = "messaging.client.id";
export const MESSAGING_CONSUMER_GROUP_NAME = "messaging.consumer.group.name";
export const MESSAGING_DESTINATION_ANONYMOUS = "messaging.destination.anonymous";
export const MESSAGING_DESTINATION_NAME = "messaging.destination.name";
export const MESSAGING_DESTINATION_PARTITION_ID = "messaging.destination.partition.id";
export const MESSAGING_DESTINATION_TEMPLATE = "messaging.destination.template";
export const MESSAGING_GCP_PUBSUB_MESSAGE_ORDERING_KEY = "messaging.gcp_pubsub.message.ordering_key";
export const MESSAGING_KAFKA_CLUSTER_ID = "messaging.kafka.cluster.id";
export const MESSAGING_KAFKA_MESSAGE_KEY = "messaging.kafka.message.key";
export const MESSAGING_KAFKA_MESSAGE_TOMBSTONE = "messaging.kafka.message.tombstone";
export const MESSAGING_KAFKA_OFFSET = "messaging.kafka.offset";
export const MESSAGING_MESSAGE_BODY_SIZE = "messaging.message.body.size";
export const MESSAGING_MESSAGE_CONVERSATION_ID = "messaging.message.conversation_id";
export const MESSAGING_MESSAGE_ID = "messaging.message.id";
export const MESSAGING_OPERATION_NAME = "messaging.operation.name";
export const MESSAGING_OPERATION_TYPE = "messaging.operation.type";
export const MESSAGING_RABBITMQ_DESTINATION_ROUTING_KEY = "messaging.rabbitmq.destination.routing_key";
export const MESSAGING_RABBITMQ_MESSAGE_DELIVERY_TAG = "messaging.rabbitmq.message.delivery_tag";
export const MESSAGING_SYSTEM = "messaging.system";

/** The public cache convention (`cache.*`); OpenTelemetry has none yet (semantic-conventions#1747). */
export const CACHE_HIT = "cache.hit";
export const CACHE_ITEM_SIZE = "cache.item_size";
export const CACHE_KEY = "cache.key";
export const CACHE_OPERATION = "cache.operation";
export const CACHE_TTL = "cache.ttl";

/** Ours, where no convention exists. Times are milliseconds, sizes are bytes. */
export const TRACEKIT_AWS_MESSAGE_GROUP_ID = "tracekit.aws.message_group_id";
export const TRACEKIT_BULLMQ_JOB_NAME = "tracekit.bullmq.job_name";
export const TRACEKIT_CACHE_HITS = "tracekit.cache.hits";
export const TRACEKIT_CACHE_MISSES = "tracekit.cache.misses";
/** Followed by a kind of in-process cache and `.hits` or `.misses`. */
export const TRACEKIT_CACHE_PREFIX = "tracekit.cache.";
export const TRACEKIT_CACHE_VALUE = "tracekit.cache.value";
export const TRACEKIT_DB_AFFECTED_ROWS = "tracekit.db.affected_rows";
export const TRACEKIT_DB_FAILED_COMMANDS = "tracekit.db.failed_commands";
export const TRACEKIT_DB_OMITTED_PARAMETERS = "tracekit.db.omitted_parameters";
export const TRACEKIT_DB_POOL_WAIT = "tracekit.db.pool_wait_ms";
export const TRACEKIT_DB_SQLSTATE = "tracekit.db.sqlstate";
export const TRACEKIT_DB_STATEMENT_NAME = "tracekit.db.statement_name";
export const TRACEKIT_DB_TRANSACTION_OUTCOME = "tracekit.db.transaction_outcome";
export const TRACEKIT_HTTP_ABORTED = "tracekit.http.aborted";
export const TRACEKIT_HTTP_PHASE_PREFIX = "tracekit.http.phase.";
export const TRACEKIT_HTTP_REQUEST_BODY_PARTS = "tracekit.http.request.body.parts";
export const TRACEKIT_HTTP_RESPONSE_BODY_PARTS = "tracekit.http.response.body.parts";
export const TRACEKIT_HTTP_STREAMING = "tracekit.http.streaming";
export const TRACEKIT_MESSAGING_BODY_CONTENT = "tracekit.messaging.body.content";
export const TRACEKIT_MESSAGING_CONTEXT_OMITTED = "tracekit.messaging.context_omitted";
export const TRACEKIT_MESSAGING_DELIVERY_ATTEMPT = "tracekit.messaging.delivery_attempt";
export const TRACEKIT_MESSAGING_FAILED_MESSAGES = "tracekit.messaging.failed_messages";
/** What became of a consumed message: "ack", "reject" (for good) or "requeue". */
export const TRACEKIT_MESSAGING_OUTCOME = "tracekit.messaging.outcome";
export const TRACEKIT_MESSAGING_QUEUE_TIME = "tracekit.messaging.queue_time_ms";
export const TRACEKIT_MESSAGING_RECEIVERS = "tracekit.messaging.receivers";
export const TRACEKIT_MQTT_DUPLICATE = "tracekit.mqtt.dup";
export const TRACEKIT_MQTT_QOS = "tracekit.mqtt.qos";
export const TRACEKIT_MQTT_RETAIN = "tracekit.mqtt.retain";
export const TRACEKIT_NATS_DUPLICATE = "tracekit.nats.duplicate";
export const TRACEKIT_NATS_SEQUENCE = "tracekit.nats.sequence";
export const TRACEKIT_NATS_STREAM = "tracekit.nats.stream";
