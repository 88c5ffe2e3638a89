import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { Icon } from "./icon.tsx";

interface Toast {
  id: number;
  text: string;
  tone: "ok" | "error";
}

const SHOWN_MILLIS = 5000;
const toasts = signal<readonly Toast[]>([]);
let latestId = 0;

/** Says something in the corner for a few seconds; errors stay until they are closed. */
export function toast(text: string, tone: Toast["tone"] = "ok"): void {
  const id = ++latestId;
  toasts.value = [...toasts.value.slice(-3), { id, text, tone }];
  if (tone === "ok") setTimeout(() => forget(id), SHOWN_MILLIS);
}

function forget(id: number): void {
  toasts.value = toasts.value.filter((shown) => shown.id !== id);
}

/** Where toasts appear; once per page. */
export function Toasts(): JSX.Element {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, text, tone }) => (
        <div key={id} class={`toast toast-${tone}`}>
          <Icon name={tone === "ok" ? "check" : "error"} label={tone === "ok" ? "Done" : "Error"} />
          <span class="toast-text">{text}</span>
          <button type="button" class="icon-button" aria-label="Close the message" onClick={() => forget(id)}>
            <Icon name="close" size={14} />
          </button>
        </div>
      ))}
    </div>
  );
}
