import { computed, signal, type ReadonlySignal } from "@preact/signals";
import { changedSearch, parseRoute, type Route } from "./route.ts";

export type { Route };

const address = signal(location.pathname + location.search);
const lastList = signal("/");

/** What the address shows. The address is the state: whatever a page lets a person choose is in `params`. */
export const route: ReadonlySignal<Route> = computed(() => {
  const [path = "/", search = ""] = address.value.split(/\?(.*)/s);
  return parseRoute(path, search);
});

/** The list as it was left, filters included: where "back to the list" leads. */
export const listHref: ReadonlySignal<string> = lastList;

/** To an address of this page: `/`, `/trace/<id>?span=<id>`, `/services`. */
export function navigate(to: string, options: { replace?: boolean } = {}): void {
  if (to === location.pathname + location.search) return;
  if (options.replace === true) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  arrive();
}

/** Changes parameters of the address and keeps the rest; null takes one out. */
export function setParams(changes: Record<string, string | null>, options: { replace?: boolean } = {}): void {
  navigate(location.pathname + changedSearch(new URLSearchParams(location.search), changes), options);
}

/** Listens to the back button and to links of the page; called once. */
export function startRouter(): void {
  arrive();
  addEventListener("popstate", arrive);
  document.addEventListener("click", (event) => {
    if (
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    if (!(link instanceof HTMLAnchorElement) || link.origin !== location.origin) return;
    if (link.target !== "" || link.hasAttribute("download") || link.pathname.startsWith("/api/")) return;
    // Within the page: the browser's own business.
    if (link.hash !== "" && link.pathname + link.search === location.pathname + location.search) return;
    event.preventDefault();
    navigate(link.pathname + link.search);
  });
}

function arrive(): void {
  address.value = location.pathname + location.search;
  if (location.pathname === "/") lastList.value = address.value;
}
