import { render, type JSX } from "preact";
import { useEffect } from "preact/hooks";
import { afterPaint } from "./after-paint.ts";
import { askAhead } from "./ask-ahead.ts";
import { AppHeader } from "./components/app-header.tsx";
import { ImportDrop } from "./components/import-drop.tsx";
import { lazy } from "./components/lazy.tsx";
import { ShortcutsDialog } from "./components/shortcuts-dialog.tsx";
import { EmptyState } from "./components/states.tsx";
import { Toasts } from "./components/toast.tsx";
import { showDirectionControls } from "./direction-controls.ts";
import { startKeyboard } from "./keyboard.tsx";
import { ServicesPage } from "./pages/services/services-page.tsx";
import { startTraceList } from "./pages/traces/trace-list.ts";
import { TracesPage } from "./pages/traces/traces-page.tsx";
import { listHref, route, startRouter } from "./router.ts";

const TracePage = lazy("Loading the trace …", async () => (await import("./pages/trace/trace-page.tsx")).TracePage);

function App(): JSX.Element {
  return (
    <>
      <a class="button skip-link" href="#main">
        Skip to the content
      </a>
      <AppHeader />
      <main id="main" class="app-main" tabIndex={-1}>
        <Page />
      </main>
      <ShortcutsDialog />
      <ImportDrop />
      <Toasts />
    </>
  );
}

function Page(): JSX.Element {
  const { page, traceId = "" } = route.value;
  if (page === "traces") return <TracesPage />;
  if (page === "trace") return <TracePage key={traceId} traceId={traceId} />;
  if (page === "services") return <ServicesPage />;
  return <NoSuchPage />;
}

function NoSuchPage(): JSX.Element {
  useEffect(() => {
    document.title = "No such page – Tracekit";
  }, []);
  return (
    <>
      <h1 class="visually-hidden">No such page</h1>
      <EmptyState title="There is no such page" icon="search">
        <p>
          Go to <a href={listHref.value}>the list of traces</a>.
        </p>
      </EmptyState>
    </>
  );
}

showDirectionControls();
startRouter();
const { page, traceId } = route.peek();
if (page === "trace" && traceId !== undefined) askAhead(traceId);
startKeyboard();
startTraceList();
const container = document.getElementById("app");
if (container !== null) render(<App />, container);
// So that a click on a trace need not wait for it.
afterPaint(() => void TracePage.load());
