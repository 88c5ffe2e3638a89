import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { parseFilter } from "../../src/model/filter.ts";
import { api } from "../api.ts";
import { now } from "../clock.ts";
import { formatCount, plural } from "../format.ts";
import { chooseFile } from "../import-file.ts";
import { useShortcut } from "../keyboard.tsx";
import { connection, refreshStatus, serverStatus } from "../live.ts";
import { listHref, navigate, route } from "../router.ts";
import { chooseTheme, theme, themeChoice, type ThemeChoice } from "../theme.ts";
import { Dialog } from "./dialog.tsx";
import { Icon } from "./icon.tsx";
import { Menu } from "./popover.tsx";
import { showShortcuts } from "./shortcuts-dialog.tsx";
import { toast } from "./toast.tsx";

/** Name, navigation, and what concerns everything: on every page. */
export function AppHeader(): JSX.Element {
  const { page } = route.value;
  useShortcut("g t", "Go to the traces", () => navigate(listHref.peek()), "anywhere");
  useShortcut("g s", "Go to the services", () => navigate("/services"), "anywhere");
  return (
    <header class="app-header">
      <a class="app-name" href="/" aria-label="Tracekit">
        <Logo />
        <span class="app-name-text">Tracekit</span>
      </a>
      <nav class="app-nav" aria-label="Pages">
        <a href={listHref.value} aria-current={page === "traces" ? "page" : page === "trace" ? "true" : undefined}>
          Traces
        </a>
        <a href="/services" aria-current={page === "services" ? "page" : undefined}>
          Services
        </a>
      </nav>
      <div class="app-tools">
        <ConnectionState />
        <DataMenu />
        <ThemeMenu />
        <button
          type="button"
          class="icon-button"
          aria-label="Keyboard shortcuts"
          title="Keyboard shortcuts (?)"
          onClick={showShortcuts}
        >
          <Icon name="keyboard" />
        </button>
      </div>
    </header>
  );
}

function ConnectionState(): JSX.Element {
  const { state, nextAttemptAt } = connection.value;
  if (state === "open")
    return (
      <span class="connection connection-open" role="status" title="What arrives is shown at once">
        <span class="connection-dot" aria-hidden="true" />
        Live
      </span>
    );
  if (state === "connecting")
    return (
      <span class="connection" role="status">
        <Icon name="in-flight" size={14} /> Connecting
      </span>
    );
  const seconds = Math.max(0, Math.ceil(((nextAttemptAt ?? 0) - now.value) / 1000));
  return (
    <span
      class="connection connection-lost"
      title="The dashboard's server does not answer. Start it again: npx tracekit dashboard"
    >
      <Icon name="warning" size={14} />
      <span role="status">Server gone</span>
      <span class="muted">{seconds > 0 ? `trying again in ${seconds} s` : "trying again"}</span>
    </span>
  );
}

function DataMenu(): JSX.Element {
  const [isClearing, setClearing] = useState(false);
  const { traceId } = route.value;
  const { filter } = parseFilter(new URLSearchParams(listHref.value.split(/\?(.*)/s)[1] ?? ""));
  const isFiltered = Object.keys(filter).length > 0;
  const exported =
    traceId !== undefined
      ? { label: "Export this trace", href: api.exportUrl([traceId]) }
      : { label: isFiltered ? "Export the filtered traces" : "Export all traces", href: api.exportUrl(filter) };
  const isEmpty = serverStatus.value?.traceCount === 0;
  return (
    <>
      <Menu
        label="Data"
        align="end"
        buttonClass="button button-quiet"
        face={
          <>
            Data <Icon name="chevron-down" size={12} />
          </>
        }
        items={[
          { label: "Import a file…", icon: "upload", action: chooseFile },
          {
            label: exported.label,
            icon: "download",
            action: { href: exported.href, download: "" },
            disabled: isEmpty,
          },
          {
            label: "Clear everything…",
            icon: "trash",
            danger: true,
            disabled: isEmpty,
            action: () => setClearing(true),
          },
        ]}
      />
      {isClearing && <ClearDialog onClose={() => setClearing(false)} />}
    </>
  );
}

function ClearDialog({ onClose }: { onClose: () => void }): JSX.Element {
  const status = serverStatus.value;
  const clear = async (): Promise<void> => {
    try {
      await api.clear();
      onClose();
      toast("All traces are cleared.");
      void refreshStatus();
      if (route.peek().page === "trace") navigate(listHref.peek());
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), "error");
    }
  };
  return (
    <Dialog
      title="Clear everything?"
      onClose={onClose}
      footer={
        <>
          <button type="button" class="button" autofocus onClick={onClose}>
            Cancel
          </button>
          <button type="button" class="button button-danger" onClick={() => void clear()}>
            <Icon name="trash" size={14} /> Clear
          </button>
        </>
      }
    >
      <p>
        {status === undefined
          ? "All traces"
          : `${plural(status.traceCount, "trace")} with ${plural(status.spanCount, "span")} and ${formatCount(status.logCount)} log records`}{" "}
        will be forgotten. This cannot be undone; saved filters stay.
      </p>
    </Dialog>
  );
}

const THEMES: readonly { choice: ThemeChoice; label: string; icon: "monitor" | "sun" | "moon" }[] = [
  { choice: "system", label: "As the system", icon: "monitor" },
  { choice: "light", label: "Light", icon: "sun" },
  { choice: "dark", label: "Dark", icon: "moon" },
];

function ThemeMenu(): JSX.Element {
  return (
    <Menu
      label="Theme"
      title="Theme"
      align="end"
      buttonClass="icon-button"
      face={<Icon name={theme.value === "dark" ? "moon" : "sun"} />}
      items={THEMES.map(({ choice, label, icon }) => ({
        label,
        icon,
        checked: themeChoice.value === choice,
        action: () => chooseTheme(choice),
      }))}
    />
  );
}

function Logo(): JSX.Element {
  return (
    <svg width="18" height="18" viewBox="0 0 18 18" fill="currentColor" aria-hidden="true">
      <rect x="1" y="2" width="13" height="3" rx="1.5" />
      <rect x="4" y="7.5" width="8" height="3" rx="1.5" opacity=".7" />
      <rect x="8" y="13" width="9" height="3" rx="1.5" />
    </svg>
  );
}
