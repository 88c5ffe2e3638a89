import { expect, test } from "vitest";
import { usePages } from "./pages.ts";
import { sendTrace } from "./sent-spans.ts";

const pages = usePages();

test("characters that turn the order of text are written out wherever captured text is shown", async () => {
  const turned = "a\u202egnp.exe";
  const traceId = await sendTrace(pages.url(), {
    traceId: "turned",
    spans: [
      {
        id: "t",
        service: `shop ${turned}`,
        name: `GET /${turned}`,
        kind: 2,
        to: 9,
        attributes: {
          "http.request.method": "GET",
          "url.path": `/${turned}`,
          "user.id": `u ${turned}`,
          "http.request.body.content": JSON.stringify({ [turned]: turned }),
        },
      },
      {
        id: "q",
        parent: "t",
        name: "SELECT",
        kind: 3,
        to: 5,
        attributes: { "db.system.name": "postgresql", "db.query.text": `SELECT '${turned}'` },
      },
    ],
  });
  const page = await pages.open("/");
  await page.locator('.traces-rows [role="row"]').filter({ hasText: "GET /a[U+202E]gnp.exe" }).waitFor();
  const controls = async (): Promise<string[]> =>
    (await page.locator("#app").innerHTML()).match(/.{0,30}[\u202a-\u202e\u2066-\u2069]/g) ?? [];
  expect(await controls()).toEqual([]);
  for (const id of ["t", "q"]) {
    await page.goto(`${pages.url()}/trace/${traceId}?span=${Buffer.from(id).toString("hex").padStart(16, "0")}`);
    await page.locator(".trace-panel").getByText("[U+202E]").first().waitFor();
    expect(await controls()).toEqual([]);
  }
});
