import { expect, test } from "vitest";
import { withVisibleControls } from "../../web/direction-controls.ts";

test("what turns the order of characters is written out", () => {
  expect(withVisibleControls("invoice\u202efdp.exe")).toBe("invoice[U+202E]fdp.exe");
  expect(withVisibleControls("\u2066a\u2069 \u202ab\u202c")).toBe("[U+2066]a[U+2069] [U+202A]b[U+202C]");
});

test("text of any direction stays as it was written", () => {
  for (const text of ["GET /users", "שלום עולם", "مرحبا\u200f!", "👩‍💻"]) expect(withVisibleControls(text)).toBe(text);
});
