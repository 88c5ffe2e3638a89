import { Capture } from "../../src/capture/capture.ts";
import type { CaptureKind } from "../../src/capture/capture.ts";
import type { Case } from "./case.ts";

const kinds: CaptureKind[] = [
  "sql-parameters",
  "cache-keys",
  "cache-values",
  "http-headers",
  "http-bodies",
  "messages",
];

/** A capture that records everything, with the default budget. */
export function createCapture(): Capture {
  return new Capture({ kinds: new Set(kinds), maxBytes: 4096, redactNames: [], redactPatterns: [] });
}

function textCase(name: string, capture: (texts: Capture, text: string) => string, texts: string[]): Case {
  return {
    name,
    run(times) {
      const captured = createCapture();
      let length = 0;
      for (let i = 0; i < times; i++) length += capture(captured, texts[i % texts.length]!).length;
      return length;
    },
  };
}

const item = (index: number): object => ({ sku: `SKU-${index}`, title: `Analytical engine, part ${index}`, count: 2 });
const clean: string = JSON.stringify({ id: "o_1", items: Array.from({ length: 32 }, (_, index) => item(index)) });
const secret: string = JSON.stringify({ user: "ada", password: "hunter2 hunter2", items: [1, 2, 3].map(item) });

export const cases: Case[] = [
  textCase("redaction: SQL parameter of 24 characters", (capture, text) => capture.value("title", text), [
    "Analytical engine, steel",
    "Difference engine, brass",
  ]),
  textCase("redaction: cache key", (capture, text) => capture.key(text), ["user:42:profile", "session:x7k9m2"]),
  textCase("redaction: 2 KiB of JSON without a secret", (capture, text) => capture.text(text), [clean]),
  textCase("redaction: JSON with a password", (capture, text) => capture.text(text), [secret]),
  textCase("redaction: URL with a query", (capture, text) => capture.url(text), ["/search?q=engine&page=2&sort=price"]),
  {
    name: "redaction: statement seen before",
    run(times) {
      const capture = createCapture();
      let parameters = 0;
      for (let i = 0; i < times; i++) {
        if (capture.sql("SELECT id, url FROM urls WHERE id = $1 AND owner = $2") !== undefined) parameters++;
      }
      return parameters;
    },
  },
];
