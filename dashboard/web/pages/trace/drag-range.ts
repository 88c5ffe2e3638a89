import type { Range } from "./ticks.ts";

/** Less is a click. */
const LEAST_PIXELS = 4;

/** Selects a part of an axis from where the pointer went down to where it is let go. `left` and `width` place the axis within the
 *  element, in pixels; `range` is what it shows. Draws the selection meanwhile. */
export function dragRange(
  down: PointerEvent & { currentTarget: HTMLElement },
  left: number,
  width: number,
  range: Range,
  select: (range: Range) => void,
): void {
  if (down.button !== 0 || width <= 0) return;
  const element = down.currentTarget;
  const box = element.getBoundingClientRect();
  const place = (x: number): number => Math.min(Math.max(x - box.left - left, 0), width);
  const from = place(down.clientX);
  let to = from;
  const mark = document.createElement("span");
  mark.className = "range-selection";
  down.preventDefault();
  element.setPointerCapture(down.pointerId);
  element.append(mark);
  const move = (event: PointerEvent): void => {
    to = place(event.clientX);
    mark.style.left = `${left + Math.min(from, to)}px`;
    mark.style.width = `${Math.abs(to - from)}px`;
  };
  const stop = (): void => {
    mark.remove();
    element.removeEventListener("pointermove", move);
    element.removeEventListener("pointerup", end);
    element.removeEventListener("lostpointercapture", stop);
  };
  const end = (): void => {
    stop();
    if (Math.abs(to - from) < LEAST_PIXELS) return;
    const at = (x: number): number => range.from + (x / width) * (range.to - range.from);
    select({ from: at(Math.min(from, to)), to: at(Math.max(from, to)) });
  };
  element.addEventListener("pointermove", move);
  element.addEventListener("pointerup", end);
  element.addEventListener("lostpointercapture", stop);
}
