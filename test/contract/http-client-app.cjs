// What an application of the HTTP client contract runs; see http-client.ts for what is expected of it.
"use strict";
const { scenario, unsampledScenario, sleep } = require("./scenarios-app.cjs");

const { TARGET: target, SECURE_TARGET: secureTarget, SOCKET: socketPath, PROXY: proxy } = process.env;

const json = { "content-type": "application/json" };
const BOUNDARY = "b0undary";
const MULTIPART =
  `--${BOUNDARY}\r\nContent-Disposition: form-data; name="title"\r\n\r\nhunter2\r\n` +
  `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n` +
  `${"x".repeat(500)}\r\n--${BOUNDARY}--\r\n`;

/** What can be told of an error without the library's own words: those differ between its versions, not because of us. */
function failure(error) {
  const { name, code, cause } = error ?? {};
  return { class: error?.constructor?.name, name, code, cause: cause?.code ?? cause?.name };
}

/**
 * `client.send(url, { method, headers, body, signal, timeout })` gives `{ status, text }`, or rejects. The others are abilities,
 * each a function where the library has it:
 * - `redirect(url)`: follows one; gives as `send`
 * - `method(url)`: asks with PROPFIND
 * - `retry(url)`: sends again what is answered with 503, soon
 * - `abort(url)`: gives up after some 50 ms; rejects or not, as the library does
 * - `timeout(url)`: waits no longer than 50 ms
 * - `socket(path, url)`: over a Unix socket
 * - `proxy(proxy, url)`, `tunnel(proxy, url)`: through a proxy that is asked for the absolute URL, or with CONNECT
 * - `expect(url, body)`: waits for 100 Continue
 * - `trailers(url)`: gives the trailers, too
 * - `endless(url)`: begins to read, and gives a function that stops
 * - `close()`: lets go of all connections
 */
async function runHttpClient(client) {
  const send = (path, options = {}) => client.send(`${target}${path}`, { method: "GET", headers: {}, ...options });
  const endless =
    client.endless &&
    scenario("endless events", async (note) => {
      const stop = await client.endless(`${target}/events?endless`);
      await sleep(7000);
      stop();
      note("stopped");
    });

  await scenario("get", async (note, where) => {
    note(await send("/json?page=2"));
    where();
  });
  await scenario("get again", async (note) => note(await send("/json")));
  await scenario("https", async (note) =>
    note(await client.send(`${secureTarget}/json`, { method: "GET", headers: {} })),
  );
  await scenario("post", async (note, where) => {
    const body = '{"password":"hunter2","city":"Oslo"}';
    note(await send("/echo", { method: "POST", headers: json, body }));
    where();
  });
  await scenario("form", async (note) => {
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    note(await send("/echo", { method: "POST", headers, body: "user=ann&password=hunter2" }));
  });
  await scenario("multipart", async (note) => {
    const headers = { "content-type": `multipart/form-data; boundary=${BOUNDARY}` };
    note(await send("/echo", { method: "POST", headers, body: MULTIPART }));
  });
  await scenario("binary", async (note) => {
    const headers = { "content-type": "application/octet-stream" };
    note(await send("/echo", { method: "POST", headers, body: Buffer.alloc(1000) }));
  });
  await scenario("HEAD", async (note) => note(await send("/json", { method: "HEAD" })));
  await scenario("no content", async (note) => note(await send("/status?code=204")));
  for (const coding of ["gzip", "br", "deflate"]) {
    await scenario(coding, async (note) =>
      note((await send(`/${coding}`, { headers: { "accept-encoding": coding } })).status),
    );
  }
  await scenario("chunks", async (note) => note(await send("/chunks")));
  await scenario("lines", async (note) => note((await send("/lines")).status));
  await scenario("parts", async (note) => note((await send("/parts")).status));
  await scenario("events", async (note) => note((await send("/events")).status));
  await scenario("slow", async (note) => note(await send("/slow")));
  await scenario("big", async (note) => note((await send("/big")).text.length));
  await scenario("not found", async (note) => note(await send("/status?code=404").catch(failure)));
  await scenario("unavailable", async (note) => note(await send("/status?code=503").catch(failure)));
  await scenario("refused", async (note) => {
    note(await client.send("http://127.0.0.1:2/", { method: "GET", headers: {} }).catch(failure));
  });
  // Whether a reset or an end of the connection is seen first is up to the network.
  for (const path of ["reset", "cut"]) {
    await scenario(path, async (note) => note(await send(`/${path}`).then(JSON.stringify, () => "failed")));
  }
  await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      scenario(`concurrent ${index}`, async (note, where) => {
        note(await send(`/slow?${index}`));
        where();
      }),
    ),
  );
  await scenario("secrets", async (note) => {
    const headers = { cookie: "sid=hunter2", "x-api-key": "hunter2", authorization: "Bearer hunter2" };
    note((await send("/json?token=hunter2&page=1", { headers })).status);
  });
  await unsampledScenario("unsampled", async (note) => note(await send("/json?unsampled")));

  await ability("redirect", (url) => client.redirect(`${url}/redirect`));
  await ability("method", (url) => client.method(`${url}/json`));
  await ability("retry", (url) => client.retry(`${url}/flaky?${process.pid}`));
  await ability("abort", (url) => client.abort(`${url}/hang`).catch(failure));
  await ability("timeout", (url) => client.timeout(`${url}/hang`).catch(failure));
  await ability("socket", () => client.socket(socketPath, "http://localhost/json?socket"));
  await ability("proxy", (url) => client.proxy(proxy, `${url}/json?proxied`));
  await ability("tunnel", () => client.tunnel(proxy, `${secureTarget}/json?tunnelled`));
  await ability("expect", (url) => client.expect(`${url}/echo`, '{"late":true}'));
  await ability("trailers", (url) => client.trailers(`${url}/trailers`));
  await endless;
  await client.close?.();

  async function ability(name, run) {
    if (client[name] !== undefined) await scenario(name, async (note) => note(await run(target)));
  }
}

exports.failure = failure;
exports.runHttpClient = runHttpClient;
