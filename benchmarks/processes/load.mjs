// The load generator: raw sockets, for a general HTTP client costs more per request than the servers it would measure.
// It asks for one answer at a time on each connection, and only for answers that carry a content-length.
import { connect } from "node:net";

const idle = new Map();

process.on("message", async ({ id, ...order }) => {
  try {
    process.send({ id, answer: await run(order) });
  } catch (error) {
    process.send({ id, error: String(error) });
  }
});
process.on("disconnect", () => process.exit());

/** Sends `requests` over `connections`, as fast as the answers come, or at `perSecond` whatever the answers do: then a
 *  request's time counts from when it was due, so that a stall is seen by all who would have waited. */
async function run({ port, request, status, connections, requests, perSecond = Infinity }) {
  const bytes = Buffer.from(request);
  const clients = [];
  // Those of a server that has ended are dead, and another one may have got its port.
  const kept = (idle.get(port) ?? []).filter(({ socket }) => !socket.destroyed);
  while (clients.length < connections) clients.push(kept.pop() ?? (await open(port)));
  const latencies = new Float64Array(requests);
  let sent = 0;
  let answered = 0;
  const startedAt = performance.now();
  const dueAt = (index) => (perSecond === Infinity ? performance.now() : startedAt + (index * 1000) / perSecond);

  await new Promise((resolve, reject) => {
    const next = (client) => {
      if (sent === requests) return;
      const index = sent++;
      const due = dueAt(index);
      const wait = due - performance.now();
      if (wait > 0) setTimeout(() => ask(client, index, due), wait);
      else ask(client, index, due);
    };
    const ask = (client, index, due) => {
      client.onFailure = reject;
      client.onAnswer = (got) => {
        if (got !== status) return reject(new Error(`status ${got} instead of ${status}`));
        latencies[index] = performance.now() - due;
        if (++answered === requests) resolve();
        else next(client);
      };
      client.socket.write(bytes);
    };
    for (const client of clients) next(client);
  });

  const elapsedMillis = performance.now() - startedAt;
  for (const client of clients) kept.push(client);
  idle.set(port, kept);
  latencies.sort();
  return { elapsedMillis, p50Millis: latencies[requests >> 1], p99Millis: latencies[Math.floor(requests * 0.99)] };
}

function open(port) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const client = { socket, onAnswer: undefined, onFailure: reject };
    let pending = "";
    socket.setEncoding("latin1");
    socket.once("connect", () => resolve(client));
    socket.on("data", (text) => {
      pending = pending === "" ? text : pending + text;
      const head = pending.indexOf("\r\n\r\n");
      if (head < 0) return;
      const length = /\r\ncontent-length: (\d+)/i.exec(pending);
      if (length === null) return client.onFailure(new Error(`no content-length:\n${pending}`));
      if (pending.length < head + 4 + Number(length[1])) return;
      const status = Number(pending.slice(9, 12));
      pending = "";
      client.onAnswer(status);
    });
    socket.on("error", (error) => client.onFailure(error));
    socket.on("close", () => client.onFailure(new Error("the server closed the connection")));
  });
}
