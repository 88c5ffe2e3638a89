import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import type { Operation } from "../src/instrumentation/operation.ts";
import { returned } from "../src/instrumentation/settlement.ts";
import {
  beginOperation,
  type BoundOperation,
  type OperationCall,
  recordFailure,
} from "../src/instrumentation/trace-operation.ts";
import {
  MESSAGING_MESSAGE_ID,
  MESSAGING_SYSTEM,
  NETWORK_TRANSPORT,
  SERVER_ADDRESS,
  SERVER_PORT,
  TRACEKIT_BULLMQ_JOB_NAME,
  TRACEKIT_MESSAGING_OUTCOME,
} from "../src/semconv/attributes.ts";
import { AttributeBlock } from "../src/trace/attributes.ts";
import { ROOT_CONTEXT, type TraceContext } from "../src/trace/context.ts";
import { KIND_CONSUMER, KIND_PRODUCER } from "../src/trace/span-kind.ts";
import {
  type Carrier,
  carrierOf,
  describeBatch,
  describeDelivery,
  describeDestination,
  describeMessage,
  type Origin,
  originOf,
  PROCESS,
  runHandler,
  SEND,
} from "./shared/messaging.ts";

/*
 * BullMQ: a job or several that are added, and each attempt to process one. The Redis commands behind them, and those of a
 * worker's and of QueueEvents' loops, are no spans; those of the application's other calls (getters, `job.log`) are.
 *
 * - Context travels where BullMQ's own telemetry puts it, in the option `telemetry.metadata` (`tm` in Redis): data stays as it
 *   is. In processes without Tracekit, `job.opts` shows it; with it, it does not.
 * - Queues, workers and flow producers that have the option `telemetry` are left to it.
 * - Several jobs added at once (addBulk, a flow) are one span, whose child each of them becomes.
 * - The jobs of a scheduler, and repeated ones, start traces of their own: the call that set them up would have no end of
 *   children.
 * - Listeners of a worker's events about a job run in the job's trace.
 * - A sandboxed processor has its span here; what it does in its own process is not below it.
 * - Jobs fetched by hand (`getNextJob`) are not traced.
 */

const VERSIONS = ">=3 <7";

const bullmq: Instrumentation = defineInstrumentation({
  name: "bullmq",
  modules: [
    { name: "bullmq", versions: VERSIONS, file: "dist/cjs/classes/job.js", patch: patchJob },
    { name: "bullmq", versions: VERSIONS, file: "dist/cjs/classes/queue.js", patch: patchQueue },
    { name: "bullmq", versions: VERSIONS, file: "dist/cjs/classes/queue-base.js", patch: patchQueueBase },
    { name: "bullmq", versions: VERSIONS, file: "dist/cjs/classes/flow-producer.js", patch: patchFlowProducer },
    { name: "bullmq", versions: VERSIONS, file: "dist/cjs/classes/queue-events.js", patch: patchQueueEvents },
    { name: "bullmq", versions: VERSIONS, file: "dist/cjs/classes/worker.js", patch: patchWorker },
  ],
});
export default bullmq;

// As much of the library as is relied on here (3 to 6).

/** A queue, worker or flow producer. */
interface Owner {
  readonly name?: string;
  readonly opts?: { readonly connection?: unknown; readonly telemetry?: unknown };
}

interface Job {
  readonly id?: unknown;
  readonly name: string;
  readonly data: unknown;
  readonly opts: JobOptions;
  readonly timestamp: number;
  readonly repeatJobKey?: unknown;
  /** When it fails; up to version 4 when it starts. */
  readonly attemptsMade: number;
  /** From version 5. */
  readonly attemptsStarted?: number;
}

interface JobOptions {
  telemetry?: { metadata?: unknown; omitContext?: unknown };
  tm?: unknown;
  omc?: unknown;
  repeat?: unknown;
}

interface JobJson {
  readonly data?: string;
  opts: JobOptions;
}

interface Flow {
  readonly name?: string;
  readonly queueName?: string;
  readonly children?: readonly Flow[];
}

type JobClass = object & { readonly prototype: object };

/** What the files of one bullmq need together. */
interface Shared {
  readonly kit: Kit;
  readonly send: BoundOperation<unknown, Sending>;
  readonly process: BoundOperation<unknown, Processing>;
  /** What came with a job that a worker has fetched, until it is processed. */
  readonly arrivals: WeakMap<object, Arrival>;
  /** Where a processed job's events belong. */
  readonly contexts: WeakMap<object, TraceContext>;
}

/** Jobs on their way to Redis. */
interface Sending {
  readonly queue: string;
  readonly count: number;
  /** Undefined for several. */
  readonly jobName: string | undefined;
  carrier: Carrier | undefined;
  call: OperationCall<Sending> | undefined;
}

interface Arrival {
  readonly carrier: Carrier | undefined;
  /** The data as it was sent. */
  readonly data: string | undefined;
}

interface Processing {
  job: Job | undefined;
  readonly data: string | undefined;
  readonly origin: Origin;
}

/** The jobs that are being serialized in a context. */
const kSending: unique symbol = Symbol("tracekit.sending");
/** Marks the context of the library's own loops. */
const kLoop: unique symbol = Symbol("tracekit.loop");
const LOOP = ROOT_CONTEXT.suppress().setValue(kLoop, true);

const sharedByKit = new WeakMap<Kit, Shared>();

function sharedOf(kit: Kit): Shared {
  let shared = sharedByKit.get(kit);
  if (shared === undefined) {
    shared = {
      kit,
      send: kit.bind(sendOperation(kit)),
      process: kit.bind(processOperation),
      arrivals: new WeakMap(),
      contexts: new WeakMap(),
    };
    sharedByKit.set(kit, shared);
  }
  return shared;
}

// Adding.

function patchJob({ Job }: { readonly Job: JobClass }, kit: Kit): void {
  const shared = sharedOf(kit);
  // Every way to add jobs but flows and schedulers comes through these two.
  kit.wrap(
    Job,
    "create",
    (original) =>
      function (this: unknown, ...args: any[]): unknown {
        const [queue, name] = args as [Owner, string];
        return send(shared, queue, queue?.name, 1, name, original, this, args);
      },
  );
  kit.wrap(
    Job,
    "createBulk",
    (original) =>
      function (this: unknown, ...args: any[]): unknown {
        const [queue, jobs] = args as [Owner, ReadonlyArray<{ name?: string }>];
        const count = jobs?.length ?? 0;
        return send(shared, queue, queue?.name, count, count === 1 ? jobs[0]?.name : undefined, original, this, args);
      },
  );
  kit.wrap(
    Job.prototype,
    "asJSON",
    (original) =>
      function (this: Job): JobJson {
        const json = original.call(this) as JobJson;
        const sending = kit.tracing.active().getValue(kSending) as Sending | undefined;
        if (sending !== undefined) kit.owner.safely("a job's options", () => addContext(this, json, sending, kit));
        return json;
      },
  );
  kit.wrap(
    Job,
    "fromJSON",
    (original) =>
      function (this: unknown, ...args: any[]): unknown {
        const job: unknown = Reflect.apply(original, this, args);
        kit.owner.safely("a job's arrival", () => arrive(shared, args[0] as object, args[1] as JobJson, job as Job));
        return job;
      },
  );
}

function patchQueue({ Queue }: { readonly Queue: JobClass }, kit: Kit): void {
  const shared = sharedOf(kit);
  kit.wrap(
    Queue.prototype,
    "upsertJobScheduler",
    (original) =>
      function (this: Owner, ...args: any[]): unknown {
        const name = (args[2] as { name?: string } | undefined)?.name ?? (args[0] as string);
        return send(shared, this, this.name, 1, name, original, this, args);
      },
  );
}

function patchFlowProducer({ FlowProducer }: { readonly FlowProducer: JobClass }, kit: Kit): void {
  const shared = sharedOf(kit);
  for (const method of ["add", "addBulk"]) {
    kit.wrap(
      FlowProducer.prototype,
      method,
      (original) =>
        function (this: Owner, ...args: any[]): unknown {
          const flows = (Array.isArray(args[0]) ? args[0] : [args[0]]) as Flow[];
          const count = countJobs(flows);
          const name = count === 1 ? flows[0]?.name : undefined;
          return send(shared, this, flows[0]?.queueName, count, name, original, this, args);
        },
    );
  }
}

function send(
  shared: Shared,
  owner: Owner,
  queue: string | undefined,
  count: number,
  jobName: string | undefined,
  original: (...args: any[]) => unknown,
  self: unknown,
  args: any[],
): unknown {
  const { kit } = shared;
  const { tracing } = kit;
  if (owner?.opts?.telemetry) return Reflect.apply(original, self, args);
  const sending: Sending = { queue: String(queue), count, jobName, carrier: undefined, call: undefined };
  const call = beginOperation(shared.send, owner, [], sending);
  if (call === undefined && sending.carrier === undefined) return Reflect.apply(original, self, args);
  sending.call = call;
  const context = (call?.context ?? tracing.active()).suppress().setValue(kSending, sending);
  let result: unknown;
  try {
    result = tracing.run(context, original, self, args);
  } catch (error) {
    call?.fail(error);
    throw error;
  }
  return call === undefined ? result : (returned.after as NonNullable<typeof returned.after>)(call, result);
}

/** `json` is the library's own, its options may be the application's. */
function addContext(job: Job, json: JobJson, { carrier, call, count }: Sending, kit: Kit): void {
  if (count === 1 && call?.recording === true && !call.isSettled) {
    describeMessage(call.span, undefined, json.data, kit.capture);
  }
  const { opts } = json;
  if (carrier === undefined || opts === undefined || opts.repeat !== undefined || job.repeatJobKey !== undefined)
    return;
  if (opts.tm !== undefined || opts.omc !== undefined || opts.telemetry !== undefined) return;
  // Every version keeps an option it does not know.
  json.opts = { ...opts, tm: JSON.stringify({ ...carrier, [OURS]: 1 }) };
}

function sendOperation(kit: Kit): Operation<unknown, Sending> {
  return {
    title: "bullmq add",
    kind: KIND_PRODUCER,
    leaf: true,
    start(span, { state, self }, capture) {
      describeDestination(span, SEND, state.queue, capture);
      span.attributeBlock(brokerOf(self).block);
      if (state.jobName !== undefined) span.attribute(TRACEKIT_BULLMQ_JOB_NAME, capture.text(String(state.jobName)));
      if (state.count !== 1) describeBatch(span, state.count);
    },
    inject(call) {
      call.state.carrier = carrierOf(kit, call.context, brokerOf(call.self).host);
    },
    finish(span, result, { state }, capture) {
      if (state.count !== 1) return;
      const [first] = (Array.isArray(result) ? result : [result]) as Array<{ id?: unknown; job?: Job } | undefined>;
      const id = (first?.job ?? first)?.id;
      if (id !== undefined) span.attribute(MESSAGING_MESSAGE_ID, capture.text(String(id)));
    },
  };
}

/** Jobs in all levels of these flows. */
function countJobs(flows: readonly Flow[]): number {
  let count = 0;
  for (const flow of flows) count += 1 + (Array.isArray(flow?.children) ? countJobs(flow.children as Flow[]) : 0);
  return count;
}

// Processing.

function patchWorker({ Worker }: { readonly Worker: JobClass }, kit: Kit): void {
  const shared = sharedOf(kit);
  const { tracing } = kit;
  patchLoop(Worker, kit);
  kit.wrap(
    Worker.prototype,
    "callProcessJob",
    (original) =>
      function (this: Owner, ...args: any[]): unknown {
        const call = beginProcess(shared, this, args[0] as Job);
        if (call !== undefined) return runHandler(kit, call, original, this, args);
        if (!isInLoop(kit)) return Reflect.apply(original, this, args);
        return tracing.run(ROOT_CONTEXT, original, this, args);
      },
  );
}

function patchQueueEvents({ QueueEvents }: { readonly QueueEvents: JobClass }, kit: Kit): void {
  patchLoop(QueueEvents, kit);
}

/** Without this a worker that has nothing to do would make traces all day. */
function patchLoop({ prototype }: JobClass, kit: Kit): void {
  kit.wrap(
    prototype,
    "run",
    (original) =>
      function (this: Owner, ...args: any[]): unknown {
        if (!kit.owner.enabled || this.opts?.telemetry) return Reflect.apply(original, this, args);
        return kit.tracing.run(LOOP, original, this, args);
      },
  );
}

function patchQueueBase({ QueueBase }: { readonly QueueBase: JobClass }, kit: Kit): void {
  const { contexts } = sharedOf(kit);
  kit.wrap(
    QueueBase.prototype,
    "emit",
    (original) =>
      function (this: unknown, ...args: any[]): unknown {
        // Listeners are the application's: only the loop they are called from is not to be traced.
        if (!isInLoop(kit)) return Reflect.apply(original, this, args);
        const job: unknown = args[1];
        const context = typeof job === "object" && job !== null ? contexts.get(job) : undefined;
        return kit.tracing.run(context ?? ROOT_CONTEXT, original, this, args);
      },
  );
}

function isInLoop({ tracing }: Kit): boolean {
  return tracing.active().getValue(kLoop) === true;
}

/** In the metadata of a job: it is ours, and no other telemetry's. */
const OURS = "tracekit";

/** Takes our part of a job's options away, so that the application finds what it has put there. */
function arrive({ arrivals }: Shared, queue: object, json: JobJson, job: Job): void {
  const { opts } = job;
  const metadata = opts?.telemetry?.metadata ?? opts?.tm;
  const carrier = typeof metadata === "string" ? parseCarrier(metadata) : undefined;
  if (carrier !== undefined && OURS in carrier) {
    if (opts.tm === metadata) delete opts.tm;
    else delete opts.telemetry;
  }
  // Others only look at jobs; they may hold very many.
  if (!("callProcessJob" in queue)) return;
  arrivals.set(job, { carrier, data: typeof json?.data === "string" ? json.data : undefined });
}

const MAX_METADATA_CHARS = 16_384;

/** Undefined for what is no carrier. BullMQ's own OpenTelemetry package writes the same. */
function parseCarrier(metadata: string): Carrier | undefined {
  if (metadata.length > MAX_METADATA_CHARS) return undefined;
  try {
    const parsed: unknown = JSON.parse(metadata);
    return typeof parsed === "object" && parsed !== null ? (parsed as Carrier) : undefined;
  } catch {
    return undefined;
  }
}

function beginProcess(shared: Shared, worker: Owner, job: Job): OperationCall<Processing> | undefined {
  if (worker.opts?.telemetry) return undefined;
  const { arrivals, kit, contexts } = shared;
  const arrival = arrivals.get(job);
  arrivals.delete(job);
  const state: Processing = { job, data: arrival?.data, origin: originOf(kit, arrival?.carrier) };
  const call = beginOperation(shared.process, worker, [], state, ROOT_CONTEXT);
  state.job = undefined;
  if (call !== undefined) contexts.set(job, call.context);
  return call;
}

const processOperation: Operation<unknown, Processing> = {
  title: "bullmq job",
  kind: KIND_CONSUMER,
  leaf: false,
  parent: (call) => call.state.origin.parent,
  start(span, { state, self }, capture) {
    const job = state.job as Job;
    describeDestination(span, PROCESS, String((self as Owner).name), capture);
    span.attributeBlock(brokerOf(self as Owner).block);
    span.attribute(TRACEKIT_BULLMQ_JOB_NAME, capture.text(String(job.name)));
    describeMessage(span, job.id === undefined ? undefined : String(job.id), state.data, capture);
    describeDelivery(span, state.origin, job.timestamp, job.attemptsStarted || job.attemptsMade || 1);
  },
  fail(span, error) {
    if (isPostponed(error)) span.attribute(TRACEKIT_MESSAGING_OUTCOME, "requeue");
    else recordFailure(span, error);
  },
};

const POSTPONING = new Set(["DelayedError", "WaitingError", "WaitingChildrenError", "RateLimitError"]);

/** A processor throws these to have the job come again: nothing has failed. */
function isPostponed(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return POSTPONING.has(error.name) || error.message === "bullmq:rateLimitExceeded";
}

// Helpers.

interface Broker {
  readonly host: string | undefined;
  readonly block: AttributeBlock;
}

const brokers = new WeakMap<object, Broker>();

function brokerOf(owner: Owner): Broker {
  let broker = brokers.get(owner);
  if (broker === undefined) brokers.set(owner, (broker = describeBroker(owner)));
  return broker;
}

interface ConnectionOptions {
  readonly host?: string;
  readonly port?: number;
  readonly path?: string | null;
  readonly url?: string;
  readonly sentinels?: unknown;
  /** Of node-redis. */
  readonly socket?: { readonly host?: string; readonly port?: number };
}

function describeBroker({ opts }: Owner): Broker {
  const connection = opts?.connection as
    | (ConnectionOptions & { options?: ConnectionOptions; isCluster?: boolean })
    | undefined;
  const { host, port, path, url, sentinels, socket } = connection?.options ?? connection ?? {};
  let address: string | undefined;
  let number: number | undefined;
  if (path) address = path;
  else if (url !== undefined && URL.canParse(url)) {
    const parsed = new URL(url);
    address = parsed.hostname;
    number = Number(parsed.port) || undefined;
  } else if (connection !== undefined && !sentinels && connection.isCluster !== true) {
    address = host ?? socket?.host ?? "localhost";
    number = port ?? socket?.port;
  }
  const block = new AttributeBlock({
    [MESSAGING_SYSTEM]: "bullmq",
    [SERVER_ADDRESS]: address,
    [SERVER_PORT]: number === 6379 ? undefined : number,
    [NETWORK_TRANSPORT]: path ? "unix" : undefined,
  });
  return { host: address, block };
}
