import { signal, type ReadonlySignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { route } from "./router.ts";

export type ShortcutScope = "anywhere" | "traces" | "trace" | "services";

export interface Shortcut {
  /** One key (`j`, `ArrowDown`, `?`), several in a row (`g t`), with modifiers (`Mod+k`), or alternatives (`j|ArrowDown`). */
  keys: string;
  label: string;
  scope: ShortcutScope;
  action(event: KeyboardEvent): void;
}

/** Keys in a row must follow within this time. */
const SEQUENCE_MILLIS = 1200;
const REMEMBERED_AS = "tracekit.single-keys";

const registered = signal<readonly Shortcut[]>([]);
const singleKeys = signal(rememberedSingleKeys());

/** All that can be pressed now, for the list of shortcuts. */
export const shortcuts: ReadonlySignal<readonly Shortcut[]> = registered;

/** Whether keys without a modifier do something; people who dictate switch them off. Source: WCAG 2.2, 2.1.4. */
export const singleKeysEnabled: ReadonlySignal<boolean> = singleKeys;

export function enableSingleKeys(enabled: boolean): void {
  singleKeys.value = enabled;
  try {
    localStorage.setItem(REMEMBERED_AS, enabled ? "on" : "off");
  } catch {
    // private window
  }
}

/** Does `action` when the keys are pressed while the component is shown and the page is the scope's. Not while typing,
 *  not below an open dialog, not when the event was already handled. The latest registered wins.
 *  The browser's own action is prevented. An empty label keeps it out of the `?` list. */
export function useShortcut(
  keys: string,
  label: string,
  action: (event: KeyboardEvent) => void,
  scope: ShortcutScope,
): void {
  const latest = useRef(action);
  latest.current = action;
  useEffect(() => {
    const shortcut: Shortcut = { keys, label, scope, action: (event) => latest.current(event) };
    registered.value = [...registered.peek(), shortcut];
    return () => {
      registered.value = registered.peek().filter((other) => other !== shortcut);
    };
  }, [keys, label, scope]);
}

let pressed: string[] = [];
let pressedAt = 0;

/** Listens; called once. */
export function startKeyboard(): void {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || isModifier(event.key)) return;
    const target = event.target instanceof HTMLElement ? event.target : document.body;
    const withModifier = event.ctrlKey || event.metaKey || event.altKey;
    if (!withModifier && isTyping(target)) return;
    if (!withModifier && !singleKeys.value && event.key.length === 1) return;
    if (document.querySelector("dialog:modal") !== null) return;
    // Enter and the space bar on a control are the control's own.
    if (isMovingWithin(target, event.key)) return;
    if (
      (event.key === "Enter" || event.key === " ") &&
      target.closest("button, a, summary, select, [role=menuitem]") !== null
    )
      return;

    const now = Date.now();
    if (now - pressedAt > SEQUENCE_MILLIS) pressed = [];
    pressedAt = now;
    pressed = [...pressed, keyName(event)].slice(-2);
    const active = registered.peek().filter(({ scope }) => scope === "anywhere" || scope === route.peek().page);
    const found = find(active, pressed.join(" ")) ?? find(active, keyName(event));
    if (found === undefined) return;
    pressed = [];
    event.preventDefault();
    found.action(event);
  });
}

function find(active: readonly Shortcut[], keys: string): Shortcut | undefined {
  return active.findLast((shortcut) => shortcut.keys === keys || shortcut.keys.split("|").includes(keys));
}

function keyName(event: KeyboardEvent): string {
  const key = event.key === " " ? "Space" : event.key;
  const modifier = event.ctrlKey || event.metaKey ? "Mod+" : event.altKey ? "Alt+" : "";
  // A capital letter or `?` says itself that Shift is down; `Shift+Tab` and the like need saying.
  return modifier + (event.shiftKey && key.length > 1 ? "Shift+" : "") + key;
}

function isModifier(key: string): boolean {
  return key === "Shift" || key === "Control" || key === "Alt" || key === "Meta";
}

function isTyping(element: HTMLElement): boolean {
  if (element.isContentEditable || element instanceof HTMLTextAreaElement || element instanceof HTMLSelectElement)
    return true;
  return element instanceof HTMLInputElement && !["checkbox", "radio", "button", "range"].includes(element.type);
}

/** Arrows choose among radio buttons and move sliders. */
function isMovingWithin(element: HTMLElement, key: string): boolean {
  return (
    element instanceof HTMLInputElement &&
    (element.type === "radio" || element.type === "range") &&
    /^(?:Arrow|Home|End|Page)/.test(key)
  );
}

function rememberedSingleKeys(): boolean {
  try {
    return localStorage.getItem(REMEMBERED_AS) !== "off";
  } catch {
    return true;
  }
}
