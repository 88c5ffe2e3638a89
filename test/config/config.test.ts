import { describe, expect, test } from "vitest";
import { fromProcess, loadConfig, printableUrl } from "../../src/config/config.ts";
import type { Config, TracekitOptions } from "../../src/config/config.ts";
import { MAX_TIMER_MILLIS } from "../../src/config/parse.ts";

const origin = { mainScript: undefined, cwd: "/nowhere" };
const load = (env: Record<string, string | undefined> = {}, options: TracekitOptions = {}): Config =>
  loadConfig(env, options, origin);

describe("endpoint", () => {
  const general = (text: string, protocol = "http/protobuf"): Config =>
    load({ OTEL_EXPORTER_OTLP_ENDPOINT: text, OTEL_EXPORTER_OTLP_PROTOCOL: protocol });

  test.each([
    ["http://c:4318", "http://c:4318/v1/traces"],
    ["http://c:4318/", "http://c:4318/v1/traces"],
    ["http://c:4318/otlp", "http://c:4318/otlp/v1/traces"],
    ["http://c:4318/otlp/", "http://c:4318/otlp/v1/traces"],
    ["HTTPS://c/otlp?key=1", "https://c/otlp/v1/traces?key=1"],
  ])("the base URL %s posts to %s", (text, url) => {
    expect(general(text).otlp.url).toBe(url);
  });

  test.each([
    ["http://c:4318", "http://c:4318/"],
    ["http://c:4318/custom", "http://c:4318/custom"],
    ["http://c:4318/v1/traces/", "http://c:4318/v1/traces/"],
  ])("the traces URL %s is used as it is: %s", (text, url) => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://other", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: text };
    expect(load(env).otlp.url).toBe(url);
  });

  test("a traces URL that cannot be used falls back to the base URL, and says so", () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://base", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "c:4318" };
    const { otlp, problems } = load(env);
    expect(otlp.url).toBe("http://base/v1/traces");
    expect(problems).toEqual([
      'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="c:4318" is not an http:// or https:// URL; using http://base/v1/traces',
    ]);
  });

  test.each([
    "http://user:hunter2@",
    "ftp://user:hunter2@c",
    "http://user:hun/ter2@c",
    "user:hunter2@c:1",
    "c?key=hunter2",
  ])("the message about %s keeps its secrets", (text) => {
    const { problems } = general(text);
    expect(problems).toHaveLength(1);
    expect(problems[0]).not.toContain("hun");
  });

  test.each([
    ["http://c:4317", "", "http://c:4317"],
    ["https://c:4317/ignored", "", "https://c:4317"],
    ["c:4317", "", "https://c:4317"],
    ["c:4317", "true", "http://c:4317"],
    ["https://c:4317", "true", "https://c:4317"],
    ["unix:///run/otel.sock", "", "unix:///run/otel.sock"],
  ])("for gRPC %s with insecure=%j is the target %s", (text, insecure, url) => {
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: text,
      OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
      OTEL_EXPORTER_OTLP_INSECURE: insecure,
    };
    expect(load(env).otlp.url).toBe(url);
    expect(load(env).problems).toEqual([]);
  });

  test("for gRPC the default port is 4317", () => {
    expect(load({ OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }).otlp.url).toBe("http://localhost:4317");
  });

  test("is shown without user, password and query", () => {
    expect(printableUrl("https://u:p@c:1/v1/traces?k=1")).toBe("https://c:1/v1/traces");
    expect(printableUrl("http://localhost:4318/v1/traces")).toBe("http://localhost:4318/v1/traces");
  });
});

describe("specific OTLP variables win over general ones", () => {
  test.each([
    ["PROTOCOL", "http/json", "grpc", (c: Config) => c.otlp.protocol, "grpc"],
    ["COMPRESSION", "gzip", "none", (c: Config) => c.otlp.compression, "none"],
    ["TIMEOUT", "1", "2", (c: Config) => c.otlp.timeoutMillis, 2],
    ["CERTIFICATE", "a", "b", (c: Config) => c.otlp.certificateFile, "b"],
    ["CLIENT_CERTIFICATE", "a", "b", (c: Config) => c.otlp.clientCertificateFile, "b"],
    ["CLIENT_KEY", "a", "b", (c: Config) => c.otlp.clientKeyFile, "b"],
    ["INSECURE", "true", "false", (c: Config) => c.otlp.insecure, false],
  ] as const)("%s", (suffix, general, specific, read, expected) => {
    const env = { [`OTEL_EXPORTER_OTLP_${suffix}`]: general, [`OTEL_EXPORTER_OTLP_TRACES_${suffix}`]: specific };
    expect(read(load(env))).toBe(expected);
    expect(read(load({ ...env, [`OTEL_EXPORTER_OTLP_TRACES_${suffix}`]: "" }))).not.toBe(expected);
  });

  test("HEADERS, name by name and whatever their case", () => {
    const env = { OTEL_EXPORTER_OTLP_HEADERS: "A=1,b=1", OTEL_EXPORTER_OTLP_TRACES_HEADERS: "a=2,C=2" };
    expect(load(env).otlp.headers).toEqual({ a: "2", b: "1", c: "2" });
  });

  test("span limits win over attribute limits, even when larger", () => {
    const env = {
      OTEL_ATTRIBUTE_COUNT_LIMIT: "1",
      OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: "2",
      OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: "0",
      OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT: "",
    };
    expect(load(env).spanLimits).toMatchObject({ attributeCountLimit: 2, attributeValueLengthLimit: 0 });
  });
});

describe("headers", () => {
  test.each([
    ["name with space=1", "an invalid name"],
    ["a=1%0d%0ax:y", "a line break"],
    ["a=%e2%82%ac", "a character no header can carry"],
    ["a=%zz", "broken percent-encoding"],
    ["=1", "no name"],
    ["1", "no equals sign"],
    ["Content-Length=1", "a header that frames the request"],
  ])("leaves out %j (%s) and keeps the others", (entry) => {
    const { otlp, problems } = load({ OTEL_EXPORTER_OTLP_HEADERS: `x=1,${entry},y=` });
    expect(otlp.headers).toEqual({ x: "1", y: "" });
    expect(problems).toEqual([
      "OTEL_EXPORTER_OTLP_HEADERS has an entry that cannot be sent as a header (number 2, expected name=value); leaving it out",
    ]);
  });

  test("a header called __proto__ is a header", () => {
    expect(Object.entries(load({ OTEL_EXPORTER_OTLP_HEADERS: "__proto__=1" }).otlp.headers)).toEqual([
      ["__proto__", "1"],
    ]);
  });
});

describe("numbers", () => {
  test.each(["abc", "-1", "1.5", "NaN", "Infinity", "10s", "1,000", "9007199254740992"])("%j is ignored", (text) => {
    const { batch, problems } = load({ OTEL_BSP_MAX_QUEUE_SIZE: text });
    expect(batch.maxQueueSize).toBe(2048);
    expect(problems).toEqual([`OTEL_BSP_MAX_QUEUE_SIZE="${text}" is not a whole number of at least 1; using 2048`]);
  });

  test("a timeout of 0 is no limit, and neither it nor a huge one overflows a timer", () => {
    const env = { OTEL_EXPORTER_OTLP_TIMEOUT: "0", OTEL_BSP_EXPORT_TIMEOUT: "99999999999" };
    const { otlp, batch } = load(env);
    expect(otlp.timeoutMillis).toBe(MAX_TIMER_MILLIS);
    expect(batch.exportTimeoutMillis).toBe(MAX_TIMER_MILLIS);
  });

  test("a delay or wait of 0 is 0", () => {
    const { batch, exitTimeoutMillis } = load({ OTEL_BSP_SCHEDULE_DELAY: "0", TRACEKIT_EXIT_TIMEOUT: "0" });
    expect([batch.scheduledDelayMillis, exitTimeoutMillis]).toEqual([0, 0]);
  });
});

describe("batch size", () => {
  test("equal to the queue is accepted, one more is lowered and said", () => {
    const env = (size: string) => ({ OTEL_BSP_MAX_QUEUE_SIZE: "100", OTEL_BSP_MAX_EXPORT_BATCH_SIZE: size });
    expect(load(env("100"))).toMatchObject({ batch: { maxExportBatchSize: 100 }, problems: [] });
    expect(load(env("101"))).toMatchObject({
      batch: { maxExportBatchSize: 100 },
      problems: ['OTEL_BSP_MAX_EXPORT_BATCH_SIZE="101" is more than OTEL_BSP_MAX_QUEUE_SIZE; using 100'],
    });
  });

  test("the default follows a smaller queue without a word", () => {
    const { batch, problems } = load({ OTEL_BSP_MAX_QUEUE_SIZE: "10" });
    expect(batch.maxExportBatchSize).toBe(10);
    expect(problems).toEqual([]);
  });
});

describe("sampler", () => {
  test.each(["traceidratio", "parentbased_traceidratio"])("%s records everything without an argument", (name) => {
    expect(load({ OTEL_TRACES_SAMPLER: name }).sampler).toEqual({ name, ratio: 1 });
  });

  test.each(["0", "1", "1e-3"])("the ratio %s is accepted", (ratio) => {
    const { sampler } = load({ OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: ratio });
    expect(sampler.ratio).toBe(Number(ratio));
  });

  test.each(["-0.1", "1.1", "half"])("the ratio %s is ignored as if it were not there", (ratio) => {
    const { sampler, problems } = load({ OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: ratio });
    expect(sampler.ratio).toBe(1);
    expect(problems).toHaveLength(1);
  });

  test("a ratio without a sampler that takes one is pointed out", () => {
    const { sampler, problems } = load({ OTEL_TRACES_SAMPLER_ARG: "0.1" });
    expect(sampler).toEqual({ name: "parentbased_always_on", ratio: 1 });
    expect(problems).toEqual([
      'OTEL_TRACES_SAMPLER_ARG="0.1" has no effect without a ratio sampler (OTEL_TRACES_SAMPLER=parentbased_traceidratio); using parentbased_always_on',
    ]);
  });
});

describe("lists", () => {
  test("what is known counts, what is not is named", () => {
    const { exporters, problems } = load({ OTEL_TRACES_EXPORTER: "console,zipkin,,otlp" });
    expect(exporters).toEqual(["console", "otlp"]);
    expect(problems).toEqual([
      'OTEL_TRACES_EXPORTER="console,zipkin,,otlp" names "zipkin", not one of otlp, console, none; using console,otlp',
    ]);
  });

  test("none beside others is none", () => {
    const { propagators, problems } = load({ OTEL_PROPAGATORS: "b3,none,nonsense" });
    expect(propagators).toEqual([]);
    expect(problems).toHaveLength(1);
  });
});

describe("resource attributes", () => {
  const parse = (text: string) => load({ OTEL_RESOURCE_ATTRIBUTES: text });

  test("are decoded, trimmed, and the last of a name counts", () => {
    expect(parse(" a = 1 ,b%20c=%E2%82%AC,d=x=y,a=2,").resource).toMatchObject({ a: "2", "b c": "€", d: "x=y" });
  });

  test.each(["a=1,b=%", "a=1,b", "a=1,=b", "a=1,b=%ff"])("%j discards all of them", (text) => {
    const { resource, problems } = parse(text);
    expect(resource["a"]).toBeUndefined();
    expect(problems).toEqual([
      `OTEL_RESOURCE_ATTRIBUTES="${text}" is not a list of percent-encoded name=value pairs; ignoring all of it`,
    ]);
  });

  test("name the service unless OTEL_SERVICE_NAME does", () => {
    expect(parse("service.name=a").serviceName).toBe("a");
    const both = load({ OTEL_RESOURCE_ATTRIBUTES: "service.name=a", OTEL_SERVICE_NAME: "b" });
    expect(both.serviceName).toBe("b");
    expect(both.resource["service.name"]).toBe("b");
  });
});

describe("capture", () => {
  const all = ["sql-parameters", "cache-keys", "cache-values", "http-headers", "http-bodies", "messages", "user"];
  test.each([
    ["all", all],
    ["NONE", []],
    ["-http-bodies,-messages", ["sql-parameters", "cache-keys", "cache-values", "http-headers", "user"]],
    ["all,-user", all.slice(0, -1)],
    ["none,user", ["user"]],
    ["user,-user", []],
    ["HTTP-Headers", ["http-headers"]],
  ])("%s", (text, kinds) => {
    const { capture, problems } = load({ TRACEKIT_CAPTURE: text });
    expect([...capture.kinds]).toEqual(kinds);
    expect(problems).toEqual([]);
  });

  test.each(["-http-body", "-http-bodies,-mesages", "all,-htp-headers"])(
    "%s was meant to keep something inside, so nothing is captured",
    (text) => {
      const { capture, problems } = load({ TRACEKIT_CAPTURE: text });
      expect(capture.kinds.size).toBe(0);
      expect(problems).toHaveLength(1);
      expect(problems[0]).toContain("capturing none");
    },
  );

  test("an unknown kind beside known ones is left out", () => {
    const { capture, problems } = load({ TRACEKIT_CAPTURE: "user,headers" });
    expect([...capture.kinds]).toEqual(["user"]);
    expect(problems[0]).toContain("capturing user");
  });
});

describe("redact", () => {
  test.each([
    ["ssn, Birth_Date", ["ssn", "birth_date"], []],
    ["/a{1,3}/,x", ["x"], ["/a{1,3}/g"]],
    ["x,/[/,]/i , y", ["x", "y"], ["/[/,]/gi"]],
    ["/a\\/b,c/", [], ["/a\\/b,c/g"]],
    ["/a/gy,/b/", [], ["/a/g", "/b/g"]],
    [",,", [], []],
  ])("%s", (text, names, patterns) => {
    const { capture, problems } = load({ TRACEKIT_REDACT: text });
    expect(capture.redactNames).toEqual(names);
    expect(capture.redactPatterns.map(String)).toEqual(patterns);
    expect(problems).toEqual([]);
  });

  test.each(["/(/", "/a/zz", "/a"])("%s is reported, the rest of the list holds", (bad) => {
    const { capture, problems } = load({ TRACEKIT_REDACT: `x,${bad},/ok/` });
    expect(capture.redactNames).toEqual(["x"]);
    expect(capture.redactPatterns.map(String)).toEqual(["/ok/g"]);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`has ${JSON.stringify(bad)}, which is not a regular expression`);
  });

  test("a pattern works although the configuration is frozen", () => {
    const [pattern] = load({ TRACEKIT_REDACT: "/\\d+/" }).capture.redactPatterns;
    expect("a1b22".replace(pattern ?? "", "*")).toBe("a*b*");
  });
});

describe("options", () => {
  const env = {
    OTEL_SERVICE_NAME: "env",
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://env/traces",
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: "a=env,b=env",
    OTEL_TRACES_SAMPLER: "always_off",
    TRACEKIT_CAPTURE: "all",
    TRACEKIT_REDACT: "x",
    TRACEKIT_CAPTURE_MAX_BYTES: "1",
    OTEL_LOG_LEVEL: "none",
  };

  test("win over the environment", () => {
    const config = load(env, {
      serviceName: "option",
      endpoint: "http://option/base",
      headers: { A: "ü,=;%", c: "option" },
      samplingRatio: 0.5,
      capture: ["user"],
      captureMaxBytes: 2,
      redact: ["y", /a,b/i],
      logLevel: "debug",
    });
    expect(config.problems).toEqual([]);
    expect(config.serviceName).toBe("option");
    expect(config.otlp.url).toBe("http://option/base/v1/traces");
    expect(config.otlp.headers).toEqual({ a: "ü,=;%", b: "env", c: "option" });
    expect(config.sampler).toEqual({ name: "parentbased_traceidratio", ratio: 0.5 });
    expect([...config.capture.kinds]).toEqual(["user"]);
    expect(config.capture.maxBytes).toBe(2);
    expect(config.capture.redactNames).toEqual(["y"]);
    expect(config.capture.redactPatterns.map(String)).toEqual(["/a,b/gi"]);
    expect(config.logLevel).toBe("debug");
  });

  test("an empty list of captures is none, not the default", () => {
    expect(load({}, { capture: [] }).capture.kinds.size).toBe(0);
  });

  test("a bad one is one message and throws nothing", () => {
    const config = load({}, { samplingRatio: 7, headers: { x: "\ud800" } });
    expect(config.sampler.ratio).toBe(1);
    expect(config.problems).toHaveLength(2);
  });
});

describe("the configuration", () => {
  test("is frozen, all the way down", () => {
    const seen: unknown[] = [];
    const visit = (value: unknown): void => {
      if (typeof value !== "object" || value === null || value instanceof RegExp) return;
      expect(Object.isFrozen(value)).toBe(true);
      seen.push(value);
      for (const inner of Object.values(value)) visit(inner);
    };
    visit(load({ TRACEKIT_REDACT: "/x/", OTEL_EXPORTER_OTLP_HEADERS: "a=1" }));
    expect(seen.length).toBeGreaterThan(10);
  });

  test("detects nothing when disabled", () => {
    const { disabled, resource } = load({ OTEL_SDK_DISABLED: "true" });
    expect(disabled).toBe(true);
    expect(resource).toEqual({});
  });

  test("a long bad value is cut in its message", () => {
    const { problems } = load({ OTEL_LOG_LEVEL: "x".repeat(10_000) });
    expect(problems[0]?.length).toBeLessThan(250);
  });

  test("of this process has its pid and package", () => {
    const { resource } = fromProcess({ serviceName: "here" });
    expect(resource).toMatchObject({ "service.name": "here", "process.pid": process.pid });
  });
});
