import { activeContext, runInContext } from "../../src/trace/context.ts";
import { createTracer, insideRequest } from "./span.ts";
import type { Case } from "./case.ts";

export const cases: Case[] = [
  {
    name: "context: read the active one",
    run: (times) =>
      runInContext(
        insideRequest(createTracer()),
        () => {
          let found = 0;
          for (let i = 0; i < times; i++) if (activeContext().span !== undefined) found++;
          return found;
        },
        undefined,
        [],
      ),
  },
  {
    name: "context: run a function in one",
    run(times) {
      const context = insideRequest(createTracer());
      const add = (a: number, b: number): number => a + b;
      let sum = 0;
      for (let i = 0; i < times; i++) sum = runInContext(context, add, undefined, [sum, i]) | 0;
      return sum;
    },
  },
];
