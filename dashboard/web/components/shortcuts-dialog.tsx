import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { enableSingleKeys, shortcuts, singleKeysEnabled, useShortcut, type ShortcutScope } from "../keyboard.tsx";
import { route } from "../router.ts";
import { Dialog } from "./dialog.tsx";

const isShown = signal(false);

export function showShortcuts(): void {
  isShown.value = true;
}

const HEADINGS: Readonly<Record<ShortcutScope, string>> = {
  traces: "List of traces",
  trace: "Trace",
  services: "Services",
  anywhere: "Anywhere",
};

const KEY_NAMES: Readonly<Record<string, string>> = {
  ArrowDown: "↓",
  ArrowUp: "↑",
  ArrowLeft: "←",
  ArrowRight: "→",
  Escape: "Esc",
  PageDown: "Page ↓",
  PageUp: "Page ↑",
  Mod: /Mac|iP/.test(navigator.platform) ? "⌘" : "Ctrl",
};

/** All that can be pressed on the page that is shown. */
export function ShortcutsDialog(): JSX.Element | null {
  useShortcut("?", "Show these shortcuts", showShortcuts, "anywhere");
  if (!isShown.value) return null;
  const listed = shortcuts.value.filter(
    ({ label, scope }) => label !== "" && (scope === "anywhere" || scope === route.value.page),
  );
  const scopes = (Object.keys(HEADINGS) as ShortcutScope[]).filter((scope) =>
    listed.some((one) => one.scope === scope),
  );
  return (
    <Dialog title="Keyboard" wide onClose={() => (isShown.value = false)}>
      <div class="shortcuts">
        {scopes.map((scope) => (
          <section key={scope}>
            <h3>{HEADINGS[scope]}</h3>
            <dl>
              {listed
                .filter((one) => one.scope === scope)
                .map(({ keys, label }) => (
                  <div key={keys}>
                    <dt>{label}</dt>
                    <dd>
                      <Keys keys={keys} />
                    </dd>
                  </div>
                ))}
            </dl>
          </section>
        ))}
      </div>
      <label class="checkbox">
        <input
          type="checkbox"
          checked={singleKeysEnabled.value}
          onChange={(event) => enableSingleKeys(event.currentTarget.checked)}
        />
        Single letters are shortcuts
      </label>
    </Dialog>
  );
}

function Keys({ keys }: { keys: string }): JSX.Element {
  return (
    <>
      {keys.split("|").map((alternative, index) => (
        <span key={alternative}>
          {index > 0 && <span class="faint"> or </span>}
          {alternative.split(/[ +](?=.)/).map((key) => (
            <kbd key={key}>{KEY_NAMES[key] ?? key}</kbd>
          ))}
        </span>
      ))}
    </>
  );
}
