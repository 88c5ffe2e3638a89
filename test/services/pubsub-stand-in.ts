import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadPackageDefinition, Server, ServerCredentials, status } from "@grpc/grpc-js";
import type { sendUnaryData, ServerDuplexStream, ServiceClientConstructor } from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";
import type { Service } from "./service.ts";

interface Message {
  readonly messageId: string;
  readonly orderingKey?: string;
}

interface Subscription {
  readonly streams: Set<ServerDuplexStream<unknown, unknown>>;
  readonly waiting: Array<{ message: Message; attempt: number }>;
}

/**
 * A stand-in for Google's Pub/Sub server: the real protocol, but not the real server. It has every topic but "missing", each with
 * one subscription of the same name, and delivers a message again when it is refused. `libraries` holds the
 * `@google-cloud/pubsub` whose protocol definition it speaks.
 */
export async function startPubSubStandIn(libraries: string): Promise<Service> {
  const protos = join(libraries, "node_modules/@google-cloud/pubsub/build/protos/protos.json");
  const definition = fromJSON(JSON.parse(readFileSync(protos, "utf8")) as Parameters<typeof fromJSON>[0], {
    longs: String,
  });
  const root = loadPackageDefinition(definition) as unknown as {
    google: { pubsub: { v1: Record<"Publisher" | "Subscriber", ServiceClientConstructor> } };
  };
  const { Publisher, Subscriber } = root.google.pubsub.v1;

  const subscriptions = new Map<string, Subscription>();
  const inFlight = new Map<string, { message: Message; attempt: number; from: Subscription }>();
  let lastId = 0;

  function subscriptionOf(path: string): Subscription {
    const name = path.slice(path.lastIndexOf("/") + 1);
    let subscription = subscriptions.get(name);
    if (subscription === undefined) subscriptions.set(name, (subscription = { streams: new Set(), waiting: [] }));
    return subscription;
  }

  function deliver(from: Subscription): void {
    const [stream] = from.streams;
    if (stream === undefined) return;
    for (const { message, attempt } of from.waiting.splice(0)) {
      const ackId = `ack-${++lastId}`;
      inFlight.set(ackId, { message, attempt, from });
      stream.write({ receivedMessages: [{ ackId, message, deliveryAttempt: attempt }] });
    }
  }

  const server = new Server();
  server.addService(Publisher.service, {
    publish({ request }: { request: { topic: string; messages: object[] } }, answer: sendUnaryData<unknown>) {
      if (request.topic.endsWith("/missing")) return answer({ code: status.NOT_FOUND, details: "Topic not found" });
      const subscription = subscriptionOf(request.topic);
      const millis = Date.now();
      const publishTime = { seconds: String(Math.floor(millis / 1000)), nanos: (millis % 1000) * 1e6 };
      const messages = request.messages.map((message) => ({ ...message, messageId: String(++lastId), publishTime }));
      answer(null, { messageIds: messages.map(({ messageId }) => messageId) });
      for (const message of messages) subscription.waiting.push({ message, attempt: 1 });
      deliver(subscription);
    },
  });
  server.addService(Subscriber.service, {
    streamingPull(stream: ServerDuplexStream<{ subscription: string }, unknown>) {
      let subscription: Subscription | undefined;
      stream.on("data", (request: { subscription: string }) => {
        if (request.subscription === "") return;
        subscription = subscriptionOf(request.subscription);
        subscription.streams.add(stream);
        deliver(subscription);
      });
      const leave = (): void => {
        subscription?.streams.delete(stream);
      };
      stream.on("cancelled", leave).on("error", leave);
      stream.on("end", () => {
        leave();
        stream.end();
      });
    },
    acknowledge({ request }: { request: { ackIds: string[] } }, answer: sendUnaryData<unknown>) {
      for (const ackId of request.ackIds) inFlight.delete(ackId);
      answer(null, {});
    },
    modifyAckDeadline(
      { request }: { request: { ackIds: string[]; ackDeadlineSeconds: number } },
      answer: sendUnaryData<unknown>,
    ) {
      answer(null, {});
      for (const ackId of request.ackDeadlineSeconds === 0 ? request.ackIds : []) {
        const refused = inFlight.get(ackId);
        if (refused === undefined) continue;
        inFlight.delete(ackId);
        refused.from.waiting.push({ message: refused.message, attempt: refused.attempt + 1 });
        deliver(refused.from);
      }
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => server.forceShutdown(),
  };
}
