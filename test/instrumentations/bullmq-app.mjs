// The applications of bullmq.test.ts: what `messaging-app.cjs` asks for, and what is special about BullMQ. All of the
// latter runs in the publisher's process, workers included.
import bullmq from "bullmq";
import messaging from "./messaging-app.cjs";
import scenarios from "./scenarios-app.cjs";

const { describeError, failureOf, print, scenario, sleep, spanId, tracer } = scenarios;
const { hostname, port } = new URL(process.env.REDIS_URL);
const connection = { host: hostname, port: Number(port) };
// Delayed jobs and closing wait for a worker's blocking command, in older versions until it times out.
const drainDelay = 0.2;

let name;
let queue;
let worker;

const work = (what) => tracer.startActiveSpan(`work ${what}`, (span) => span.end());

/** What an application may look at in a job; ids of the library's making depend on the order. */
const shapeOf = (job) => ({
  class: job.constructor.name,
  keys: Object.keys(job).sort(),
  name: job.name,
  data: job.data,
  opts: { ...job.opts, timestamp: undefined, prevMillis: undefined, jobId: undefined },
  attemptsMade: job.attemptsMade,
});

/** Waits until `worker` has processed `count` jobs, or failed for good. */
function processed(on, count) {
  return new Promise((resolve) => {
    let done = 0;
    const onDone = () => ++done === count && resolve();
    on.on("completed", onDone);
    on.on("failed", (job) => job.attemptsMade >= (job.opts.attempts || 1) && onDone());
  });
}

async function ownScenarios() {
  const own = new bullmq.Queue(`${name}_own`, { connection });
  let handler;
  const options = { connection, drainDelay, concurrency: 5 };
  const ownWorker = new bullmq.Worker(`${name}_own`, (job, token) => handler(job, token), options);
  await Promise.all([own.waitUntilReady(), ownWorker.waitUntilReady()]);

  await scenario("options", async (note, where) => {
    let inHandler;
    handler = (job) => void (inHandler = shapeOf(job));
    const done = processed(ownWorker, 1);
    const data = Object.freeze({ a: 1 });
    const jobOptions = Object.freeze({ attempts: 3, backoff: { type: "fixed", delay: 1 }, custom: "own" });
    const job = await own.add("options", data, jobOptions);
    where();
    note(shapeOf(job), data, jobOptions);
    await done;
    note(inHandler, shapeOf(await own.getJob(job.id)));
  });

  await scenario("attempts", async (note) => {
    const done = processed(ownWorker, 1);
    handler = async (job) => {
      work(`attempt ${job.name}`);
      throw new Error("every time");
    };
    await own.add("attempts", {}, { attempts: 3 });
    await done;
    note("failed");
  });

  await scenario("delayed", async () => {
    const done = processed(ownWorker, 1);
    handler = () => "done";
    await own.add("delayed", {}, { delay: 30 });
    await done;
  });

  await scenario("bulk", async (note) => {
    const done = processed(ownWorker, 3);
    handler = (job) => work(`bulk ${job.data.index}`);
    const jobs = await own.addBulk([0, 1, 2].map((index) => ({ name: "bulk", data: { index } })));
    note(jobs.map(shapeOf));
    await done;
  });

  await scenario("bulk of one", async () => {
    const done = processed(ownWorker, 1);
    handler = () => {};
    await own.addBulk([{ name: "single", data: { one: 1 }, opts: { jobId: "bulk-one" } }]);
    await done;
  });

  await scenario("flow", async (note, where) => {
    const done = processed(ownWorker, 3);
    handler = async (job) => {
      work(`flow ${job.name}`);
      return job.name;
    };
    const flows = new bullmq.FlowProducer({ connection });
    const children = ["left", "right"].map((child) => ({ name: child, queueName: `${name}_own`, data: {} }));
    const tree = await flows.add({ name: "root", queueName: `${name}_own`, data: {}, children });
    where();
    note(Object.keys(tree), tree.children.length, tree.job.name);
    await done;
    await flows.close();
  });

  if (bullmq.DelayedError !== undefined) {
    await scenario("postponed", async () => {
      const done = processed(ownWorker, 1);
      let rounds = 0;
      handler = async (job, token) => {
        if (++rounds > 1) return;
        await job.moveToDelayed(Date.now() + 10, token);
        throw new bullmq.DelayedError();
      };
      await own.add("postponed", {});
      await done;
    });
  }

  await scenario("events", async (note) => {
    handler = async () => {
      await sleep(1);
      return "result";
    };
    const listened = new Promise((resolve) => {
      ownWorker.once("completed", (job, result) => {
        work("listener");
        resolve(result);
      });
    });
    await own.add("events", {});
    note(await listened);
  });

  await scenario("results", async (note) => {
    handler = () => ({ sum: 3 });
    const events = new bullmq.QueueEvents(`${name}_own`, { connection });
    await events.waitUntilReady();
    const job = await own.add("results", {});
    note(await job.waitUntilFinished(events, 10_000));
    handler = () => Promise.reject(new TypeError("not today"));
    const failing = await own.add("results", {});
    note(describeError(await failureOf(() => failing.waitUntilFinished(events, 10_000))));
    await events.close();
  });

  if (own.upsertJobScheduler !== undefined) {
    await scenario("scheduler", async (note) => {
      let runs = 0;
      const twice = new Promise((resolve) => {
        handler = (job) => {
          work(`run ${job.name}`);
          if (++runs === 2) resolve();
        };
      });
      const job = await own.upsertJobScheduler("every", { every: 50 }, { name: "tick", data: { a: 1 } });
      note(job.name);
      await twice;
      await own.removeJobScheduler("every");
      await sleep(20);
    });
  }

  await scenario("telemetry of its own", async (note) => {
    const span = new Proxy({}, { get: () => () => span });
    const contextManager = {
      with: (_context, run) => run(),
      active: () => ({}),
      getMetadata: () => "mine",
      fromMetadata: () => ({}),
    };
    const telemetry = { tracer: { startSpan: () => span }, contextManager };
    const traced = new bullmq.Queue(`${name}_telemetry`, { connection, telemetry });
    const tracedWorker = new bullmq.Worker(`${name}_telemetry`, (job) => note(shapeOf(job)), { ...options, telemetry });
    await tracedWorker.waitUntilReady();
    const done = processed(tracedWorker, 1);
    await traced.add("telemetry", {});
    await done;
    await tracedWorker.close();
    await traced.close();
  });

  await ownWorker.close();
  await own.close();
}

messaging.runMessaging({
  redelivers: true,
  async open(destination) {
    name = destination;
    if (process.env.ROLE === "consumer") return;
    queue = new bullmq.Queue(name, { connection });
    await queue.waitUntilReady();
  },
  async consume(handler) {
    const options = { connection, drainDelay, concurrency: 10 };
    worker = new bullmq.Worker(name, (job) => handler({ body: JSON.stringify(job.data) }), options);
    await worker.waitUntilReady();
    // A worker with nothing to do.
    await sleep(200);
    worker.on("active", () => spanId() !== undefined && print("active in a context", []));
  },
  publish: (body, { id }) => queue.add("created", JSON.parse(body), { jobId: id, attempts: 2 }),
  shape: shapeOf,
  publishFailing: () => queue.add("created", { text: "too long" }, { sizeLimit: 3 }),
  own: (role) => (role === "publisher" ? ownScenarios() : undefined),
  functions: () => {
    const { Job, Queue, Worker, FlowProducer, QueueEvents } = bullmq;
    return [
      ...[Job.create, Job.createBulk, Job.fromJSON, Job.prototype.asJSON, Queue.prototype.add, Queue.prototype.emit],
      ...[Worker.prototype.run, Worker.prototype.callProcessJob, FlowProducer.prototype.add, QueueEvents.prototype.run],
    ];
  },
  close: () => (worker ?? queue).close(),
});
