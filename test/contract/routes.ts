import { afterAll, beforeAll, expect, test } from "vitest";
import { ask, type ComparedApp, startComparedApp } from "../support/compared-app.ts";

/** What is asked for, and the span's name. */
type Routed = [path: string, name: string, init?: RequestInit];
/** What no route answers, and the status. */
type Unrouted = [path: string, status: number, init?: RequestInit];
/** What fails: `error.type` and the message. */
type Failing = [path: string, type: string, message: string, init?: RequestInit];
/** What is answered with less than 500, and the messages of the errors the framework has seen. */
type Handled = [path: string, name: string, status: number, messages: string[], init?: RequestInit];

/** A framework's application, and what its requests are to look like. Each is compared with the same one without the preload. */
export interface RoutesContract {
  readonly code: string;
  readonly type: "cjs" | "esm";
  /** What is installed for it. */
  readonly versions: Readonly<Record<string, string>>;
  readonly routes: Routed[];
  readonly unrouted: Unrouted[];
  readonly errors: Failing[];
  readonly handled: Handled[];
  /** Two patterns that are asked for at the same time, many times, with a number for each parameter. */
  readonly together: readonly [string, string];
}

/** Declares the tests every framework with routes passes. The application is there once they run. */
export function routesContract(contract: RoutesContract): () => ComparedApp {
  let compared: ComparedApp;
  beforeAll(async () => {
    compared = await startComparedApp(contract.code, contract.type, contract.versions);
  });
  afterAll(() => compared?.close());

  test.each<Routed>(contract.routes)("%s is %s", async (path, name, init) => {
    const span = await compared.spanOf(path, init);
    expect(span.name).toBe(name);
    expect(span.attributes["http.route"]).toBe(name.slice(name.indexOf(" ") + 1));
    expect([span.status.code, span.events]).toEqual(["UNSET", []]);
  });

  test.each<Unrouted>(contract.unrouted)("%s has no route where it is answered with %i", async (path, status, init) => {
    const span = await compared.spanOf(path, init);
    expect(span.name).toBe("GET");
    expect(span.attributes).not.toHaveProperty("http.route");
    expect(span.attributes["http.response.status_code"]).toBe(status);
    expect(span.status.code).toBe("UNSET");
  });

  test.each<Failing>(contract.errors)("the error of %s is on the span: %s, %s", async (path, type, message, init) => {
    const span = await compared.spanOf(path, init);
    expect(span.attributes).toMatchObject({ "http.response.status_code": 500, "error.type": type });
    expect(span.status).toEqual({ code: "ERROR", message });
    expect(span.events).toHaveLength(1);
    expect(span.events[0]?.attributes).toMatchObject({
      "exception.type": type,
      "exception.message": message,
      "exception.stacktrace": expect.stringMatching(/app\.[cm]js/),
    });
  });

  test.each<Handled>(contract.handled)(
    "an error of %s is no failure where it is answered: %s, %i",
    async (path, name, status, messages, init) => {
      const span = await compared.spanOf(path, init);
      expect(span.name).toBe(name);
      expect(span.attributes["http.response.status_code"]).toBe(status);
      expect(span.attributes).not.toHaveProperty("error.type");
      expect(span.status.code).toBe("UNSET");
      expect(span.events.map(({ attributes }) => attributes["exception.message"])).toEqual(messages);
    },
  );

  test("requests at the same time keep their own routes", async () => {
    compared.receiver.reset();
    const asked = Array.from({ length: 12 }, (_, index) => index).flatMap((number) =>
      contract.together.map((route) => ({ route, path: route.replaceAll(/:\w+|\{\w+\}/g, String(number)) })),
    );
    await Promise.all(asked.map(({ path }) => ask(compared.traced, path)));
    const spans = await compared.receiver.waitForSpans(asked.length);
    const routeOf = new Map(asked.map(({ path, route }) => [path, route]));
    for (const { attributes } of spans) {
      expect(attributes["http.route"]).toBe(routeOf.get(String(attributes["url.path"])));
    }
  });

  return () => compared;
}
