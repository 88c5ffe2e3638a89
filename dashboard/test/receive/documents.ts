/** After the examples of Zipkin's API documentation (zipkin2-api.yaml) and of B3: a client and a server that share a span. */
export const ZIPKIN: object[] = [
  {
    traceId: "5982fe77008310cc80f1da5e10147517",
    id: "bd7a977555f6b982",
    name: "get",
    kind: "CLIENT",
    timestamp: 1458702548467000,
    duration: 386000,
    localEndpoint: { serviceName: "zipkin-query", ipv4: "192.168.99.1", port: 9411 },
    remoteEndpoint: { serviceName: "mysql", ipv4: "172.17.0.3", port: 3306 },
    annotations: [
      { timestamp: 1458702548467500, value: "ws" },
      { timestamp: 1458702548467600, value: '"retry": {"attempt": 2, "wait": true}' },
      { timestamp: 1458702548467700, value: 'message|{"id":"a|b"}|3' },
    ],
    tags: { "sql.query": "select 1", "http.status_code": "500", error: "connection refused" },
  },
  {
    traceId: "5982fe77008310cc80f1da5e10147517",
    id: "bd7a977555f6b982",
    name: "query",
    kind: "SERVER",
    shared: true,
    timestamp: 1458702548467100,
    duration: 100,
    localEndpoint: { serviceName: "mysql" },
    remoteEndpoint: { ipv6: "2001:db8::c001", port: 50000 },
    tags: { "telemetry.sdk.name": "brave", "otel.scope.name": "io.b3", "otel.status_code": "OK" },
  },
  {
    traceId: "5982fe77008310cc80f1da5e10147517",
    parentId: "bd7a977555f6b982",
    id: "be2d01e33cc78d97",
    name: "disk",
    timestamp: 1458702548467150,
    localEndpoint: { serviceName: "mysql" },
  },
  {
    traceId: "80f1da5e10147517",
    id: "ebf33e1a81dc6f71",
    name: "publish",
    kind: "PRODUCER",
    timestamp: 1458702548478000,
    tags: { error: "" },
  },
];

/** As Jaeger's page downloads a trace. */
export const JAEGER: { data: object[]; [other: string]: unknown } = {
  data: [
    {
      traceID: "5982fe77008310cc80f1da5e10147517",
      spans: [
        {
          traceID: "5982fe77008310cc80f1da5e10147517",
          spanID: "bd7a977555f6b982",
          flags: 1,
          operationName: "HTTP GET /dispatch",
          references: [],
          startTime: 1458702548467123,
          duration: 386001,
          tags: [
            { key: "span.kind", type: "string", value: "server" },
            { key: "http.status_code", type: "int64", value: 503 },
            { key: "sampler.param", type: "bool", value: true },
            { key: "ratio", type: "float64", value: 3 },
            { key: "big", type: "int64", value: "9223372036854775807" },
            { key: "raw", type: "binary", value: "AP8=" },
            { key: "internal.span.format", type: "string", value: "proto" },
            { key: "otel.scope.name", type: "string", value: "net/http" },
            { key: "w3c.tracestate", type: "string", value: "a=b" },
          ],
          logs: [
            {
              timestamp: 1458702548467500,
              fields: [
                { key: "event", type: "string", value: "Searching" },
                { key: "driver_id", type: "int64", value: 7 },
              ],
            },
            { timestamp: 1458702548467600, fields: [{ key: "message", type: "string", value: "plain" }] },
            {
              timestamp: 1458702548467700,
              fields: [
                { key: "event", type: "string", value: "error" },
                { key: "error.kind", type: "string", value: "TypeError" },
                { key: "message", type: "string", value: "no" },
                { key: "stack", type: "string", value: "at x" },
              ],
            },
          ],
          processID: "p1",
          warnings: null,
        },
        {
          traceID: "5982fe77008310cc80f1da5e10147517",
          spanID: "d7a977555f6b982",
          operationName: "SQL SELECT",
          references: [
            { refType: "FOLLOWS_FROM", traceID: "80f1da5e10147517", spanID: "ebf33e1a81dc6f71" },
            { refType: "CHILD_OF", traceID: "5982fe77008310cc80f1da5e10147517", spanID: "bd7a977555f6b982" },
          ],
          startTime: 1458702548467200,
          duration: 10,
          tags: [
            { key: "span.kind", type: "string", value: "client" },
            { key: "error", type: "bool", value: true },
            { key: "otel.status_code", type: "string", value: "ERROR" },
            { key: "otel.status_description", type: "string", value: "timed out" },
          ],
          logs: [],
          processID: "p2",
        },
      ],
      processes: {
        p1: { serviceName: "frontend", tags: [{ key: "hostname", type: "string", value: "box" }] },
        p2: { serviceName: "mysql", tags: [] },
      },
      warnings: null,
    },
  ],
  total: 0,
  limit: 0,
  offset: 0,
  errors: null,
};
