import { SLOTS, slotOf } from "./service-slots.ts";

const REMEMBERED_AS = "tracekit.service-colours";

const slots = new Map<string, number>(remembered());

/** The service's colour as a CSS value, `var(--service-3)`, at least 3:1 on every surface of both themes. A service keeps its
 *  colour, also from one visit to the next. */
export function serviceColour(service: string): string {
  return `var(${serviceColourName(service)})`;
}

/** The name of the custom property behind `serviceColour`, for a canvas that has to look its value up. */
export function serviceColourName(service: string): string {
  const known = slots.size;
  const slot = slotOf(service, slots);
  if (slots.size > known) remember();
  return `--service-${slot}`;
}

function remembered(): [string, number][] {
  try {
    const entries: unknown = JSON.parse(localStorage.getItem(REMEMBERED_AS) ?? "[]");
    return (entries as [string, number][]).filter(([, slot]) => Number.isInteger(slot) && slot >= 0 && slot < SLOTS);
  } catch {
    return []; // no storage, or nothing of ours in it
  }
}

function remember(): void {
  try {
    // Only as many as can be told apart; beyond, the name alone gives the same colour again.
    localStorage.setItem(REMEMBERED_AS, JSON.stringify([...slots].slice(0, SLOTS)));
  } catch {
    // private window: colours hold until it is closed
  }
}
