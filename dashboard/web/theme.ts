import { computed, effect, signal, type ReadonlySignal } from "@preact/signals";

export type ThemeChoice = "system" | "light" | "dark";

const REMEMBERED_AS = "tracekit.theme";
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const system = signal<"light" | "dark">(systemIsDark.matches ? "dark" : "light");
systemIsDark.addEventListener("change", (event) => (system.value = event.matches ? "dark" : "light"));

const choice = signal<ThemeChoice>(rememberedChoice());

/** What the person chose. */
export const themeChoice: ReadonlySignal<ThemeChoice> = choice;

/** What is shown; a canvas reads it to be drawn anew when it changes. */
export const theme: ReadonlySignal<"light" | "dark"> = computed(() =>
  choice.value === "system" ? system.value : choice.value,
);

export function chooseTheme(chosen: ThemeChoice): void {
  choice.value = chosen;
  try {
    localStorage.setItem(REMEMBERED_AS, chosen);
  } catch {
    // private window: it holds until the page is closed
  }
}

/** The value of a custom property in the theme that is shown, for canvases: `tokenValue("--service-3")`. Reads `theme`, so
 *  an effect or component that calls it runs again when the theme changes. */
export function tokenValue(name: string): string {
  // The attribute is written by an effect that may run after the caller's.
  document.documentElement.dataset["theme"] = theme.value;
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

effect(() => {
  document.documentElement.dataset["theme"] = theme.value;
});

function rememberedChoice(): ThemeChoice {
  try {
    const value = localStorage.getItem(REMEMBERED_AS);
    if (value === "light" || value === "dark") return value;
  } catch {
    // no storage
  }
  return "system";
}
