import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { repositoryRoot } from "../support/built.ts";
import { makeTrackedFolder } from "../support/started.ts";
import type { App } from "../support/run-app.ts";
import type { OtlpReceiver, ReceivedSpan } from "../support/otlp-receiver.ts";

/** One request to the shop, and the trace that arrives of it: whole, in one trace, and nothing twice. */
export async function expectShopTrace(app: App, receiver: OtlpReceiver): Promise<readonly ReceivedSpan[]> {
  const response = await fetch(`http://127.0.0.1:${await app.port()}/items/41`);
  expect(await response.json()).toEqual({ next: 42, price: 7 });
  const spans = await receiver.waitForSpans((received) => treeOf(received).length >= 5);
  const traceId = spans.find((span) => span.name === "GET /items/:id")?.traceId;
  const trace = spans.filter((span) => span.traceId === traceId);
  expect(treeOf(trace)).toEqual([
    "(none) > SERVER GET /items/:id",
    "CLIENT GET > SERVER GET /price",
    "SERVER GET /items/:id > CLIENT GET http",
    "SERVER GET /items/:id > CLIENT GET redis",
    "SERVER GET /items/:id > CLIENT SELECT postgresql",
  ]);
  return trace;
}

function treeOf(spans: readonly ReceivedSpan[]): string[] {
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  return spans
    .map((span) => {
      const parent = byId.get(span.parentSpanId);
      const system = span.kind === "CLIENT" ? ` ${String(span.attributes["db.system.name"] ?? "http")}` : "";
      return `${parent === undefined ? "(none)" : `${parent.kind} ${parent.name}`} > ${span.kind} ${span.name}${system}`;
    })
    .toSorted();
}

/** Writes files into a folder of their own from which the libraries under test resolve; the path of `main` in it. */
export function placeFiles(files: Readonly<Record<string, string>>, main: string): string {
  const parent = join(process.env["TRACEKIT_TEST_PACKAGE_DIR"] || join(repositoryRoot, "test"), ".tmp");
  mkdirSync(parent, { recursive: true });
  const folder = makeTrackedFolder(join(parent, "files-"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return join(folder, main);
}
