import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const sheet = readFileSync(join(import.meta.dirname, "../../web/styles/00-tokens.css"), "utf8");

function tokensOf(theme: string): Map<string, string> {
  const block = new RegExp(`:root\\[data-theme="${theme}"\\] \\{([^}]*)\\}`).exec(sheet)?.[1] ?? "";
  return new Map([...block.matchAll(/(--[\w-]+):\s*([^;]+);/g)].map(([, name = "", value = ""]) => [name, value]));
}

/** Source: WCAG 2.2, relative luminance and contrast ratio. */
function contrast(a: string, b: string): number {
  const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(hex: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const channel = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

const SURFACES = ["--bg", "--surface", "--surface-raised", "--surface-sunken", "--hover", "--selected"];
const TEXTS = ["--text", "--text-muted", "--text-faint", "--accent", "--error", "--warn", "--ok"].concat(
  ["keyword", "string", "number", "name", "comment"].map((name) => `--code-${name}`),
);
const SERVICES = Array.from({ length: 12 }, (_, slot) => `--service-${slot}`);

describe.each(["light", "dark"])("in the %s theme", (theme) => {
  const tokens = tokensOf(theme);
  const pairs = (fronts: string[], backs: string[]): [string, string][] =>
    fronts.flatMap((front) => backs.map((back): [string, string] => [front, back]));
  const weak = (among: [string, string][], least: number): string[] =>
    among.flatMap(([front, back]) => {
      const ratio = contrast(tokens.get(front) ?? "", tokens.get(back) ?? "");
      return ratio >= least ? [] : [`${front} on ${back}: ${ratio.toFixed(2)}`];
    });

  test("text can be read on every surface", () => {
    expect(weak(pairs(TEXTS, SURFACES), 4.5)).toEqual([]);
  });

  test("text can be read on what carries a meaning", () => {
    const soft: [string, string][] = [
      ["--error", "--error-soft"],
      ["--warn", "--warn-soft"],
      ["--ok", "--ok-soft"],
      ["--accent", "--accent-soft"],
      ["--text", "--error-soft"],
      ["--text", "--warn-soft"],
      ["--text", "--mark"],
      ["--on-accent", "--accent"],
      ["--on-accent", "--accent-hover"],
      ["--on-error", "--error"],
    ];
    expect(weak(soft, 4.5)).toEqual([]);
    expect(
      weak(
        SERVICES.map((service): [string, string] => ["--on-service", service]),
        4.5,
      ),
    ).toEqual([]);
  });

  test("services, fields and focus stand out from every surface", () => {
    expect(weak(pairs([...SERVICES, "--border-strong", "--focus"], SURFACES), 3)).toEqual([]);
  });

  test("no two services have the same colour", () => {
    expect(new Set(SERVICES.map((service) => tokens.get(service))).size).toBe(12);
  });
});

test("both themes define the same tokens", () => {
  expect([...tokensOf("dark").keys()]).toEqual([...tokensOf("light").keys()]);
});
