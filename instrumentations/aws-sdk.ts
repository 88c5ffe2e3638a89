import type { Capture } from "../src/capture/capture.ts";
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import type { Operation, OperationSpan } from "../src/instrumentation/operation.ts";
import { callback } from "../src/instrumentation/settlement.ts";
import {
  type BoundOperation,
  type OperationCall,
  recordFailure,
  traceOperation,
} from "../src/instrumentation/trace-operation.ts";
import {
  AWS_DYNAMODB_TABLE_NAMES,
  AWS_REQUEST_ID,
  AWS_S3_BUCKET,
  AWS_SNS_TOPIC_ARN,
  AWS_SQS_QUEUE_URL,
  HTTP_REQUEST_RESEND_COUNT,
  HTTP_RESPONSE_STATUS_CODE,
  MESSAGING_SYSTEM,
  RPC_METHOD,
  RPC_SERVICE,
  RPC_SYSTEM,
  TRACEKIT_AWS_MESSAGE_GROUP_ID,
  TRACEKIT_MESSAGING_CONTEXT_OMITTED,
  TRACEKIT_MESSAGING_FAILED_MESSAGES,
} from "../src/semconv/attributes.ts";
import { AttributeBlock } from "../src/trace/attributes.ts";
import { KIND_CLIENT, KIND_PRODUCER } from "../src/trace/span-kind.ts";
import {
  type Carrier,
  carrierOf,
  describeBatch,
  describeDelivery,
  describeDestination,
  describeMessage,
  type MessagingOperation,
  messagingOperation,
  type Origin,
  originOf,
  RECEIVE,
  SEND,
} from "./shared/messaging.ts";

/*
 * AWS SDK v3, every client: one span a `send`, retries included. The HTTP requests are spans below it, one a try.
 *
 * - SNS `Publish(Batch)` and SQS `SendMessage(Batch)` are PRODUCER spans. Context travels in message attributes: in a copy of
 *   the input, and only where the message keeps within ten attributes and within 256 KiB or 1 MiB; else the span says
 *   `tracekit.messaging.context_omitted`. All messages of a batch carry the batch's span.
 * - `ReceiveMessage` is a CLIENT span with a link to the publisher of each message. It asks for the attributes it needs, and
 *   takes them out of the answer again where the application did not ask.
 * - The SDK has no handler: nobody but the application knows when it starts and ends to process a message, so there is no
 *   `process` span, and what it does afterwards belongs to whatever span surrounds it.
 * - SNS to SQS: context comes along raw and wrapped. To HTTP, Lambda, e-mail and phones nothing of ours reads it.
 * - `cloud.region` is not recorded: the SDK only tells it asynchronously.
 */

const awsSdk: Instrumentation = defineInstrumentation({
  name: "aws-sdk",
  modules: [
    { name: "@smithy/smithy-client", versions: ">=2.1 <5", file: "dist-cjs/index.js", patch },
    { name: "@smithy/core", versions: ">=3 <4", file: "dist-cjs/submodules/client/index.js", patch },
  ],
});
export default awsSdk;

type Input = Readonly<Record<string, any>>;

interface Command {
  readonly input: Input;
}

interface Client {
  readonly config?: { readonly serviceId?: unknown };
}

/** What a command means: one object for all commands of that name. */
interface Method {
  readonly service: string;
  readonly name: string;
  readonly block: AttributeBlock;
  readonly messaging: Messaging | undefined;
}

/** How SNS and SQS commands take part in messaging. */
interface Messaging {
  readonly operation: MessagingOperation;
  readonly isProducer: boolean;
  /** Where a batch keeps its entries in the input. */
  readonly entries: string | undefined;
  readonly block: AttributeBlock;
}

interface State {
  readonly kit: Kit;
  readonly method: Method;
  contextOmitted: boolean;
  /** Asked for by us, not by the application: goes out of the answer. */
  added: Added | undefined;
}

interface Added {
  readonly messageAttributes: readonly string[];
  readonly systemAttributes: readonly string[];
}

type Call = OperationCall<State>;

const DELETE = messagingOperation("delete", "settle");
const CHANGE_VISIBILITY = messagingOperation("change_visibility", "settle");
const SQS = new AttributeBlock({ [MESSAGING_SYSTEM]: "aws_sqs" });
const SNS = new AttributeBlock({ [MESSAGING_SYSTEM]: "aws.sns" });

const MESSAGING: Readonly<Record<string, Messaging>> = {
  "SQS.SendMessage": { operation: SEND, isProducer: true, entries: undefined, block: SQS },
  "SQS.SendMessageBatch": { operation: SEND, isProducer: true, entries: "Entries", block: SQS },
  "SQS.ReceiveMessage": { operation: RECEIVE, isProducer: false, entries: undefined, block: SQS },
  "SQS.DeleteMessage": { operation: DELETE, isProducer: false, entries: undefined, block: SQS },
  "SQS.DeleteMessageBatch": { operation: DELETE, isProducer: false, entries: "Entries", block: SQS },
  "SQS.ChangeMessageVisibility": { operation: CHANGE_VISIBILITY, isProducer: false, entries: undefined, block: SQS },
  "SQS.ChangeMessageVisibilityBatch": {
    operation: CHANGE_VISIBILITY,
    isProducer: false,
    entries: "Entries",
    block: SQS,
  },
  "SNS.Publish": { operation: SEND, isProducer: true, entries: undefined, block: SNS },
  "SNS.PublishBatch": { operation: SEND, isProducer: true, entries: "PublishBatchRequestEntries", block: SNS },
};

/** Of SQS, and of SNS's raw delivery to it. */
const MAX_ATTRIBUTES = 10;
/** Bytes of all messages of a request, attributes included: what queues accept, and what they accepted before August 2025. */
const SIZE_LIMITS = [262_144, 1_048_576];
/** Commands' names come from code, but anybody may write code. */
const MAX_METHODS = 2000;
/** UTF-16 units. */
const MAX_BODY = 1_048_576;

const methods = new Map<string, Method>();

function patch(exports: { readonly Client?: { readonly prototype: object } }, kit: Kit): void {
  // Later versions of a file may only pass on what another one has, patched already.
  const prototype = exports.Client?.prototype;
  if (prototype === undefined) return;
  const { owner } = kit;
  const producer = kit.bind(producerOperation);
  const client = kit.bind(clientOperation);
  kit.wrap(
    prototype,
    "send",
    (original) =>
      function (this: Client, ...args: any[]): unknown {
        if (!owner.enabled) return Reflect.apply(original, this, args);
        let bound: BoundOperation = client;
        let method: Method | undefined;
        try {
          method = methodOf(this, args[0]);
          if (method?.messaging?.isProducer === true) bound = producer;
        } catch (error) {
          owner.disable("aws-sdk send", error);
        }
        if (method === undefined) return Reflect.apply(original, this, args);
        const state: State = { kit, method, contextOmitted: false, added: undefined };
        return traceOperation(bound, original, this, args, state);
      },
  );
}

/** Undefined for what is no command. */
function methodOf(client: Client, command: unknown): Method | undefined {
  const commandName: unknown = (command as { constructor?: { name?: unknown } } | undefined)?.constructor?.name;
  const input = (command as Partial<Command> | undefined)?.input;
  if (typeof commandName !== "string" || typeof input !== "object" || input === null) return undefined;
  const { serviceId } = client.config ?? {};
  const service = typeof serviceId === "string" && serviceId !== "" ? serviceId : "AWS";
  const name = commandName.endsWith("Command") ? commandName.slice(0, -7) : commandName;
  const key = `${service}.${name}`;
  let method = methods.get(key);
  if (method === undefined) {
    method = {
      service,
      name,
      block: new AttributeBlock({ [RPC_SYSTEM]: "aws-api", [RPC_SERVICE]: service, [RPC_METHOD]: name }),
      messaging: MESSAGING[key],
    };
    if (methods.size < MAX_METHODS) methods.set(key, method);
  }
  return method;
}

const shared: Pick<Operation<any, State>, "leaf" | "settles" | "start" | "finish" | "fail"> = {
  leaf: false,
  settles: callback,
  start(span, call, capture) {
    const { method } = call.state;
    const { input } = call.args[0] as Command;
    span.name = `${method.service}.${method.name}`;
    span.attributeBlock(method.block);
    if (method.messaging !== undefined) describeMessaging(span, method.messaging, input, capture);
    else describeTarget(span, method, input, capture);
    if (method.messaging?.operation === RECEIVE) askForAttributes(call);
  },
  finish(span, output: Input | undefined, call, capture) {
    describeMetadata(span, output);
    const { messaging } = call.state.method;
    if (messaging === undefined || typeof output !== "object" || output === null) return;
    if (messaging.operation === RECEIVE) describeReceived(span, output, call, capture);
    else if (messaging.entries !== undefined) describeFailures(span, output);
    else if (messaging.isProducer) describeMessage(span, textOf(output["MessageId"]), undefined, capture);
  },
  fail(span, error) {
    recordFailure(span, error);
    describeMetadata(span, error as Input | undefined);
  },
};

const clientOperation: Operation<any, State> = { ...shared, title: "aws-sdk send", kind: KIND_CLIENT };

const producerOperation: Operation<any, State> = {
  ...shared,
  title: "aws-sdk publish",
  kind: KIND_PRODUCER,
  inject(call) {
    const { kit, method } = call.state;
    const command = call.args[0] as Command;
    const { input } = command;
    // A phone has no use for it.
    if (input["PhoneNumber"] !== undefined) return;
    const carrier = carrierOf(kit, call.context, hostOf(input["QueueUrl"]));
    if (carrier === undefined) return;
    const { entries } = method.messaging as Messaging;
    const messages: readonly Input[] = entries === undefined ? [input] : listOf(input[entries]);
    const room = new Room(messages);
    const copies = messages.map((message) => withContext(message, carrier, room));
    if (room.isExceeded) {
      call.state.contextOmitted = true;
      if (call.recording) call.span.attribute(TRACEKIT_MESSAGING_CONTEXT_OMITTED, true);
    }
    if (copies.every((copy, index) => copy === messages[index])) return;
    call.args[0] = withInput(command, entries === undefined ? (copies[0] as Input) : { ...input, [entries]: copies });
  },
};

function describeMessaging(
  span: OperationSpan,
  { operation, isProducer, entries, block }: Messaging,
  input: Input,
  capture: Capture,
): void {
  span.attributeBlock(block);
  const [destination, label] = destinationOf(input);
  describeDestination(span, operation, destination, capture, label);
  const { QueueUrl: queueUrl, TopicArn: topic } = input;
  if (typeof queueUrl === "string") span.attribute(AWS_SQS_QUEUE_URL, capture.url(queueUrl));
  if (typeof topic === "string") span.attribute(AWS_SNS_TOPIC_ARN, capture.text(topic));
  const messages = entries === undefined ? [input] : listOf(input[entries]);
  if (entries !== undefined && messages.length !== 1) describeBatch(span, messages.length);
  else if (isProducer && messages[0] !== undefined) {
    const { MessageBody: body, Message: text, MessageGroupId: group } = messages[0];
    describeMessage(span, undefined, textOf(body ?? text), capture);
    if (typeof group === "string") span.attribute(TRACEKIT_AWS_MESSAGE_GROUP_ID, capture.text(group));
  }
}

/** Queue or topic, and where that is one of very many a name for its kind. Phone numbers are nobody's business. */
function destinationOf({ QueueUrl, TopicArn, TargetArn, PhoneNumber }: Input): [destination: string, label: string] {
  if (PhoneNumber !== undefined) return ["phone_number", "phone_number"];
  if (typeof QueueUrl === "string") {
    const name = QueueUrl.slice(QueueUrl.lastIndexOf("/") + 1);
    return [name, name];
  }
  const arn: unknown = TopicArn ?? TargetArn;
  if (typeof arn !== "string") return ["unknown", "unknown"];
  const name = arn.slice(arn.lastIndexOf(":") + 1);
  // A mobile application's installation: "endpoint/GCM/app/1e2f…".
  return [name, name.startsWith("endpoint/") ? name.slice(0, name.lastIndexOf("/")) : name];
}

function describeTarget(span: OperationSpan, { service }: Method, input: Input, capture: Capture): void {
  const { Bucket: bucket, TableName: table } = input;
  if (service === "S3" && typeof bucket === "string") span.attribute(AWS_S3_BUCKET, capture.text(bucket));
  if (service === "DynamoDB" && typeof table === "string")
    span.attribute(AWS_DYNAMODB_TABLE_NAMES, [capture.text(table)]);
}

/** `$metadata` of an answer or an error. */
function describeMetadata(span: OperationSpan, from: Input | undefined): void {
  const metadata = from?.["$metadata"] as Input | undefined;
  if (typeof metadata !== "object" || metadata === null) return;
  const { requestId, httpStatusCode, attempts } = metadata;
  if (typeof requestId === "string") span.attribute(AWS_REQUEST_ID, requestId);
  if (typeof httpStatusCode === "number") span.attribute(HTTP_RESPONSE_STATUS_CODE, httpStatusCode);
  if (typeof attempts === "number" && attempts > 1) span.attribute(HTTP_REQUEST_RESEND_COUNT, attempts - 1);
}

/** A batch that was answered may have failed in part, or altogether. */
function describeFailures(span: OperationSpan, output: Input): void {
  const failed = listOf(output["Failed"]);
  if (failed.length === 0) return;
  span.attribute(TRACEKIT_MESSAGING_FAILED_MESSAGES, failed.length);
  if (listOf(output["Successful"]).length > 0) return;
  span.fail(textOf(failed[0]?.["Code"]) ?? "_OTHER", textOf(failed[0]?.["Message"]));
}

// Sending.

/** How much may still be added to a request's messages. */
class Room {
  /** Something had to stay behind. */
  isExceeded = false;
  private bytesLeft: number;

  constructor(messages: readonly Input[]) {
    let bytes = 0;
    for (const { MessageBody: body, Message: text, MessageAttributes: attributes } of messages) {
      bytes += Buffer.byteLength(textOf(body ?? text) ?? "");
      for (const name in attributes) {
        const { DataType: type, StringValue: string, BinaryValue: binary } = attributes[name] ?? {};
        bytes += name.length + (textOf(type) ?? "").length + Buffer.byteLength(textOf(string) ?? "");
        if (binary instanceof Uint8Array) bytes += binary.byteLength;
      }
    }
    this.bytesLeft = (SIZE_LIMITS.find((limit) => bytes <= limit) ?? 0) - bytes;
  }

  take(bytes: number): boolean {
    if (bytes <= this.bytesLeft) {
      this.bytesLeft -= bytes;
      return true;
    }
    this.isExceeded = true;
    return false;
  }
}

/** A copy of the message that carries the context, as much of it as fits: `traceparent` first. The message itself where none does. */
function withContext(message: Input, carrier: Carrier, room: Room): Input {
  const existing = (message["MessageAttributes"] ?? {}) as Input;
  let count = Object.keys(existing).length;
  let attributes: Record<string, unknown> | undefined;
  for (const name in carrier) {
    const value = carrier[name] as string;
    // Forwarded attributes of the message this one came from are replaced: that one was another message.
    if (!(name in existing) && ++count > MAX_ATTRIBUTES) {
      count--;
      room.isExceeded = true;
      continue;
    }
    if (value === "" || !room.take(name.length + "String".length + Buffer.byteLength(value))) continue;
    attributes ??= { ...existing };
    attributes[name] = { DataType: "String", StringValue: value };
  }
  return attributes === undefined ? message : { ...message, MessageAttributes: attributes };
}

/** A copy of the command: same class, same middleware, other input. */
function withInput(command: Command, input: Input): Command {
  // Field by field, because the application may have frozen its own.
  const fields = Object.getOwnPropertyDescriptors(command) as PropertyDescriptorMap;
  fields["input"] = { value: input, writable: true, enumerable: true, configurable: true };
  return Object.create(Object.getPrototypeOf(command) as object, fields) as Command;
}

function hostOf(url: unknown): string | undefined {
  return typeof url === "string" ? /^https?:\/\/([^:/]+)/.exec(url)?.[1] : undefined;
}

// Receiving.

const RECEIVE_COUNT = "ApproximateReceiveCount";
const SENT_AT = "SentTimestamp";
const SYSTEM_ATTRIBUTES = [RECEIVE_COUNT, SENT_AT];

/** Has the command ask for the context and for what is told about deliveries, unless the application does. */
function askForAttributes(call: Call): void {
  const command = call.args[0] as Command;
  const { input } = command;
  const fields = call.state.kit.tracing.propagator.fields();
  const wanted: readonly unknown[] = listOf(input["MessageAttributeNames"]);
  const askedFor = (name: string): boolean =>
    wanted.some(
      (each) =>
        each === "All" ||
        each === ".*" ||
        each === name ||
        (typeof each === "string" && each.endsWith(".*") && name.startsWith(each.slice(0, -2))),
    );
  const messageAttributes = fields.filter((name) => !askedFor(name));
  // Two names for the same list; the older one has been there from the start.
  const key = input["MessageSystemAttributeNames"] === undefined ? "AttributeNames" : "MessageSystemAttributeNames";
  const names = [...listOf(input["AttributeNames"]), ...listOf(input["MessageSystemAttributeNames"])] as unknown[];
  const systemAttributes = names.includes("All") ? [] : SYSTEM_ATTRIBUTES.filter((name) => !names.includes(name));
  call.state.added = { messageAttributes, systemAttributes };
  call.args[0] = withInput(command, {
    ...input,
    MessageAttributeNames: [...wanted, ...messageAttributes],
    [key]: [...listOf(input[key]), ...systemAttributes],
  });
}

function describeReceived(span: OperationSpan, output: Input, call: Call, capture: Capture): void {
  const messages = listOf(output["Messages"]);
  const { kit, added } = call.state;
  const origins = messages.map((message) => originOfMessage(kit, message));
  const [only] = messages;
  if (messages.length !== 1 || only === undefined) describeBatch(span, messages.length, origins);
  else {
    const attributes = (only["Attributes"] ?? {}) as Input;
    describeMessage(span, textOf(only["MessageId"]), textOf(only["Body"]), capture);
    describeDelivery(span, origins[0] as Origin, numberOf(attributes[SENT_AT]), numberOf(attributes[RECEIVE_COUNT]));
  }
  // The answer is the SDK's own and nobody else has seen it yet.
  if (added !== undefined) for (const message of messages) removeAdded(message, added);
}

function removeAdded(message: Record<string, any>, { messageAttributes, systemAttributes }: Added): void {
  for (const [key, names] of [
    ["MessageAttributes", messageAttributes],
    ["Attributes", systemAttributes],
  ] as const) {
    const attributes = message[key] as Record<string, unknown> | undefined;
    if (attributes === undefined || names.length === 0) continue;
    const left = Object.entries(attributes).filter(([name]) => !names.includes(name));
    if (left.length === Object.keys(attributes).length) continue;
    message[key] = left.length === 0 ? undefined : Object.fromEntries(left);
    if (left.length === 0) delete message[key];
    // It is that of the attributes that were asked for.
    if (key === "MessageAttributes") delete message["MD5OfMessageAttributes"];
  }
}

/** Message attributes of SQS, or those of an SNS notification that is its body. */
function originOfMessage(kit: Kit, message: Input): Origin {
  const attributes = (message["MessageAttributes"] ?? {}) as Input;
  if (attributes["traceparent"] !== undefined) return originOf(kit, attributes, sqsGetter);
  const body: unknown = message["Body"];
  if (typeof body === "string" && body.length <= MAX_BODY && body.includes('"Notification"')) {
    try {
      const { Type: type, MessageAttributes: wrapped } = JSON.parse(body) as Input;
      if (type === "Notification" && typeof wrapped === "object" && wrapped !== null) {
        return originOf(kit, wrapped as Input, snsGetter);
      }
    } catch {
      // Not JSON, so no notification.
    }
  }
  return originOf(kit, attributes, sqsGetter);
}

const sqsGetter = {
  get: (attributes: Input, name: string): string | undefined => textOf(attributes[name]?.StringValue),
  keys: (attributes: Input): string[] => Object.keys(attributes),
};
const snsGetter = {
  get: (attributes: Input, name: string): string | undefined => textOf(attributes[name]?.Value),
  keys: (attributes: Input): string[] => Object.keys(attributes),
};

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function numberOf(value: unknown): number | undefined {
  const number = Number(value ?? Number.NaN);
  return Number.isFinite(number) ? number : undefined;
}

function listOf(value: unknown): Input[] {
  return Array.isArray(value) ? (value as Input[]) : [];
}
