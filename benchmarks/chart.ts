import type { Report } from "./report.ts";

const shown = [
  { variant: "tracekit", label: "Tracekit", color: "#1a7f6c" },
  { variant: "dd-trace", label: "dd-trace", color: "#9a6fb0" },
  { variant: "opentelemetry", label: "OpenTelemetry", color: "#d08a2e" },
];
const bar = 14;
const gap = 18;
const left = 84;
const width = 760;

/** An SVG of the CPU time that each tracer adds to a request, in microseconds, on one scale. */
export function drawChart(report: Report): string {
  const rows = Object.entries(report.workloads);
  const added = (workload: string, variant: string): number =>
    Math.max(0, report.workloads[workload]?.[variant]?.addedCpuMicrosPerRequest ?? 0);
  const largest = Math.max(1, ...rows.flatMap(([workload]) => shown.map(({ variant }) => added(workload, variant))));
  const scale = (width - left - 70) / largest;
  const group = shown.length * bar + gap;
  const top = 52;
  const height = top + rows.length * group;

  const legend = shown.map(
    ({ label, color }, index) =>
      `<rect x="${left + index * 130}" y="26" width="10" height="10" fill="${color}"/>` +
      `<text x="${left + 16 + index * 130}" y="35">${label}</text>`,
  );
  const bars = rows.flatMap(([workload], row) => {
    const y = top + row * group;
    const name = `<text x="${left - 10}" y="${y + (shown.length * bar) / 2 + 4}" text-anchor="end">${workload}</text>`;
    return [
      name,
      ...shown.map(({ variant, color }, index) => {
        const value = added(workload, variant);
        const length = Math.max(1, value * scale);
        const line = y + index * bar;
        return (
          `<rect x="${left}" y="${line}" width="${length.toFixed(1)}" height="${bar - 3}" fill="${color}"/>` +
          `<text class="value" x="${(left + length + 5).toFixed(1)}" y="${line + bar - 4}">${value.toFixed(1)}</text>`
        );
      }),
    ];
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>CPU time added to a request, Node ${report.node}</title>
<style>text{font:12px system-ui,sans-serif;fill:#57606a}.value{font-size:11px}@media(prefers-color-scheme:dark){text{fill:#9da7b3}}</style>
<text x="${left}" y="14">CPU time added to a request, µs, Node ${report.node}</text>
${[...legend, ...bars].join("\n")}
</svg>
`;
}
