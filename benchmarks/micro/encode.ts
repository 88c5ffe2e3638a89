import { Chunk } from "../../src/export/chunk.ts";
import { createProtobufEncoding } from "../../src/export/protobuf-encoding.ts";
import { createTracer, insideRequest, makeSpan } from "./span.ts";
import type { Case } from "./case.ts";

export const cases: Case[] = [
  {
    name: "encode: create, 8 attributes, end, OTLP protobuf",
    run(times) {
      const encoding = createProtobufEncoding({ "service.name": "bench" });
      const chunk = new Chunk(1 << 20);
      const tracer = createTracer({
        onEnd(span) {
          if (chunk.length > 256 * 1024) chunk.length = 0;
          encoding.append(chunk, span);
          span.release();
        },
      });
      const parent = insideRequest(tracer);
      for (let i = 0; i < times; i++) makeSpan(tracer, parent, i);
      return chunk.length;
    },
  },
];
