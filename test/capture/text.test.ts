import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Capture, type CaptureConfig } from "../../src/capture/capture.ts";
import { CREDENTIAL_FAMILIES } from "../../src/capture/credentials.ts";
import { NAME_WINDOWS } from "../../src/capture/names.ts";
import { harmlessNames, harmlessTexts, notations, sensitiveNames, shapedSecrets } from "./secrets.ts";

const config: CaptureConfig = { kinds: new Set(), maxBytes: 4096, redactNames: [], redactPatterns: [] };
const capture = new Capture(config);

/** Every stretch of `size` characters of the secret must be gone, raw and as JSON writes it. */
function expectGone(output: string, secret: string, size: number): void {
  for (const form of [secret, JSON.stringify(secret).slice(1, -1)]) {
    for (let i = 0; i + size <= form.length; i++) {
      const part = form.slice(i, i + size);
      if (!/[A-Za-z0-9]{2}/.test(part)) continue; // escapes and quotes stand around values, too
      if (output.includes(part))
        throw new Error(`${JSON.stringify(part)} of ${JSON.stringify(secret)} is left in ${output}`);
    }
  }
}

// Upper case, digits and marks: nothing the notations around it contain, so that any stretch of four is its own.
const tokenChar = fc.constantFrom(..."QWXZJKVHYU345789");
const token = fc.string({ unit: tokenChar, minLength: 8, maxLength: 60 });
const phrase = fc
  .tuple(
    token,
    fc.array(
      fc.tuple(
        fc.constantFrom(" ", '"', "'", "\\", ",", "}", "]", ")", "&", "=", "<", "\n", "é", "🎉", '\\"', ":"),
        token,
      ),
      { maxLength: 5 },
    ),
  )
  .map(([head, rest]) => head + rest.map(([mark, part]) => mark + part).join(""));
const name = fc.constantFrom(...sensitiveNames);

describe("a credential is known by its shape", () => {
  describe.each(shapedSecrets)("$kind", ({ value, core }) => {
    const hidden = core ?? value;
    test.each([
      ["alone", (secret: string) => secret],
      ["in prose", (secret: string) => `It said ${secret} and failed.`],
      ["in JSON", (secret: string) => JSON.stringify({ note: `x ${secret}`, ok: 1 })],
      ["after an escaped line break", (secret: string) => JSON.stringify({ note: `line\n${secret}\nend` })],
      ["in JSON inside JSON", (secret: string) => JSON.stringify({ a: JSON.stringify({ note: secret }) })],
      ["in XML", (secret: string) => `<note>${secret}</note>`],
      ["among others", (secret: string) => `[${secret}] (${secret}) ${secret},${secret}`],
    ])("%s", (_, write) => {
      const out = capture.text(write(value));
      expectGone(out, hidden, Math.min(8, hidden.length));
      expect(out).toContain("REDACTED");
    });

    test("in a query, percent-encoded", () => {
      const out = capture.url(`/a?q=${encodeURIComponent(value)}&r=${encodeURIComponent(encodeURIComponent(value))}`);
      expectGone(decodeURIComponent(decodeURIComponent(out)), hidden, Math.min(8, hidden.length));
    });

    test("across the end of the budget", () => {
      const small = new Capture({ ...config, maxBytes: 200 });
      for (let padding = 150; padding <= 205; padding++) {
        const out = small.text(`${"a b ".repeat(60).slice(0, padding)} ${value} ${"tail ".repeat(500)}`);
        expectGone(out, hidden, Math.min(8, hidden.length));
      }
    });

    test("cut anywhere by the one who read it", () => {
      const body = Buffer.from(JSON.stringify({ id: 1, note: `x ${value}`, after: "y" }));
      for (let length = 0; length < body.length; length++) {
        const out = capture.body("application/json", body.subarray(0, length), true)!;
        // Of a card number, the first digits name the bank and are no secret.
        expectGone(out, hidden, Math.min(9, hidden.length));
      }
    });
  });

  test("families, names, cards and the user's names have a bit each in 32", () => {
    expect(CREDENTIAL_FAMILIES.length + NAME_WINDOWS.length + 1 + 1).toBeLessThanOrEqual(32);
    const lines = [...NAME_WINDOWS, ...CREDENTIAL_FAMILIES.map(({ windows }) => windows)];
    for (const window of lines.flatMap((line) => line.split(" "))) expect(window).toHaveLength(3);
  });
});

describe("the value of a sensitive name", () => {
  describe.each(notations)("in $kind", ({ write, bare, contentType }) => {
    test("is hidden for each name", () => {
      for (const sensitive of sensitiveNames) {
        if (/\W/.test(sensitive) && contentType.includes("graphql")) continue;
        const out = capture.body(contentType, Buffer.from(write(sensitive, "QWXZ-3457-JKVH")))!;
        expect(out, sensitive).not.toContain("3457");
        expect(out, sensitive).toContain("REDACTED");
      }
    });

    test("is hidden whatever it is", () => {
      fc.assert(
        fc.property(name, bare ? token : phrase, (sensitive, secret) => {
          const out = capture.body(contentType, Buffer.from(write(sensitive, secret)))!;
          expectGone(contentType.includes("form") ? decodeURIComponent(out) : out, secret, 4);
        }),
        { numRuns: 300 },
      );
    });

    test("is hidden in a body cut at any byte", () => {
      fc.assert(
        fc.property(name, bare ? token : phrase, fc.nat(), (sensitive, secret, at) => {
          const body = Buffer.from(write(sensitive, secret));
          const out = capture.body(contentType, body.subarray(0, at % (body.length + 1)), true)!;
          expectGone(out, secret, 4);
        }),
        { numRuns: 300 },
      );
    });

    test("is hidden across the end of the budget", () => {
      const small = new Capture({ ...config, maxBytes: 100 });
      fc.assert(
        fc.property(name, bare ? token : phrase, fc.integer({ min: 0, max: 120 }), (sensitive, secret, padding) => {
          const body = `${"a b ".repeat(30).slice(0, padding)}\n${write(sensitive, secret)}${" c".repeat(900)}`;
          expectGone(small.text(body), secret, 4);
        }),
        { numRuns: 200 },
      );
    });

    test("changes nothing when redacted again", () => {
      fc.assert(
        fc.property(name, bare ? token : phrase, (sensitive, secret) => {
          const once = capture.body(contentType, Buffer.from(write(sensitive, secret)))!;
          expect(capture.body(contentType, Buffer.from(once))).toBe(once);
        }),
        { numRuns: 200 },
      );
    });

    test("stays when the name is harmless", () => {
      for (const harmless of harmlessNames) {
        const text = write(harmless, "abc");
        expect(capture.body(contentType, Buffer.from(text))).toBe(text);
      }
    });
  });
});

describe("what is no secret stays as it is", () => {
  test.each(harmlessTexts)("%j", (text) => expect(capture.text(text)).toBe(text));

  test("any JSON with harmless names and plain values", () => {
    const value = fc.oneof(
      fc.lorem(),
      fc.boolean(),
      fc.integer({ min: -99999, max: 99999 }),
      fc.constant(null),
      fc.webUrl(),
    );
    const document = fc.letrec((tie) => ({
      node: fc.oneof({ maxDepth: 4 }, value, fc.array(tie("node"), { maxLength: 4 }), tie("record")),
      record: fc.dictionary(fc.constantFrom(...harmlessNames), tie("node"), { maxKeys: 6 }),
    })).node;
    // A URL made at random may end in `/Dsn=`, which announces a secret.
    const announcesSecret = (text: string): boolean =>
      Array.from(text.matchAll(/([\w.-]+)=/g)).some(([, announced]) => capture.isSensitiveName(announced!));
    expect(announcesSecret('["http://a.aa/Dsn="]')).toBe(true);
    fc.assert(
      fc.property(document, (tree) => {
        const text = JSON.stringify(tree);
        fc.pre(text.length < 4000 && !announcesSecret(text));
        expect(capture.text(text)).toBe(text);
      }),
    );
  });
});

describe("the budget", () => {
  test("is counted in bytes of UTF-8, and cuts between characters", () => {
    const small = new Capture({ ...config, maxBytes: 16 });
    expect(small.text("0123456789abcdef")).toBe("0123456789abcdef");
    expect(small.text("0123456789abcdefg")).toBe("0123456789abc…");
    expect(small.text("ééééééé")).toBe("ééééééé");
    expect(small.text("éééééééééé")).toBe("éééééé…");
    expect(small.text("🎉🎉🎉🎉")).toBe("🎉🎉🎉🎉");
    expect(small.text("🎉🎉🎉🎉🎉")).toBe("🎉🎉🎉…");
  });

  test("never leaves half of the word REDACTED", () => {
    const small = new Capture({ ...config, maxBytes: 24 });
    expect(small.text("password=hunter2hunter2 and more")).toBe("password=REDACTED and…");
    expect(small.text("some words password=hunter2 and more")).toBe("some words password=…");
  });

  test("holds for every method and any input", () => {
    const input = fc.oneof(
      fc.string({ unit: "binary", maxLength: 300 }),
      fc.constantFrom(...harmlessTexts, ...shapedSecrets.map((s) => s.value)),
    );
    fc.assert(
      fc.property(input, fc.integer({ min: 0, max: 80 }), (text, maxBytes) => {
        const small = new Capture({ ...config, maxBytes });
        const outputs = [
          small.text(text),
          small.url(text),
          small.query(text),
          small.header("referer", text),
          small.key(text),
          small.error(text),
          small.payload(text),
          small.sql(text).text,
          small.body("text/plain", Buffer.from(text)) ?? "",
        ];
        for (const out of outputs) expect(Buffer.byteLength(out)).toBeLessThanOrEqual(maxBytes);
        const once = capture.text(text);
        expect(capture.text(once)).toBe(once);
      }),
      { numRuns: 500 },
    );
  });
});

describe("hostile text", () => {
  // Quadratic work on these takes minutes; the test's time-out is the assertion.
  test.each([
    ["password", 100_000],
    ['"token":"', 60_000],
    ['"token":', 60_000],
    ["eyJ", 150_000],
    ["://a:", 100_000],
    ["://a:b", 100_000],
    ["1 ", 200_000],
    ["4 ", 200_000],
    ["\\", 300_000],
    ['\\"', 150_000],
    ["[", 300_000],
    ["<token ", 50_000],
    ["<token>", 50_000],
    ["-----BEGIN PRIVATE KEY", 20_000],
    ["'", 300_000],
    ["Authorization: ", 30_000],
    ["token ", 80_000],
    ['token "', 60_000],
    ["key.", 100_000],
    ["token%3D", 60_000],
    ["Basic ", 60_000],
    ["bearer ", 60_000],
    ["sk-", 100_000],
    ["$$", 100_000],
    ["(", 200_000],
    ["/*", 100_000],
    ["a::", 80_000],
    [")=(", 80_000],
    ["Failing row contains (", 10_000],
    ["Duplicate entry '", 15_000],
    ["%", 150_000],
    ["%2", 100_000],
    ["&a=%25", 30_000],
  ])("of %j repeated takes linear time", (unit, times) => {
    const wide = new Capture({ ...config, maxBytes: 1_000_000 });
    const text = unit.repeat(times);
    for (const input of [text, `password=${text}`, `{"password":"${text}`, `SELECT '${text}`, `${text}@`]) {
      wide.text(input);
      wide.url(input);
      wide.key(input);
      wide.error(input);
      wide.header("cookie", input);
      wide.sql(input);
    }
  });
});

test("nothing is too short to be looked at that could hold a secret", () => {
  expect(capture.text("pw=x")).toBe("pw=REDACTED");
  expect(new Capture({ ...config, redactNames: ["q"] }).text("q=1")).toBe("q=REDACTED");
  expect(new Capture({ ...config, redactPatterns: [/7/] }).text("7")).toBe("REDACTED");
});

describe("the user's own rules", () => {
  const own = new Capture({ ...config, redactNames: ["acmeId"], redactPatterns: [/EMP-\d+/, /x*/g] });
  test("names are found in text", () => {
    expect(own.text('{"acme_id":"42","b":1}')).toBe('{"acme_id":"REDACTED","b":1}');
    expect(own.query("user-acme-id=42&b=1")).toBe("user-acme-id=REDACTED&b=1");
  });
  test("patterns are replaced everywhere, and one that matches nothing inserts nothing", () => {
    expect(own.text("EMP-1 and EMP-23 abc")).toBe("REDACTED and REDACTED abc");
  });
});
