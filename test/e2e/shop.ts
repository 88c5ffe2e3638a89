/** One small application in every form an application can have: a route that asks PostgreSQL, Redis and another service. */

const BODY = `
const pool = new pg.Pool({ connectionString: process.env.POSTGRES_URL });
const redis = new Redis(process.env.REDIS_URL);
const app = express();
app.get("/price", (request, response) => response.json({ price: 7 }));
app.get("/items/:id", async (request, response) => {
  const { rows } = await pool.query("SELECT $1::int + 1 AS next", [request.params.id]);
  await redis.get("items:" + request.params.id);
  const price = await (await fetch("http://127.0.0.1:" + server.address().port + "/price")).json();
  response.json({ ...rows[0], ...price });
});
const server = app.listen(0, "127.0.0.1", () => console.log("listening " + server.address().port));
process.on("SIGTERM", () => server.close(async () => {
  await pool.end();
  redis.disconnect();
  server.closeAllConnections();
}));
`;

/** The application's source text in one module system. */
export const SHOP: Readonly<Record<"cjs" | "esm" | "esm requiring", { type: "cjs" | "esm"; code: string }>> = {
  cjs: {
    type: "cjs",
    code: `const express = require("express"); const pg = require("pg"); const Redis = require("ioredis");${BODY}`,
  },
  esm: {
    type: "esm",
    code: `import express from "express"; import pg from "pg"; import { Redis } from "ioredis";${BODY}`,
  },
  "esm requiring": {
    type: "esm",
    code: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);
import express from "express"; const pg = require("pg"); const Redis = require("ioredis");${BODY}`,
  },
};

/** The same in TypeScript, with what type stripping can erase. */
export const SHOP_TYPESCRIPT = `
import express, { type Request, type Response } from "express"; import pg from "pg"; import { Redis } from "ioredis";
const pool: pg.Pool = new pg.Pool({ connectionString: process.env["POSTGRES_URL"] as string });
interface Item { next: number }
const redis = new Redis(process.env["REDIS_URL"] as string);
const app = express();
app.get("/price", (request: Request, response: Response) => response.json({ price: 7 }));
app.get("/items/:id", async (request: Request, response: Response) => {
  const { rows } = await pool.query<Item>("SELECT $1::int + 1 AS next", [request.params["id"]]);
  await redis.get("items:" + request.params["id"]);
  const port = (server.address() as { port: number }).port;
  response.json({ ...rows[0], ...(await (await fetch("http://127.0.0.1:" + port + "/price")).json() as object) });
});
const server = app.listen(0, "127.0.0.1", () => console.log("listening " + (server.address() as { port: number }).port));
process.on("SIGTERM", () => process.exit(0));
`;

/** Where the application finds its servers and its collector. */
export function shopEnvironment(collectorUrl: string): Record<string, string> {
  return {
    POSTGRES_URL: process.env["TRACEKIT_TEST_POSTGRES_URL"] as string,
    REDIS_URL: process.env["TRACEKIT_TEST_REDIS_URL"] as string,
    OTEL_EXPORTER_OTLP_ENDPOINT: collectorUrl,
    OTEL_SERVICE_NAME: "shop",
    // A loaded machine starts the last-chance thread late; how long an exit may take is not what these tests are about.
    TRACEKIT_EXIT_TIMEOUT: "20000",
  };
}
