import express from "express";
import { Redis } from "ioredis";
import pg from "pg";
import { verify } from "./auth.js";

const { PORT = "3000", DATABASE_URL, REDIS_URL, ANALYTICS_URL, TOPIC = "redis" } = process.env;
const CACHE_SECONDS = 3600;

const database = new pg.Pool({ connectionString: DATABASE_URL });
const redis = new Redis(REDIS_URL);
const { connectPublisher } = await import(`./topics/${TOPIC}.js`);
const publish = await connectPublisher();
await database.query("CREATE TABLE IF NOT EXISTS urls (id varchar(16) PRIMARY KEY, url text, user_id text)");

const app = express();
app.use(express.json());

app.post("/shorten", async (request, response) => {
  const user = await verify(request.get("authorization"));
  if (user === undefined) return response.status(401).json({ error: "unknown API key" });
  const { url, id = Math.random().toString(36).slice(2, 8) } = request.body ?? {};
  if (!URL.canParse(url)) return response.status(400).json({ error: "url is not a URL" });

  const taken = await database.query("SELECT url FROM urls WHERE id = $1", [id]);
  if (taken.rowCount > 0) return response.status(409).json({ error: `${id} is taken` });

  await database.query("INSERT INTO urls (id, url, user_id) VALUES ($1, $2, $3)", [id, url, user.id]);
  await redis.set(`url:${id}`, url, "EX", CACHE_SECONDS);
  await track({ event: "shortened", id, url });
  await publish("url-events", JSON.stringify({ id, type: "shortened", url }));
  response.status(201).json({ id, url });
});

app.get("/:id", async (request, response) => {
  const { id } = request.params;
  const cached = await redis.get(`url:${id}`);
  if (cached !== null) return response.redirect(cached);

  const { rows } = await database.query("SELECT url FROM urls WHERE id = $1", [id]);
  if (rows.length === 0) return response.status(404).json({ error: `there is no ${id}` });
  await redis.set(`url:${id}`, rows[0].url, "EX", CACHE_SECONDS);
  response.redirect(rows[0].url);
});

async function track(event) {
  const answer = await fetch(`${ANALYTICS_URL}/track`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(event),
  });
  if (!answer.ok) console.error(`analytics answered ${answer.status}`);
}

const server = app.listen(Number(PORT), "127.0.0.1", (error) => {
  if (error) throw error;
  console.log(`listening ${server.address().port}`);
});
