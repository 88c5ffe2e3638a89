/** Colours there are. */
export const SLOTS = 12;

/** Which of the colours a service has, and from now on keeps. The name decides; where two services would share a colour, the
 *  later one takes the next that is free. */
export function slotOf(service: string, taken: Map<string, number>): number {
  let slot = taken.get(service);
  if (slot === undefined) {
    slot = freeSlot(hash(service) % SLOTS, new Set(taken.values()));
    taken.set(service, slot);
  }
  return slot;
}

/** The preferred slot, or the next one that is free; the preferred one again when all are taken. */
export function freeSlot(preferred: number, taken: ReadonlySet<number>): number {
  for (let step = 0; step < SLOTS; step++) {
    const slot = (preferred + step) % SLOTS;
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
