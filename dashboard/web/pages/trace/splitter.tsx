import type { JSX } from "preact";
import { useState } from "preact/hooks";

const STEP = 24;

/** A length in pixels that is remembered in this browser. */
export function useRemembered(name: string, initial: number): [number, (value: number) => void] {
  const key = `tracekit.${name}`;
  const [value, setValue] = useState(() => {
    try {
      return Number(localStorage.getItem(key)) || initial;
    } catch {
      return initial;
    }
  });
  const change = (next: number): void => {
    setValue(next);
    try {
      localStorage.setItem(key, String(Math.round(next)));
    } catch {
      // private window: it holds until the page is closed
    }
  };
  return [value, change];
}

/** The line between two parts of the page, to be dragged or moved with arrow keys. Sets the width of the part on its `side`. */
export function Splitter(props: {
  label: string;
  class: string;
  value: number;
  least: number;
  most: number;
  side: "left" | "right";
  onChange: (value: number) => void;
}): JSX.Element {
  const { value, least, most } = props;
  const set = (next: number): void => props.onChange(Math.min(Math.max(next, least), most));
  const direction = props.side === "left" ? 1 : -1;
  const drag = (down: PointerEvent & { currentTarget: HTMLElement }): void => {
    const handle = down.currentTarget;
    down.preventDefault();
    handle.setPointerCapture(down.pointerId);
    handle.focus({ preventScroll: true });
    const move = (event: PointerEvent): void => set(value + (event.clientX - down.clientX) * direction);
    const end = (): void => {
      handle.removeEventListener("pointermove", move);
      handle.removeEventListener("lostpointercapture", end);
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("lostpointercapture", end);
  };
  return (
    <div
      class={`splitter ${props.class}`}
      role="separator"
      aria-orientation="vertical"
      aria-label={props.label}
      aria-valuenow={Math.round(value)}
      aria-valuemin={Math.round(least)}
      aria-valuemax={Math.round(most)}
      tabIndex={0}
      onPointerDown={drag}
      onKeyDown={(event) => {
        const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (steps === undefined) return;
        event.preventDefault();
        set(value + steps * STEP * direction);
      }}
    />
  );
}
