import type { JSX } from "preact";
import { listHref, route } from "../router.ts";

/** Name and navigation: on every page. */
export function AppHeader(): JSX.Element {
  const { page } = route.value;
  return (
    <header class="app-header">
      <a class="app-name" href="/">
        <Logo />
        Tracekit
      </a>
      <nav class="app-nav" aria-label="Pages">
        <a href={listHref.value} aria-current={page === "traces" || page === "trace" ? "page" : undefined}>
          Traces
        </a>
        <a href="/services" aria-current={page === "services" ? "page" : undefined}>
          Services
        </a>
      </nav>
    </header>
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
