import { createCapture } from "./redaction.ts";
import type { Case } from "./case.ts";

function bodyCase(name: string, bytes: Uint8Array): Case {
  return {
    name,
    run(times) {
      const capture = createCapture();
      let length = 0;
      for (let i = 0; i < times; i++) length += capture.body("application/json; charset=utf-8", bytes)?.length ?? 0;
      return length;
    },
  };
}

const line = { sku: "SKU-1000", title: "Analytical engine, polished brass", count: 2, cents: 1995 };
const toBody = (lines: number): Buffer => Buffer.from(JSON.stringify({ id: "o_1", items: Array(lines).fill(line) }));

export const cases: Case[] = [
  bodyCase("body: 0.1 KiB of JSON", toBody(1)),
  bodyCase("body: 2 KiB of JSON", toBody(25)),
  bodyCase("body: 64 KiB of JSON, cut at 4 KiB", toBody(780)),
];
