import { signal, type ReadonlySignal } from "@preact/signals";

const time = signal(Date.now());

/** Unix milliseconds, renewed every second while somebody looks. */
export const now: ReadonlySignal<number> = time;

setInterval(() => {
  if (document.visibilityState === "visible") time.value = Date.now();
}, 1000);
document.addEventListener("visibilitychange", () => (time.value = Date.now()));
