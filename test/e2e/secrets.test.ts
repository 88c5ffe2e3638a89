import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { shapedSecrets, secretKeys } from "../capture/secrets.ts";
import { startOtlpReceiver, type OtlpReceiver } from "../support/otlp-receiver.ts";
import { runApp } from "../support/run-app.ts";
import { shopEnvironment } from "./shop.ts";

/** Stands beside every secret: where it does not arrive, nothing was captured and the test would prove nothing. */
const MARKER = "harmless-neighbour";

const NAMES = [
  "password",
  "client_secret",
  "refreshToken",
  "x-api-key",
  "card_number",
  "ssn",
  "sessionId",
  "private_key",
];
const named = (name: string): string => `hidden-${name.length}-under-${[...name].toReversed().join("")}`;

const APP = `
import express from "express";
import http from "node:http";
import pg from "pg";
import { Redis } from "ioredis";
import { trace } from "@opentelemetry/api";

const { secrets, keys, names, marker } = JSON.parse(process.env.SECRETS);
const tracer = trace.getTracer("app");
const client = new pg.Client(process.env.POSTGRES_URL);
await client.connect();
const redis = new Redis(process.env.REDIS_URL);
const subscriber = redis.duplicate();
let processed = 0;
subscriber.on("message", () => processed++);
await subscriber.subscribe("secrets");
const columns = names.map(([name]) => '"' + name + '"');
await client.query("CREATE TEMP TABLE vault (" + columns.map((column) => column + " text").join(", ") + ", note text UNIQUE)");

const app = express();
app.use(express.json(), express.urlencoded({ extended: true }));
app.all("/echo{/*rest}", (request, response) => {
  if (request.query.fail) throw new Error("failed on " + request.query.fail);
  response.set("x-note", String(request.headers["x-note"] ?? "")).set("set-cookie", "sid=" + names[0][1]).json({ marker, body: request.body });
});
app.use((error, request, response, next) => response.status(500).json({ marker, message: error.message }));
const server = await new Promise((resolve) => { const s = app.listen(0, () => resolve(s)); });
const base = "http://127.0.0.1:" + server.address().port + "/echo";

const headerSafe = (value) => value.replace(/[^ -~]/g, " ");
const throughHttp = (url, headers, body) => new Promise((resolve, reject) => {
  http.request(url, { method: "POST", headers }, (response) => response.on("data", () => {}).on("end", resolve)).on("error", reject).end(body);
});

async function tell(value) {
  const json = JSON.stringify({ marker, text: value, deep: [{ text: value }] });
  const headers = { "content-type": "application/json", "x-note": headerSafe(value), referer: "http://a.example/?q=" + encodeURIComponent(value) };
  await (await fetch(base + "?marker=" + marker + "&q=" + encodeURIComponent(value), { method: "POST", headers, body: json })).text();
  await throughHttp(base + "/" + encodeURIComponent(value) + "?q=" + encodeURIComponent(value), headers, json);
  await (await fetch(base + "?fail=" + encodeURIComponent(value))).text();
  await client.query("SELECT $1::text AS note, $2::text", [value, marker]);
  await client.query("SELECT '" + value.replaceAll("'", "''") + "' AS note");
  await client.query("SELECT $1::int", [value]).catch(() => {});
  await client.query("INSERT INTO vault (note) VALUES ($1)", [value]);
  await client.query("INSERT INTO vault (note) VALUES ($1)", [value]).catch(() => {});
  await redis.set(marker + ":" + value, value);
  await redis.get(marker + ":" + value);
  await redis.pipeline().set("a", value).get("a").exec();
  await redis.publish("secrets", json);
  await tracer.startActiveSpan("manual", async (span) => {
    span.setAttribute("note", value).setAttribute("notes", [marker, value]).addEvent("event", { note: value });
    span.recordException(new Error("failed with " + value));
    span.setStatus({ code: 2, message: "failed with " + value });
    span.end();
  });
}
for (const value of secrets) await tell(value);

const fields = Object.fromEntries(names);
const form = new URLSearchParams({ marker, ...fields });
await (await fetch(base + "?" + form, { method: "POST", body: form, headers: { cookie: "sid=" + names[0][1], authorization: "Bearer " + names[1][1], ...fields } })).text();
await throughHttp("http://user:" + names[0][1] + "@127.0.0.1:" + server.address().port + "/echo", { "content-type": "application/json" }, JSON.stringify({ marker, a: [fields] }));
const values = names.map(([, value]) => value);
await client.query("INSERT INTO vault (" + columns + ") VALUES (" + columns.map((_, index) => "$" + (index + 1)) + ")", values);
await client.query("UPDATE vault SET " + columns[0] + " = $1 WHERE note = $2", [values[0], marker]);
await client.query("SELECT * FROM vault WHERE " + columns[0] + " = '" + values[0] + "'");
for (const key of keys) await redis.get(key);
await redis.call("AUTH", "default", names[0][1]).catch(() => {});
await redis.hset(marker, fields);
await redis.publish("secrets", JSON.stringify({ marker, ...fields }));
tracer.startSpan("named", { attributes: { marker, ...fields } }).end();

while (processed < secrets.length + 1) await new Promise((resolve) => setTimeout(resolve, 10));
await client.end();
redis.disconnect();
subscriber.disconnect();
server.close();
server.closeAllConnections();
`;

describe("no secret leaves the process", () => {
  let receiver: OtlpReceiver;
  let sent: Buffer;

  beforeAll(async () => {
    receiver = await startOtlpReceiver();
    const { code, stderr } = await runApp({
      code: APP,
      env: {
        ...shopEnvironment(receiver.url),
        SECRETS: JSON.stringify({
          secrets: shapedSecrets.map(({ value }) => value),
          keys: secretKeys.map(([key]) => key),
          names: NAMES.map((name) => [name, named(name)]),
          marker: MARKER,
        }),
      },
      timeoutMillis: 120_000,
    });
    if (code !== 0 || stderr !== "") throw new Error(`the application ended with code ${code}\n${stderr}`);
    await receiver.waitForSpans((spans) => spans.some(({ name }) => name === "named"));
    sent = Buffer.concat(receiver.requests.map(({ body }) => body));
  }, 180_000);
  afterAll(() => receiver.close());

  test("while what stands beside it does, in every place", () => {
    const places = new Set<string>();
    for (const { kind, name, attributes, events } of receiver.spans) {
      for (const [key, value] of Object.entries(attributes)) {
        if (JSON.stringify(value).includes(MARKER)) places.add(`${kind} ${key}`);
      }
      if (name === "manual") expect(events.map((event) => event.name)).toEqual(["event", "exception"]);
    }
    expect([...places]).toEqual(
      expect.arrayContaining([
        "SERVER url.query",
        "SERVER http.request.body.content",
        "SERVER http.response.body.content",
        "CLIENT url.full",
        "CLIENT http.request.body.content",
        "CLIENT http.response.body.content",
        "CLIENT db.query.parameter.1",
        "CLIENT cache.key",
        "PRODUCER tracekit.messaging.body.content",
        "CONSUMER tracekit.messaging.body.content",
        "INTERNAL notes",
      ]),
    );
  });

  test.each(shapedSecrets.map(({ kind, value, core = value }) => [kind, core]))("not a %s", (_, core) => {
    expect(sent.includes(core)).toBe(false);
    expect(sent.includes(encodeURIComponent(core))).toBe(false);
    expect(sent.includes(JSON.stringify(core).slice(1, -1))).toBe(false);
  });

  test.each(NAMES)("not what stands under the name %s", (name) => {
    expect(sent.includes(named(name))).toBe(false);
  });

  test.each(secretKeys)("not the secret part of the cache key %s", (_, secret) => {
    expect(sent.includes(secret)).toBe(false);
  });
});
