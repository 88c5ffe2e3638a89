import type { Page } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import { usePages } from "./pages.ts";
import { idOf, sendTrace } from "./sent-spans.ts";

const pages = usePages();

beforeAll(async () => {
  const start = Date.now();
  for (const [index, name] of ["older", "newer"].entries())
    await sendTrace(pages.url(), {
      traceId: name,
      start: start + index * 1000,
      spans: [
        { id: `${name}r`, name: `GET /${name}`, kind: 2, to: 50 },
        {
          id: `${name}q`,
          parent: `${name}r`,
          name: `SELECT ${name}`,
          kind: 3,
          from: 5,
          to: 20,
          attributes: { "db.system.name": "postgresql", "db.query.text": `SELECT * FROM ${name}` },
        },
      ],
    });
});

const focused = (page: Page): Promise<string> =>
  page.evaluate("document.activeElement.innerText.replaceAll(/\\s+/g, ' ')");
const press = async (page: Page, ...keys: string[]): Promise<void> => {
  for (const key of keys) await page.keyboard.press(key);
};

test("from the list to a statement and back, with no mouse", async () => {
  const page = await pages.open("/");
  await page.getByText("/newer").waitFor();
  await press(page, "j", "j");
  await expect.poll(() => focused(page)).toContain("/older");
  await press(page, "k");
  await expect.poll(() => focused(page)).toContain("/newer");
  await press(page, "Enter");
  await page.waitForURL(/\/trace\//);
  await page.getByText("SELECT newer").first().waitFor();
  await press(page, "j", "j");
  await expect.poll(() => focused(page)).toContain("SELECT newer");
  await press(page, "Enter");
  await expect.poll(() => page.getByRole("complementary", { name: "Span" }).innerText()).toContain("Query");
  expect(new URL(page.url()).searchParams.get("span")).toBe(idOf("newerq"));
  await press(page, "Escape");
  await expect.poll(() => new URL(page.url()).searchParams.get("span")).toBeNull();
  await press(page, "g", "s");
  await page.waitForURL(/\/services/);
  await press(page, "g", "t");
  await page.getByText("/older").waitFor();
});

test("everything that can be focused shows that it is", async () => {
  const page = await pages.open("/");
  await page.getByText("/newer").waitFor();
  const seen = new Set<string>();
  for (let index = 0; index < 25; index++) {
    await press(page, "Tab");
    const { name, outlined } = await page.evaluate<{ name: string; outlined: boolean }>(`(() => {
      const element = document.activeElement;
      const { outlineStyle, boxShadow } = getComputedStyle(element);
      const around = getComputedStyle(element.parentElement);
      const outlined = outlineStyle !== "none" || boxShadow !== "none" || around.outlineStyle !== "none" || around.boxShadow !== "none";
      return { name: element.outerHTML.slice(0, 120), outlined };
    })()`);
    if (name.startsWith("<body")) break;
    seen.add(name);
    expect({ name, outlined }).toEqual({ name, outlined: true });
  }
  expect(seen.size).toBeGreaterThan(12);
});

test("? lists the keys of the page; they can be switched off for those who dictate", async () => {
  const page = await pages.open("/");
  await page.getByText("/newer").waitFor();
  await press(page, "?");
  const dialog = page.getByRole("dialog");
  const text = await dialog.innerText();
  for (const words of ["Pause, or go on", "Go to the services", "Search in everything that was captured"])
    expect(text).toContain(words);
  await press(page, "Escape");
  await expect.poll(() => dialog.count()).toBe(0);
});
