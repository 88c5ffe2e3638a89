// Everything an application can do to a tracer: success, errors, slow answers, clients that leave, a pool too small for its
// callers, pipelines, a connection that stays, and loops that begin in a request and never end.
const { createServer } = require("node:http");
const { setTimeout: sleep } = require("node:timers/promises");
const express = require("express");
const { Redis } = require("ioredis");
const { Pool } = require("pg");
const undici = require("undici");
const { listen } = require("../apps/listen.cjs");

const redis = new Redis(process.env.REDIS_URL);
const pool = new Pool({ connectionString: process.env.POSTGRES_URL, max: 3 });
const upstream = `${process.env.UPSTREAM_URL}/rates`;
const app = express();
app.use(express.json());

app.get("/users/:id", (request, response) => response.json({ id: request.params.id }));
app.get("/cache/:id", async (request, response) => {
  const pipeline = redis.pipeline();
  for (let i = 0; i < 5; i++) pipeline.get(`bench:user:${i}`);
  await redis.set(`bench:soak:${request.params.id}`, "x", "EX", 5);
  response.json(await pipeline.exec());
});
app.get("/rows/:id", async (request, response) => {
  const { rows } = await pool.query("SELECT url FROM bench_urls WHERE id = $1", [request.params.id]);
  response.json(rows);
});
app.get("/transaction/:id", async (request, response) => {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    await client.query("SELECT url FROM bench_urls WHERE id = $1", [request.params.id]);
    await client.query("ROLLBACK");
  } finally {
    client.release();
  }
  response.json({});
});
app.get("/upstream", async (request, response) => {
  const answers = await Promise.all([fetch(upstream), fetch(upstream)]);
  const { body } = await undici.request(upstream);
  response.json([await body.json(), ...(await Promise.all(answers.map((answer) => answer.json())))]);
});
app.post("/orders", (request, response) => response.status(201).json({ lines: request.body.items.length }));
app.get("/slow", async (request, response) => {
  for (let i = 0; i < 5 && !response.destroyed; i++) {
    response.write(`part ${i}\n`);
    await sleep(Math.random() * 10);
  }
  response.end();
});

app.get("/error/thrown", () => {
  throw new Error("thrown by a handler");
});
app.get("/error/rejected", () => Promise.reject(new TypeError("rejected by a handler")));
app.get("/error/sql", () => pool.query("SELECT * FROM no_such_table WHERE id = $1", [1]));
app.get("/error/redis", () => redis.lpush("bench:user:1", "not a list"));
app.get("/error/upstream", () => fetch("http://127.0.0.1:1/"));
app.get("/error/aborted", async () => {
  await fetch(`${process.env.UPSTREAM_URL}/never`, { signal: AbortSignal.timeout(5) });
});
app.get("/hang", async (request, response) => {
  await new Promise((resolve) => response.once("close", resolve));
});

const loops = new Set();
app.get("/loop", (request, response) => {
  const loop = { stopped: false };
  loops.add(loop);
  void (async () => {
    while (!loop.stopped) {
      await redis.get("bench:user:1");
      await sleep(20);
    }
  })();
  response.json({ loops: loops.size });
});
const streams = new Set();
app.get("/events", (request, response) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const timer = setInterval(() => response.write("data: tick\n\n"), 50);
  streams.add({ timer, response });
});
app.use((error, request, response, _next) => {
  response.status(500).json({ error: error.message });
});

const server = createServer(app);
redis.once("ready", () => listen(server));

process.once("soak:leave", async () => {
  for (const loop of loops) loop.stopped = true;
  for (const { timer, response } of streams) {
    clearInterval(timer);
    response.end();
  }
  server.close();
  server.closeAllConnections();
  await undici.getGlobalDispatcher().close();
  await sleep(100);
  await pool.end();
  redis.disconnect();
});
