const { createServer } = require("node:http");
const { Pool } = require("pg");
const { listen } = require("./listen.cjs");

// Connections that come and go during a run would be measured too.
const pool = new Pool({ connectionString: process.env.POSTGRES_URL, idleTimeoutMillis: 0 });
listen(
  createServer(async (request, response) => {
    let characters = 0;
    for (let i = 0; i < 10; i++) {
      const { rows } = await pool.query("SELECT id, url FROM bench_urls WHERE id = $1 AND owner = $2", [
        `u${i}`,
        "ada",
      ]);
      characters += rows[0].url.length;
    }
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ characters }));
  }),
);
