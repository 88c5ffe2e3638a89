/* What applications of the HTTP client contract say: the libraries as they are used, each as the functions `runHttpClient` wants. */

const HEAD = `import { runHttpClient } from "./http-client-app.cjs";
import { runMain } from "./scenarios-app.cjs";
`;

/** node:http and node:https. */
export const NODE_HTTP: string = `${HEAD}import http from "node:http";
import https from "node:https";
const agents = { "http:": new http.Agent({ keepAlive: true }), "https:": new https.Agent({ keepAlive: true }) };
function send(url, { body, timeout, target = new URL(url), ...options }, control = () => {}) {
  return new Promise((resolve, reject) => {
    const { protocol } = new URL(url);
    const library = protocol === "https:" ? https : http;
    const request = library.request(url, { agent: agents[protocol], ...options }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => (text += chunk));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode, text, trailers: response.trailers }));
    });
    request.on("error", reject);
    control(request);
    if (!request.destroyed) request.end(body);
  });
}
runMain(() => runHttpClient({
  send,
  async redirect(url) {
    const response = await new Promise((resolve) => http.get(url, { agent: agents["http:"] }, resolve));
    response.resume();
    return send(new URL(response.headers.location, url).href, {});
  },
  abort: (url) => send(url, { signal: AbortSignal.any([abortSoon()]) }),
  method: (url) => send(url, { method: "PROPFIND" }),
  timeout: (url) => send(url, { timeout: 50 }, (request) => {
    request.setTimeout(50, () => request.destroy());
  }),
  socket: (path, url) => send(url, { socketPath: path, agent: false }),
  proxy: (proxy, url) => send(proxy, { path: url, headers: { host: new URL(proxy).host }, agent: false }),
  async tunnel(proxy, url) {
    const { host } = new URL(url);
    const connecting = http.request(proxy, { method: "CONNECT", path: host, agent: false }).end();
    const socket = await new Promise((resolve) => connecting.on("connect", (_, connection) => resolve(connection)));
    return send(url, { agent: new (class extends https.Agent {
      createConnection(options, callback) { return super.createConnection({ ...options, socket }, callback); }
    })() });
  },
  expect: (url, body) => new Promise((resolve, reject) => {
    const request = http.request(url, { method: "POST", headers: { expect: "100-continue", "content-type": "application/json" } });
    request.on("continue", () => request.end(body));
    request.on("error", reject);
    request.on("response", (response) => response.resume().on("end", () => resolve(response.statusCode)));
    request.flushHeaders();
  }),
  trailers: (url) => send(url, {}),
  endless: (url) => new Promise((resolve) => {
    const request = http.get(url, { agent: false }, (response) => response.once("data", () => {
      response.on("error", () => {}).resume();
      resolve(() => request.destroy());
    }));
    request.on("error", () => {});
  }),
  close() { for (const agent of Object.values(agents)) agent.destroy(); },
}));
function abortSoon() {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 50);
  return controller.signal;
}
`;

/** node:http2, one session an origin. */
export const NODE_HTTP2: string = `${HEAD}import http2 from "node:http2";
const sessions = new Map();
function sessionOf(origin, options) {
  let session = sessions.get(origin);
  if (session === undefined || session.destroyed || session.closed) {
    session = http2.connect(origin, options);
    session.on("error", () => {});
    sessions.set(origin, session);
  }
  return session;
}
function send(url, { method = "GET", headers = {}, body, signal, session, timeout }) {
  const { origin, pathname, search } = new URL(url);
  return new Promise((resolve, reject) => {
    const all = { ":method": method, ":path": pathname + search, ...headers };
    const before = JSON.stringify(all);
    const stream = (session ?? sessionOf(origin)).request(all, { signal });
    if (JSON.stringify(all) !== before) reject(new Error("the headers were changed"));
    let status;
    let text = "";
    let trailers = {};
    stream.setEncoding("utf8");
    stream.on("response", (answer) => (status = answer[":status"]));
    stream.on("trailers", (answer) => (trailers = { ...answer }));
    stream.on("data", (chunk) => (text += chunk));
    stream.on("error", reject);
    stream.on("close", () => (status === undefined ? reject(new Error("no answer")) : resolve({ status, text, trailers })));
    if (timeout !== undefined) stream.setTimeout(timeout, () => stream.destroy(Object.assign(new Error("too late"), { code: "TOO_LATE" })));
    stream.end(body);
  });
}
runMain(() => runHttpClient({
  send,
  async redirect(url) {
    const stream = sessionOf(new URL(url).origin).request({ ":path": "/redirect" });
    const [headers] = await (await import("node:events")).once(stream, "response");
    stream.resume();
    return send(new URL(headers.location, url).href, {});
  },
  abort(url) {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    return send(url, { signal: controller.signal });
  },
  method: (url) => send(url, { method: "PROPFIND" }),
  timeout: (url) => send(url, { timeout: 50 }),
  async socket(path, url) {
    const { connect } = await import("node:net");
    const session = http2.connect(url, { createConnection: () => connect(path) });
    const answer = await send(url, { session });
    session.close();
    return answer;
  },
  trailers: (url) => send(url, {}),
  endless: (url) => new Promise((resolve) => {
    const session = http2.connect(url);
    const stream = session.request({ ":path": "/events?endless" });
    stream.once("data", () => {
      stream.resume();
      resolve(() => { stream.close(); session.close(); });
    });
  }),
  close() { for (const session of sessions.values()) session.close(); },
}));
`;

const FETCH_BODY = `
const read = async (response) => ({ status: response.status, text: await response.text() });
const send = async (url, options) => read(await fetch(url, options));
const client = {
  send,
  redirect: (url) => send(url),
  abort(url) {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    return send(url, { signal: controller.signal });
  },
};
`;

/** The global `fetch`. */
export const NODE_FETCH_GLOBAL: string = `${HEAD}${FETCH_BODY}
client.timeout = (url) => send(url, { signal: AbortSignal.timeout(50) });
client.method = (url) => send(url, { method: "PROPFIND" });
client.trailers = (url) => send(url);
client.endless = async (url) => {
  const controller = new AbortController();
  const { body } = await fetch(url, { signal: controller.signal });
  const reader = body.getReader();
  const reading = (async () => { while (!(await reader.read()).done); })().catch(() => {});
  return () => { controller.abort(); return reading; };
};
runMain(() => runHttpClient(client).then(() => process.exit(0)));
`;

/** node-fetch 2 and 3. */
export const NODE_FETCH: string = `${HEAD}import fetch from "node-fetch";
import http from "node:http";
import https from "node:https";
const agents = { "http:": new http.Agent({ keepAlive: true }), "https:": new https.Agent({ keepAlive: true }) };
const agent = (url) => agents[url.protocol];
const read = async (response) => ({ status: response.status, text: await response.text() });
const send = async (url, options) => read(await fetch(url, { agent, ...options }));
runMain(() => runHttpClient({
  send,
  redirect: (url) => send(url),
  abort(url) {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    return send(url, { signal: controller.signal });
  },
  trailers: (url) => send(url),
  close() { for (const each of Object.values(agents)) each.destroy(); },
}));
`;

/** axios. */
export const AXIOS: string = `${HEAD}import axios from "axios";
import http from "node:http";
import https from "node:https";
const httpAgent = new http.Agent({ keepAlive: true });
const httpsAgent = new https.Agent({ keepAlive: true });
const read = ({ status, data }) => ({ status, text: data });
const send = async (url, { body, ...options }) =>
  read(await axios({ url, data: body, httpAgent, httpsAgent, proxy: false, responseType: "text", transformResponse: (text) => text, ...options }));
runMain(() => runHttpClient({
  send,
  redirect: (url) => send(url, {}),
  abort(url) {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    return send(url, { signal: controller.signal });
  },
  timeout: (url) => send(url, { timeout: 50 }),
  socket: (socketPath, url) => send(url, { socketPath, httpAgent: undefined }),
  proxy: (proxy, url) => send(url, { httpAgent: undefined, proxy: { protocol: "http", host: new URL(proxy).hostname, port: new URL(proxy).port } }),
  trailers: (url) => send(url, {}),
  close() { httpAgent.destroy(); httpsAgent.destroy(); },
}));
`;

/** got 11 and later. */
export const GOT: string = `${HEAD}import got from "got";
import http from "node:http";
import https from "node:https";
const agent = { http: new http.Agent({ keepAlive: true }), https: new https.Agent({ keepAlive: true }) };
const read = ({ statusCode, body }) => ({ status: statusCode, text: body });
const send = async (url, { timeout, ...options }) =>
  read(await got(url, { agent, retry: { limit: 0 }, ...(timeout && { timeout: { request: timeout } }), ...options }));
runMain(() => runHttpClient({
  send,
  redirect: (url) => send(url, {}),
  retry: (url) => send(url, { retry: { limit: 3, calculateDelay: ({ attemptCount }) => (attemptCount > 3 ? 0 : 10) } }),
  async abort(url) {
    if (got.CancelError === undefined) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 50);
      return send(url, { signal: controller.signal });
    }
    // 11 knows no signals.
    const promise = got(url, { agent, retry: { limit: 0 } });
    setTimeout(() => promise.cancel(), 50);
    await promise;
  },
  timeout: (url) => send(url, { timeout: 50 }),
  trailers: (url) => send(url, {}),
  close() { for (const each of Object.values(agent)) each.destroy(); },
}));
`;

/** needle 2 and 3. */
export const NEEDLE: string = `${HEAD}import needle from "needle";
import http from "node:http";
import https from "node:https";
const agents = { "http:": new http.Agent({ keepAlive: true }), "https:": new https.Agent({ keepAlive: true }) };
const send = async (url, { method = "get", body = null, ...options }) => {
  const { statusCode, raw } = await needle(method.toLowerCase(), url, body, {
    agent: agents[new URL(url).protocol], parse: false, ...options,
  });
  return { status: statusCode, text: String(raw) };
};
runMain(() => runHttpClient({
  send,
  redirect: (url) => send(url, { follow_max: 2 }),
  proxy: (proxy, url) => send(url, { proxy, agent: null }),
  close() { for (const each of Object.values(agents)) each.destroy(); },
}));
`;

/** The undici package, by `request`. */
export const UNDICI: string = `${HEAD}import * as undici from "undici";
const { Agent, MockAgent, ProxyAgent } = undici;
const agent = new Agent();
const send = async (url, options = {}) => {
  const { statusCode, body } = await undici.request(url, { dispatcher: agent, ...options });
  return { status: statusCode, text: await body.text() };
};
const client = {
  send,
  abort(url) {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    return send(url, { signal: controller.signal });
  },
  method: (url) => send(url, { method: "PROPFIND" }),
  timeout: (url) => send(url, { headersTimeout: 50 }),
  async socket(socketPath, url) {
    const local = new Agent({ connect: { socketPath } });
    const answer = await send(url, { dispatcher: local });
    await local.close();
    return answer;
  },
  trailers: (url) => send(url),
  async endless(url) {
    const controller = new AbortController();
    const { body } = await undici.request(url, { signal: controller.signal });
    body.on("error", () => {}).resume();
    return () => controller.abort();
  },
  close: () => agent.destroy(),
};
if (undici.interceptors?.redirect) {
  const following = agent.compose(undici.interceptors.redirect({ maxRedirections: 3 }));
  client.redirect = (url) => send(url, { dispatcher: following });
} else client.redirect = (url) => send(url, { maxRedirections: 3 });
// That of 5.0 does not know tunnels.
if (undici.setGlobalOrigin !== undefined) client.tunnel = async (proxy, url) => {
  const through = new ProxyAgent({ uri: proxy, requestTls: {} });
  const answer = await send(url, { dispatcher: through });
  await through.close();
  return answer;
};
// Seven seconds each: enough with undici 7.
if (undici.File !== undefined) delete client.endless;
if (undici.RetryAgent) {
  const retrying = new undici.RetryAgent(agent, { minTimeout: 10, maxTimeout: 20 });
  client.retry = (url) => send(url, { dispatcher: retrying });
}
runMain(() => runHttpClient(client).then(() => process.exit(0)));
`;
