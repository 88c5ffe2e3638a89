import * as semconv from "../../src/semconv/attributes.ts";
import type { ReceivedSpan } from "../../test/support/otlp-receiver.ts";
import { operationName, serviceOf } from "./print-trace.ts";
import type { Topic } from "./stage.ts";

/** An operation that must be in the trace, with what must be known about it. */
interface Expected {
  service: string;
  operation: string;
  facts: Record<string, unknown>;
  below: Expected[];
}

/** What was asked for, by whom, and what carried the news of it. */
interface MadeLink {
  id: string;
  url: string;
  user: string;
  topic: Topic;
}

/** What of `POST /shorten` did not arrive: lines for people; none when the trace is whole. */
export function missingFrom(trace: readonly ReceivedSpan[], link: MadeLink): string[] {
  const problems: string[] = [];
  const check = (expected: Expected, parent: ReceivedSpan | undefined): void => {
    const { service, operation, facts } = expected;
    const title = `${service}: ${operation}`;
    const alike = trace.filter((span) => serviceOf(span) === service && operationName(span) === operation);
    const span = alike.find(({ parentSpanId }) => parentSpanId === (parent?.spanId ?? ""));
    if (alike.length === 0) problems.push(`${title} is missing`);
    else if (span === undefined) problems.push(`${title} is in the wrong place`);
    for (const [name, wanted] of Object.entries(facts)) {
      const value = (span ?? alike[0])?.attributes[name];
      if (alike.length > 0 && !satisfies(value, wanted)) {
        problems.push(`${title}: ${name} is ${JSON.stringify(value)} instead of ${String(wanted)}`);
      }
    }
    for (const child of expected.below) check(child, span ?? alike[0]);
  };
  check(wholeTrace(link), undefined);

  const expectedCount = count(wholeTrace(link));
  if (problems.length === 0 && trace.length !== expectedCount) {
    problems.push(`there are ${trace.length} spans instead of ${expectedCount}`);
  }
  return problems;
}

/** Ten operations in eleven spans: the call of analytics is seen from both sides. */
function wholeTrace({ id, url, user, topic }: MadeLink): Expected {
  const parameter = (index: number): string => `${semconv.DB_QUERY_PARAMETER_PREFIX}${index}`;
  const phaseOf = (name: string): string => semconv.TRACEKIT_HTTP_PHASE_PREFIX + name;
  const caller = { [semconv.USER_ID]: user };
  const message = { ...caller, [semconv.TRACEKIT_MESSAGING_BODY_CONTENT]: new RegExp(`"${id}".*"shortened"`) };
  const written = { ...caller, [semconv.TRACEKIT_DB_AFFECTED_ROWS]: 1 };

  const analytics = expect("analytics", "POST /track", { ...caller, [semconv.HTTP_RESPONSE_STATUS_CODE]: 202 }, [
    expect("analytics", "INSERT events", { ...written, [parameter(0)]: "shortened", [parameter(1)]: id }),
    expect("analytics", "POST api.mixpanel.example/track", {
      ...caller,
      [semconv.HTTP_RESPONSE_STATUS_CODE]: 200,
      ...Object.fromEntries(["dns", "connect", "ttfb", "body"].map((phase) => [phaseOf(phase), /^\d/])),
    }),
  ]);
  const selected = { [parameter(0)]: id, [semconv.DB_RESPONSE_RETURNED_ROWS]: 0 };
  return expect("url", "POST /shorten", { ...caller, [semconv.HTTP_RESPONSE_STATUS_CODE]: 201 }, [
    expect("url", "auth.verify", {}),
    expect("url", "SELECT urls", { ...caller, ...selected, [semconv.DB_QUERY_TEXT]: /^SELECT url FROM urls/ }),
    expect("url", "INSERT urls", { ...written, [parameter(0)]: id, [parameter(1)]: url, [parameter(2)]: user }),
    expect("url", `SET url:${id}`, { ...caller, [semconv.CACHE_TTL]: 3600 }),
    expect("url", "POST analytics/track", { ...caller, [semconv.HTTP_RESPONSE_STATUS_CODE]: 202 }, [analytics]),
    expect("url", `${topic === "kafka" || topic === "rabbitmq" ? "send" : "publish"} url-events`, message, [
      expect("notifier", "process url-events", message),
    ]),
  ]);
}

function expect(service: string, name: string, facts: Record<string, unknown>, below: Expected[] = []): Expected {
  return { service, operation: name, facts, below };
}

function count({ below }: Expected): number {
  return below.reduce((sum, child) => sum + count(child), 1);
}

function satisfies(value: unknown, wanted: unknown): boolean {
  return wanted instanceof RegExp ? wanted.test(String(value)) : value === wanted;
}
