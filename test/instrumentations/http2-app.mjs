// The application of http2.test.ts: both sides of HTTP/2 in one process, each way to end a request inside a root span of its
// own. It prints what an application can see, so that a run without the preload can be compared.
import http2 from "node:http2";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { runMain, scenario, sleep, spanId } from "./scenarios-app.cjs";

const { constants } = http2;
const keys = (object) => Reflect.ownKeys(object).map(String).toSorted();
const shape = (object, names) => names.map((name) => [name, object[name]?.name, object[name]?.length]);

function handle(stream, headers) {
  stream.on("error", () => {});
  switch (headers[":path"]) {
    case "/reset":
      return stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    case "/cancelled":
      stream.respond({ ":status": 200 });
      stream.write("part");
      return setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), 30);
    case "/destroyed":
      return stream.destroy(new RangeError("gave up"));
    case "/goaway":
      return stream.session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    case "/graceful":
      stream.session.close();
      return setTimeout(() => {
        stream.respond({ ":status": 200 });
        stream.end("late");
      }, 50);
    case "/cut":
      stream.respond({ ":status": 200 });
      stream.write("part");
      return setTimeout(() => stream.session.destroy(), 30);
    case "/push":
      return stream.pushStream({ ":path": "/pushed" }, (error, pushed) => {
        pushed.respond({ ":status": 200 });
        pushed.end("pushed");
        stream.respond({ ":status": 200 });
        stream.end("pushing");
      });
    case "/trailers":
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "42" }));
      return stream.end("with trailers");
    case "/file":
      return stream.respondWithFile(process.argv[1], { ":status": 200, "content-type": "text/javascript" });
    case "/hang":
      return undefined;
    case "/early":
      stream.respond({ ":status": 413 });
      return stream.end("too much");
    default:
      stream.respond({ ":status": 200, "content-type": "text/plain" });
      return stream.end("hello");
  }
}

runMain(async () => {
  const server = http2.createServer();
  const sessions = new Set();
  server.on("session", (session) => sessions.add(session));
  server.on("stream", handle);
  await once(server.listen(0, "localhost"), "listening");
  const origin = `http://localhost:${server.address().port}`;

  let session = http2.connect(origin);
  session.on("error", () => {});
  const renew = () => {
    session.close();
    session = http2.connect(origin);
    session.on("error", () => {});
  };
  /** Everything there is to see of one request. */
  const complete = async (note, headers, control = (stream) => stream.end()) => {
    const stream = session.request(headers);
    const home = spanId();
    const events = [];
    let text = "";
    stream.setEncoding("utf8");
    stream.on("response", ({ ":status": status }, flags) =>
      events.push(["response", status, flags, spanId() === home]),
    );
    stream.on("trailers", (trailers) => events.push(["trailers", { ...trailers }]));
    for (const name of ["aborted", "end", "ready"]) stream.on(name, () => events.push(name));
    stream.on("error", ({ name, code, message }) => events.push([name, code, message.replace(/:\d+/, ":port")]));
    stream.on("data", (chunk) => (text += chunk));
    control(stream);
    await once(stream, "close").catch(() => sleep(20));
    note(events, text.length > 100 ? "long" : text, stream.rstCode, stream.aborted);
  };

  await scenario("shapes", async (note) => {
    const stream = session.request({ ":path": "/hello" });
    note(
      keys(Object.getPrototypeOf(Object.getPrototypeOf(stream))).filter(
        (key) => !["emit", "push", "destroy"].includes(key),
      ),
    );
    note(shape(stream, ["emit", "push", "close", "destroy", "_write", "_writev"]), shape(session, ["request", "emit"]));
    note(
      keys(stream).length,
      stream.eventNames().map((name) => [String(name), stream.listenerCount(name)]),
    );
    stream.resume();
    await once(stream, "close");
  });
  for (const path of ["reset", "cancelled", "destroyed", "trailers", "file", "early"])
    await scenario(path, (note) => complete(note, { ":path": `/${path}` }));
  await scenario("POST too much", (note) =>
    complete(note, { ":path": "/early", ":method": "POST" }, (stream) => stream.end("x".repeat(1000))),
  );
  await scenario("push", async (note) => {
    const pushed = once(session, "stream");
    await complete(note, { ":path": "/push" });
    const [stream, headers] = await pushed;
    stream.resume();
    note(headers[":path"]);
    if (!stream.closed) await once(stream, "close");
  });
  await scenario("closed", (note) =>
    complete(note, { ":path": "/hang" }, (stream) => setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), 30)),
  );
  await scenario("destroyed here", (note) =>
    complete(note, { ":path": "/hang" }, (stream) =>
      setTimeout(() => stream.destroy(Object.assign(new Error("enough"), { code: "OWN_CODE" })), 30),
    ),
  );
  for (const path of ["goaway", "graceful", "cut"]) {
    renew();
    await scenario(path, (note) => complete(note, { ":path": `/${path}` }));
  }
  renew();
  await scenario("session destroyed", (note) =>
    complete(note, { ":path": "/hang" }, () => setTimeout(() => session.destroy(), 30)),
  );
  await scenario("no session", async (note) => {
    try {
      const stream = session.request({ ":path": "/hello" });
      note((await once(stream, "close").catch((error) => [error]))[0]?.code);
    } catch (error) {
      note(error.code);
    }
  });
  renew();
  await scenario("bad header", async (note) => {
    try {
      session.request({ ":bad": "x" });
    } catch (error) {
      note(error.code);
    }
  });
  await scenario("sensitive", async (note) => {
    const headers = { ":path": "/hello", authorization: "Bearer hunter2", [http2.sensitiveHeaders]: ["authorization"] };
    await complete(note, headers);
    note(Object.keys(headers), Object.getOwnPropertySymbols(headers).length);
  });
  await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      scenario(`together ${index}`, (note) => complete(note, { ":path": "/hello" })),
    ),
  );
  session.close();
  for (const each of sessions) each.close();
  server.close();

  // Over TLS, the libraries that bring HTTP/2 of their own.
  const files = { key: readFileSync(process.env.KEY), cert: readFileSync(process.env.CERT) };
  const secure = http2.createSecureServer(files, (request, response) => response.end("secure"));
  await once(secure.listen(0, "localhost"), "listening");
  const url = `https://localhost:${secure.address().port}/hello`;
  await scenario("undici", async (note) => {
    const { Agent, request } = await import("undici");
    const dispatcher = new Agent({ allowH2: true });
    const { statusCode, body } = await request(url, { dispatcher });
    note(statusCode, await body.text());
    await dispatcher.close();
  });
  await scenario("got", async (note) => {
    const { default: got } = await import("got");
    const { statusCode, body } = await got(url, { http2: true });
    note(statusCode, body);
  });
  secure.close();
  process.exit(0);
});
