/** How long a question may keep the thread from writing. */
const TURN_MILLIS = 25;

/** Long answers are worked out in turns: between them the thread does what else is waiting. */
export class Turns {
  private startedMillis: number = performance.now();

  /** To be awaited every millisecond or so. Goes on at once while the turn lasts. */
  async next(): Promise<void> {
    if (performance.now() - this.startedMillis < TURN_MILLIS) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.startedMillis = performance.now();
  }
}
