// Sends a mix of requests: some are abandoned, some fail, some are slow, many share a connection.
import { setTimeout as sleep } from "node:timers/promises";
import { Pool, request } from "undici";

const order = JSON.stringify({ customer: "c_1", items: Array.from({ length: 20 }, (_, sku) => ({ sku, count: 1 })) });
const kinds = [
  { share: 30, path: (n) => `/users/${n}`, status: 200, isPipelined: true },
  { share: 15, path: (n) => `/cache/${n % 500}`, status: 200, isPipelined: true },
  { share: 12, path: (n) => `/rows/u${n % 10}`, status: 200 },
  { share: 3, path: (n) => `/transaction/u${n % 10}`, status: 200 },
  { share: 8, path: () => "/upstream", status: 200 },
  { share: 12, path: () => "/orders", status: 201, method: "POST", body: order },
  { share: 3, path: () => "/slow", status: 200 },
  { share: 3, path: () => "/error/thrown", status: 500, isPipelined: true },
  { share: 2, path: () => "/error/rejected", status: 500 },
  { share: 2, path: () => "/error/sql", status: 500 },
  { share: 2, path: () => "/error/redis", status: 500 },
  { share: 1, path: () => "/error/upstream", status: 500 },
  { share: 1, path: () => "/error/aborted", status: 500 },
  { share: 1, path: (n) => `/unknown/${n}`, status: 404 },
  { share: 2, path: () => "/slow", isAbandoned: true },
  { share: 1, path: () => "/hang", isAbandoned: true },
  { share: 1, path: (n) => `/rows/u${n % 10}`, isAbandoned: true },
  { share: 1, path: () => "/upstream", isAbandoned: true },
];
const deck = kinds.flatMap((kind) => Array(kind.share).fill(kind));
let pools;

const answers = {
  async begin({ port, loops }) {
    const origin = `http://127.0.0.1:${port}`;
    pools = {
      plain: new Pool(origin, { connections: 16 }),
      pipelined: new Pool(origin, { connections: 4, pipelining: 8 }),
    };
    for (let i = 0; i < loops; i++) await (await request(`${origin}/loop`)).body.dump();
    // Stays open to the end.
    const events = await request(`${origin}/events`);
    events.body.on("data", () => {}).on("error", () => {});
  },
  /** Sends that many and gives what went wrong. */
  async send({ requests }) {
    const wrong = new Map();
    let left = requests;
    let sent = 0;
    const worker = async () => {
      while (left-- > 0) {
        const problem = await send(deck[Math.floor(Math.random() * deck.length)], sent++);
        if (problem !== undefined) wrong.set(problem, (wrong.get(problem) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: 48 }, worker));
    return Object.fromEntries(wrong);
  },
};

process.on("message", async ({ id, ask, ...options }) => {
  try {
    process.send({ id, answer: await answers[ask](options) });
  } catch (error) {
    process.send({ id, error: String(error) });
  }
});
process.on("disconnect", () => process.exit());

async function send(kind, number) {
  const { status, isAbandoned, isPipelined, method = "GET", body } = kind;
  const path = kind.path(number);
  const abort = new AbortController();
  try {
    const sending = pools[isPipelined ? "pipelined" : "plain"].request({
      path,
      method,
      body,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      signal: abort.signal,
    });
    if (isAbandoned) void sleep(Math.random() * 15).then(() => abort.abort());
    const answer = await sending;
    await answer.body.dump();
    if (!isAbandoned && answer.statusCode !== status) return `${path.split("/", 3).join("/")}: ${answer.statusCode}`;
  } catch (error) {
    if (!isAbandoned) return `${path.split("/", 3).join("/")}: ${error.message}`;
  }
  return undefined;
}
