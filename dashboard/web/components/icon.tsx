import type { JSX } from "preact";

/** Drawn in a 16 by 16 square with a stroke of 1.5 in the text's colour. */
const PATHS = {
  "arrow-down": "M8 3v10M4 9l4 4 4-4",
  "arrow-left": "M13 8H3M7 4 3 8l4 4",
  "arrow-right": "M3 8h10M9 4l4 4-4 4",
  "arrow-up": "M8 13V3M4 7l4-4 4 4",
  bookmark: "M4 2.5h8v11L8 10.5l-4 3z",
  cache: "M9 1.5 3.5 9H8l-1 5.5L12.5 7H8z",
  check: "M3 8.5 6.5 12 13 4.5",
  "chevron-down": "m4 6 4 4 4-4",
  "chevron-left": "M10 4 6 8l4 4",
  "chevron-right": "m6 4 4 4-4 4",
  "chevron-up": "m4 10 4-4 4 4",
  clock: "M8 1.75a6.25 6.25 0 1 0 0 12.5 6.25 6.25 0 0 0 0-12.5M8 4.5V8l2.5 1.75",
  close: "m4 4 8 8M12 4l-8 8",
  code: "M5.5 4 1.5 8l4 4M10.5 4l4 4-4 4",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  database:
    "M2.75 4c0-1.1 2.35-2 5.25-2s5.25.9 5.25 2-2.35 2-5.25 2-5.25-.9-5.25-2v8c0 1.1 2.35 2 5.25 2s5.25-.9 5.25-2V4M2.75 8c0 1.1 2.35 2 5.25 2s5.25-.9 5.25-2",
  download: "M8 2v8M4.5 6.5 8 10l3.5-3.5M2.5 13.5h11",
  error: "M8 1.75a6.25 6.25 0 1 0 0 12.5 6.25 6.25 0 0 0 0-12.5M8 4.75v4M8 11.1v.15",
  external: "M9.5 2.5h4v4M13.5 2.5 7.5 8.5M11.5 9.5v4h-9v-9h4",
  filter: "M2 4h12M4.5 8h7M6.5 12h3",
  flame: "M2 13.5h12M2 10.5h9M2 7.5h6M2 4.5h4",
  group: "M2.5 3.5h11M5.5 8h8M5.5 12.5h8M2.5 3.5v9h3M2.5 8h3",
  http: "M8 1.75a6.25 6.25 0 1 0 0 12.5 6.25 6.25 0 0 0 0-12.5M1.75 8h12.5M8 1.75c1.7 1.6 2.5 3.8 2.5 6.25S9.7 12.65 8 14.25C6.3 12.65 5.5 10.45 5.5 8S6.3 3.35 8 1.75",
  info: "M8 1.75a6.25 6.25 0 1 0 0 12.5 6.25 6.25 0 0 0 0-12.5M8 7.25v4M8 4.75v.15",
  "in-flight": "M8 1.75a6.25 6.25 0 1 1-6.25 6.25",
  internal: "M8 2 13.5 5v6L8 14l-5.5-3V5zM2.5 5 8 8l5.5-3M8 8v6",
  keyboard: "M1.5 4h13v8h-13zM4 6.5h.15M6.6 6.5h.15M9.2 6.5h.15M11.8 6.5h.15M5 9.5h6",
  link: "M6.5 9.5a2.6 2.6 0 0 0 3.9.3l2.2-2.2a2.65 2.65 0 0 0-3.75-3.75l-1 1M9.5 6.5a2.6 2.6 0 0 0-3.9-.3L3.4 8.4a2.65 2.65 0 0 0 3.75 3.75l1-1",
  list: "M2.5 4h11M2.5 8h11M2.5 12h11",
  logs: "M3 2.5h10v11H3zM5.5 5.5h5M5.5 8h5M5.5 10.5h3",
  messaging: "M2 3.5h12v9H2zM2 4l6 5 6-5",
  minus: "M3 8h10",
  monitor: "M2 3h12v8H2zM5.5 13.5h5M8 11v2.5",
  moon: "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z",
  more: "M3.5 8h.15M8 8h.15M12.5 8h.15",
  pause: "M5.5 3v10M10.5 3v10",
  play: "M4.5 2.75 12.5 8l-8 5.25z",
  plus: "M8 3v10M3 8h10",
  query:
    "M2.75 4c0-1.1 2.35-2 5.25-2s5.25.9 5.25 2-2.35 2-5.25 2-5.25-.9-5.25-2v8c0 1.1 2.35 2 5.25 2s5.25-.9 5.25-2V4",
  refresh: "M13.5 3v3.5H10M2.5 13V9.5H6M13 6.5A5.5 5.5 0 0 0 3.4 5M3 9.5A5.5 5.5 0 0 0 12.6 11",
  rpc: "M2.5 5.5h10M9.5 2.5l3 3-3 3M13.5 10.5h-10M6.5 7.5l-3 3 3 3",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.3 10.3l3.2 3.2",
  service: "M2.5 2.5h11v4h-11zM2.5 9.5h11v4h-11zM5 4.5h.15M5 11.5h.15",
  spans: "M2 3.5h8M4 8h9M7 12.5h7",
  sun: "M8 5.25a2.75 2.75 0 1 0 0 5.5 2.75 2.75 0 0 0 0-5.5M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1.1 1.1M11.9 11.9 13 13M13 3l-1.1 1.1M4.1 11.9 3 13",
  trash: "M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.6 9h6.8l.6-9M6.75 7v4M9.25 7v4",
  upload: "M8 10V2M4.5 5.5 8 2l3.5 3.5M2.5 13.5h11",
  user: "M8 2.25a2.75 2.75 0 1 0 0 5.5 2.75 2.75 0 0 0 0-5.5M2.75 14c.4-2.6 2.5-4 5.25-4s4.85 1.4 5.25 4",
  warning: "M8 2.25 14.5 13.5h-13zM8 6.5v3.25M8 11.6v.15",
  waterfall: "M2 3.5h12M4.5 7h6M6.5 10.5h4M10 14h4",
} as const;

export type IconName = keyof typeof PATHS;

/** A drawing in the colour of the text beside it. Decoration unless it has a label. `size` in pixels, default 16. */
export function Icon({ name, size = 16, label }: { name: IconName; size?: number; label?: string }): JSX.Element {
  return (
    <svg
      class={`icon icon-${name}`}
      width={size}
      height={size}
      viewBox="0 0 16 16"
      role={label === undefined ? undefined : "img"}
      aria-label={label}
      aria-hidden={label === undefined ? "true" : undefined}
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
