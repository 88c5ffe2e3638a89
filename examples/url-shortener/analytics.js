import Fastify from "fastify";
import pg from "pg";

const { PORT = "3001", DATABASE_URL, MIXPANEL_URL } = process.env;

const database = new pg.Pool({ connectionString: DATABASE_URL });
await database.query("CREATE TABLE IF NOT EXISTS events (name text, link text, at timestamptz DEFAULT now())");

const app = Fastify();

app.post("/track", async (request, reply) => {
  const { event, id } = request.body;
  await database.query("INSERT INTO events (name, link) VALUES ($1, $2)", [event, id]);

  const answer = await fetch(`${MIXPANEL_URL}/track`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify([{ event, properties: { link: id } }]),
  });
  const { status } = await answer.json();
  return reply.code(202).send({ forwarded: status === 1 });
});

await app.listen({ port: Number(PORT), host: "127.0.0.1" });
console.log(`listening ${app.server.address().port}`);
