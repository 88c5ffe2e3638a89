/** One kind of request. `slice` is how many of them make one slice of load: about 0.2 s without a tracer, so that it takes
 *  little of it to get back what the processor's caches lost while the other servers had their turn. */
export interface Workload {
  readonly title: string;
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: string;
  readonly status: number;
  readonly answer: string;
  readonly slice: number;
  /** Requests until their cost no longer falls, because V8 has compiled: as seen on Node 24 without a tracer and with Tracekit;
   *  that of `body` is taken from `express`. Not before the 12,000th: node:http's own code, which runs once a request, is
   *  optimized from the 10,000th on (`--trace-opt`). */
  readonly warmUp: number;
}

/** What a shop would post: 2 KiB of JSON, with a customer's data in it. */
const order: string = JSON.stringify({
  customer: { id: "c_77", name: "Ada Lovelace", email: "ada@example.com", phone: "+44 20 7946 0018" },
  shipTo: { street: "12 St James's Square", city: "London", postcode: "SW1Y 4JH", country: "GB" },
  items: Array.from({ length: 16 }, (_, index) => ({
    sku: `SKU-${1000 + index}`,
    title: `Analytical engine, part ${index}, polished brass, one pair`,
    count: 1 + (index % 3),
    cents: 1995 + index,
  })),
  note: "Please leave the parcel with the neighbour at number fourteen.",
}).padEnd(2048);

/** The workloads, each with an application of the same name in apps/. */
export const workloads: Readonly<Record<string, Workload>> = {
  http: {
    title: "`node:http` hello",
    method: "GET",
    path: "/",
    status: 200,
    answer: "hello",
    slice: 16_000,
    warmUp: 48_000,
  },
  express: {
    title: "Express 5, two middlewares and a route with a parameter",
    method: "GET",
    path: "/users/42",
    status: 200,
    answer: '{"id":"42","name":"Ada Lovelace"}',
    slice: 9000,
    warmUp: 36_000,
  },
  ioredis: {
    title: "ten ioredis GETs, one after another",
    method: "GET",
    path: "/",
    status: 200,
    answer: '{"characters":130}',
    slice: 2000,
    warmUp: 18_000,
  },
  pg: {
    title: "ten `pool.query` with two parameters, one after another",
    method: "GET",
    path: "/",
    status: 200,
    answer: '{"characters":290}',
    slice: 840,
    warmUp: 16_000,
  },
  fetch: {
    title: "one outgoing `fetch`",
    method: "GET",
    path: "/",
    status: 200,
    answer: '{"rates":5}',
    slice: 2200,
    warmUp: 20_000,
  },
  mixed: {
    title: "Express, 2 pg, 2 ioredis, 1 undici",
    method: "GET",
    path: "/urls/7",
    status: 200,
    answer: '{"id":"7","url":"https://example.com/article/7","urls":10,"cached":13,"rates":5}',
    slice: 1600,
    warmUp: 35_000,
  },
  body: {
    title: "Express, POST of 2 KiB JSON, JSON answer",
    method: "POST",
    path: "/orders",
    body: order,
    status: 201,
    answer: '{"id":"o_1001","customer":"c_77","lines":16,"total":62080,"status":"accepted"}',
    slice: 5600,
    warmUp: 24_000,
  },
};

/** The request as it goes over the wire. */
export function toBytes({ method, path, body }: Workload): string {
  const head = [
    `${method} ${path} HTTP/1.1`,
    "host: shop.example",
    "user-agent: tracekit-bench/1.0",
    "accept: application/json",
    "accept-encoding: gzip, deflate",
    "connection: keep-alive",
  ];
  if (body !== undefined) head.push("content-type: application/json", `content-length: ${Buffer.byteLength(body)}`);
  return `${head.join("\r\n")}\r\n\r\n${body ?? ""}`;
}
