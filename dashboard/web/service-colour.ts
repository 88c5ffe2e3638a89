const COLOURS = 12;
const REMEMBERED_AS = "tracekit.service-colours";

const slots = new Map<string, number>(remembered());

/** The service's colour as a CSS value, `var(--service-3)`, at least 3:1 on every surface of both themes. The name decides;
 *  where two services that were seen would share a colour, the later one takes the next that is free, and keeps it. */
export function serviceColour(service: string): string {
  return `var(${serviceColourName(service)})`;
}

/** The name of the custom property behind `serviceColour`, for a canvas that has to look its value up. */
export function serviceColourName(service: string): string {
  let slot = slots.get(service);
  if (slot === undefined) {
    slot = freeSlot(hash(service) % COLOURS, new Set(slots.values()));
    slots.set(service, slot);
    remember();
  }
  return `--service-${slot}`;
}

/** The preferred slot, or the next one that is free; the preferred one again when all are taken. */
export function freeSlot(preferred: number, taken: ReadonlySet<number>): number {
  for (let step = 0; step < COLOURS; step++) {
    const slot = (preferred + step) % COLOURS;
    if (!taken.has(slot)) return slot;
  }
  return preferred;
}

/** FNV-1a. Source: draft-eastlake-fnv. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

function remembered(): [string, number][] {
  try {
    const entries: unknown = JSON.parse(globalThis.localStorage.getItem(REMEMBERED_AS) ?? "[]");
    return (entries as [string, number][]).filter(([, slot]) => Number.isInteger(slot) && slot >= 0 && slot < COLOURS);
  } catch {
    return []; // no storage, or nothing of ours in it
  }
}

function remember(): void {
  try {
    // Only as many as can be told apart; beyond, the hash alone gives the same colour again.
    globalThis.localStorage.setItem(REMEMBERED_AS, JSON.stringify([...slots].slice(0, COLOURS)));
  } catch {
    // private window: colours hold until it is closed
  }
}
