const { createServer } = require("node:http");
const express = require("express");
const { Redis } = require("ioredis");
const { Pool } = require("pg");
const undici = require("undici");
const { listen } = require("./listen.cjs");

const redis = new Redis(process.env.REDIS_URL);
const pool = new Pool({ connectionString: process.env.POSTGRES_URL, idleTimeoutMillis: 0 });
const upstream = `${process.env.UPSTREAM_URL}/rates`;

const app = express();
app.get("/urls/:id", async (request, response) => {
  const { id } = request.params;
  const cached = await redis.get(`bench:user:${id}`);
  const { rows } = await pool.query("SELECT id, url FROM bench_urls WHERE id = $1 AND owner = $2", [`u${id}`, "ada"]);
  const counted = await pool.query("SELECT count(*)::int AS urls FROM bench_urls WHERE owner = $1", ["ada"]);
  const { body } = await undici.request(upstream);
  const { rates } = await body.json();
  await redis.set(`bench:seen:${id}`, "yes", "EX", 600);
  response.json({ id, url: rows[0].url, urls: counted.rows[0].urls, cached: cached.length, rates: rates.length });
});
redis.once("ready", () => listen(createServer(app)));
