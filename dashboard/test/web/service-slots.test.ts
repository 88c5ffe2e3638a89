import { expect, test } from "vitest";
import { freeSlot, SLOTS, slotOf } from "../../web/service-slots.ts";

test("a service keeps its colour while others come", () => {
  const taken = new Map<string, number>();
  const first = slotOf("checkout", taken);
  for (let index = 0; index < 30; index++) slotOf(`service-${index}`, taken);
  expect(slotOf("checkout", taken)).toBe(first);
  expect(slotOf("checkout", new Map())).toBe(first);
});

test("as many services as there are colours all look different", () => {
  const taken = new Map<string, number>();
  for (let index = 0; index < SLOTS; index++) slotOf(`service-${index}`, taken);
  expect(new Set(taken.values()).size).toBe(SLOTS);
});

test("when all colours are taken, the name alone decides", () => {
  const all = new Set(Array.from({ length: SLOTS }, (_, slot) => slot));
  expect(freeSlot(7, all)).toBe(7);
  expect(freeSlot(11, new Set([11]))).toBe(0);
});
