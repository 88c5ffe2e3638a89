import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Capture, type CaptureConfig, type CaptureKind } from "../../src/capture/capture.ts";
import { harmlessKeys, secretKeys, sensitiveNames } from "./secrets.ts";

const config: CaptureConfig = { kinds: new Set(), maxBytes: 4096, redactNames: [], redactPatterns: [] };
const capture = new Capture(config);
const small = new Capture({ ...config, maxBytes: 64 });

test("each kind has its switch", () => {
  const kinds = [
    "sql-parameters",
    "cache-keys",
    "cache-values",
    "http-headers",
    "http-bodies",
    "messages",
    "user",
  ] as const;
  const switches = ["sqlParameters", "cacheKeys", "cacheValues", "headers", "bodies", "messages", "user"] as const;
  for (const [i, kind] of kinds.entries()) {
    const one = new Capture({ ...config, kinds: new Set<CaptureKind>([kind]) });
    expect(switches.filter((name) => one[name])).toEqual([switches[i]]);
  }
});

describe("a URL", () => {
  test.each([
    ["https://example.com/a?b=1#c", "https://example.com/a?b=1#c"],
    ["/a/b", "/a/b"],
    ["*", "*"],
    ["example.com:443", "example.com:443"],
    ["https://bob:hunter2@example.com/a", "https://REDACTED:REDACTED@example.com/a"],
    ["https://bob:hun@ter2@example.com/a", "https://REDACTED:REDACTED@example.com/a"],
    ["https://ghost@example.com/a", "https://REDACTED@example.com/a"],
    ["https://example.com/users/@me", "https://example.com/users/@me"],
    ["/a?token=abc&page=2", "/a?token=REDACTED&page=2"],
    ["/a?token=&page=2", "/a?token=&page=2"],
    ["/a?X-Amz-Signature=abc&X-Amz-Expires=60", "/a?X-Amz-Signature=REDACTED&X-Amz-Expires=60"],
    ["/a?sig=abc&se=2024", "/a?sig=REDACTED&se=2024"],
    ["/a?user%5Bpassword%5D=abc&user[pin]=1", "/a?user%5Bpassword%5D=REDACTED&user[pin]=REDACTED"],
    ["/cb#access_token=abc&state=x", "/cb#access_token=REDACTED&state=x"],
    ["/cb?code=abc&state=x", "/cb?code=REDACTED&state=x"],
    ["/zip?code=10115", "/zip?code=10115"],
    ["/go?next=%2Flogin%3Ftoken%3Dabc%26a%3D1", "/go?next=%2Flogin%3Ftoken%3DREDACTED%26a%3D1"],
    ["/go?next=%252Flogin%253Ftoken%253Dabc", "/go?next=%252Flogin%253Ftoken%253DREDACTED"],
    ["/a?q=100%&token=abc", "/a?q=100%&token=REDACTED"],
    ["/password-reset/9f86d081884c7d659a2f/done", "/password-reset/REDACTED/done"],
    ["/verify/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/verify/REDACTED"],
    ["/users/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/users/3f2504e0-4f89-11d3-9a0c-0305e82c3301"],
    ["/api/token/refresh", "/api/token/refresh"],
    ["/a;jsessionid=AB12CD34?x=1", "/a;jsessionid=REDACTED?x=1"],
  ])("%s", (url, expected) => {
    expect(capture.url(url)).toBe(expected);
    expect(capture.url(expected)).toBe(expected);
  });

  test.each(sensitiveNames)("hides the value of %s in its query", (name) => {
    const query = `a=1&${encodeURIComponent(name)}=QWXZ3457&b=2`;
    expect(capture.query(query)).toBe(`a=1&${encodeURIComponent(name)}=REDACTED&b=2`);
  });

  test("is cut to the budget after it is redacted", () => {
    expect(small.url(`/a?token=${"x".repeat(100)}&b=1`)).toBe("/a?token=REDACTED&b=1");
    expect(small.url(`/${"a/".repeat(100)}`)).toBe(`/${"a/".repeat(30)}…`);
  });
});

describe("a header", () => {
  test.each([
    ["Authorization", "Bearer abc.def", "Bearer REDACTED"],
    ["authorization", "Basic dXNlcjpwYXNz", "Basic REDACTED"],
    ["AUTHORIZATION", "AWS4-HMAC-SHA256 Credential=AKIA/x, Signature=abc", "AWS4-HMAC-SHA256 REDACTED"],
    ["authorization", "abcdef", "REDACTED"],
    ["authorization", "my secret phrase", "REDACTED"],
    ["proxy-authorization", 'Digest username="bob", response="abc"', "Digest REDACTED"],
    ["cookie", "sid=abc; theme=dark; flag", "sid=REDACTED; theme=REDACTED; REDACTED"],
    [
      "Set-Cookie",
      "sid=abc; Path=/; HttpOnly; SameSite=Lax; Max-Age=60",
      "sid=REDACTED; Path=/; HttpOnly; SameSite=Lax; Max-Age=60",
    ],
    [
      "set-cookie",
      "a=1; Expires=Wed, 21 Oct 2015 07:28:00 GMT; Secure",
      "a=REDACTED; Expires=Wed, 21 Oct 2015 07:28:00 GMT; Secure",
    ],
    ["set-cookie", "a=1; Path=/, b=2; Path=/", "a=REDACTED; Path=REDACTED; Path=/"],
    ["set-cookie", "abc", "REDACTED"],
    ["X-Api-Key", "abc", "REDACTED"],
    ["x-amz-security-token", "abc", "REDACTED"],
    ["cookie", "", ""],
    ["content-type", "application/json; charset=utf-8", "application/json; charset=utf-8"],
    ["www-authenticate", 'Bearer realm="api", error="invalid_token"', 'Bearer realm="api", error="invalid_token"'],
    ["referer", "https://a.example/b?token=abc", "https://a.example/b?token=REDACTED"],
    ["location", "https://u:p@a.example/", "https://REDACTED:REDACTED@a.example/"],
    ["user-agent", "curl/8.0", "curl/8.0"],
    ["x-custom", "Bearer abcdef123456", "Bearer REDACTED"],
  ])("%s: %s", (name, value, expected) => expect(capture.header(name, value)).toBe(expected));

  test("keeps no part of any cookie", () => {
    const cookie = fc.tuple(
      fc.stringMatching(/^[a-z]{1,8}$/),
      fc.stringMatching(/^[A-Z0-9!#$%&'*+./:<>?@^_`{|}~-]{1,30}$/),
    );
    fc.assert(
      fc.property(fc.array(cookie, { minLength: 1, maxLength: 20 }), (cookies) => {
        const out = capture.header("cookie", cookies.map(([name, value]) => `${name}=${value}`).join("; "));
        expect(out).toBe(cookies.map(([name]) => `${name}=REDACTED`).join("; "));
      }),
    );
  });
});

describe("a body", () => {
  const bytes = Buffer.from('{"a":"ä","password":"hunter2"}');
  test.each([
    "application/json",
    "application/json; charset=utf-8",
    "Application/Problem+JSON",
    "text/plain",
    "application/xml",
    "application/yaml",
    "application/x-ndjson",
    "application/octet-stream; charset=utf-8",
  ])("of type %s is text", (type) => expect(capture.body(type, bytes)).toBe('{"a":"ä","password":"REDACTED"}'));

  test.each([
    undefined,
    "",
    "image/png",
    "application/octet-stream",
    "multipart/form-data; boundary=x",
    "application/grpc",
    "application/jsonx",
  ])("of type %s is not", (type) => expect(capture.body(type, bytes)).toBeUndefined());

  test("is read in its charset", () => {
    expect(capture.body("text/plain; charset=ISO-8859-1", Buffer.from("grün", "latin1"))).toBe("grün");
    // As many characters as bytes, and twice as many bytes in UTF-8: that is what counts.
    const long = capture.body("text/plain; charset=ISO-8859-1", Buffer.alloc(3000, 0xfc)) as string;
    expect(Buffer.byteLength(long)).toBeLessThanOrEqual(4096);
    expect(long).toMatch(/^ü{2000,}…$/);
    expect(capture.body("text/plain", Buffer.alloc(4096, "a"))).toBe("a".repeat(4096));
    expect(capture.body("text/plain; charset=utf-16le", Buffer.from("pwd=abc", "utf16le"))).toBe("pwd=REDACTED");
  });

  test("is marked when it is only the beginning", () => {
    expect(capture.body("text/plain", Buffer.from("one two"), true)).toBe("one…");
    expect(small.body("text/plain", Buffer.from("word ".repeat(1000)))).toBe(`${"word ".repeat(12)}w…`);
  });

  test("cut inside a character leaves that character out", () => {
    const text = Buffer.from("one two 🎉🎉");
    for (let length = 8; length < text.length; length++) {
      expect(capture.body("text/plain", text.subarray(0, length), true)).not.toContain("\ufffd");
    }
  });

  test("of a form keeps its encoding where nothing is hidden", () => {
    const type = "application/x-www-form-urlencoded";
    expect(capture.body(type, Buffer.from("a=b+c%20d&pin=1234&e=%C3%A4"))).toBe("a=b+c%20d&pin=REDACTED&e=%C3%A4");
    const payload = encodeURIComponent('{"token":"abc","text":"hi"}');
    expect(capture.body(type, Buffer.from(`payload=${payload}`))).toBe(
      `payload=${encodeURIComponent('{"token":"REDACTED","text":"hi"}')}`,
    );
  });
});

describe("a payload", () => {
  test("is treated like a body when it is text", () => {
    expect(capture.payload(Buffer.from('{"password":"hunter2","ä":1}'))).toBe('{"password":"REDACTED","ä":1}');
    expect(capture.payload("token=abc")).toBe("token=REDACTED");
    expect(capture.payload(new Uint8Array())).toBe("");
  });
  test("is only counted when it is not", () => {
    expect(capture.payload(Buffer.from([0x1f, 0x8b, 8, 0, 1]))).toBe("<Buffer 5 bytes>");
    expect(capture.payload(Buffer.from([0xff, 0xfe, 65]))).toBe("<Buffer 3 bytes>");
    expect(capture.payload(Buffer.alloc(100_000))).toBe("<Buffer 100000 bytes>");
  });
  test("may be given a smaller budget, never a larger one", () => {
    const text = Buffer.from(`{"token":"${"x".repeat(40)}","a":"${"word ".repeat(400)}"}`);
    expect(capture.payload(text, 32)).toBe('{"token":"REDACTED","a":"word…');
    expect(capture.payload(text.toString(), 32)).toBe('{"token":"REDACTED","a":"word…');
    expect(Buffer.byteLength(small.payload(text, 4096))).toBeLessThanOrEqual(64);
  });
  test("larger than the budget is text all the same, wherever the cut falls", () => {
    for (let lead = 0; lead < 4; lead++) {
      const text = `${"x".repeat(lead)}${"🎉".repeat(1000)}`;
      expect(small.payload(Buffer.from(text))).toMatch(/^x*🎉+…$/u);
    }
  });
});

describe("a cache key", () => {
  test.each(secretKeys)("%s loses its credential", (key, secret) => {
    expect(capture.key(key)).not.toContain(secret);
    expect(capture.key(key)).toContain("REDACTED");
    expect(capture.key(capture.key(key))).toBe(capture.key(key));
  });
  test.each(harmlessKeys)("%s stays", (key) => expect(capture.key(key)).toBe(key));

  test("is not taken for one that is much like it, whichever was there before", () => {
    const ids = Array.from({ length: 500 }, (_, index) => `${index}`.padStart(4, "0"));
    const like = [
      ...ids.flatMap((id) => [`user:${id}`, `page:${id}:profile`, `cart:${id}:items:last`]),
      "",
      `${"long:".repeat(40)}1`,
      `${"long:".repeat(40)}2`,
      "token:aaaaaaaaaaaaaaaaaaaa",
    ];
    const before = like.map((key) => capture.key(key));
    expect(before.slice(0, -1)).toEqual(like.slice(0, -1));
    for (const again of [like, like.toReversed()]) {
      for (const key of again) expect(capture.key(key)).toBe(before[like.indexOf(key)]);
    }
  });

  test("keeps what was noted with it", () => {
    const key = capture.cacheKey("noted:1");
    key.note = "note";
    capture.cacheKey("noted:2");
    expect(capture.cacheKey(["noted", "1"].join(":"))).toBe(key);
    expect(capture.cacheKey("noted:3").note).toBeUndefined();
  });
});

describe("an error", () => {
  test.each([
    ["Key (password)=(hunter2) already exists.", "Key (password)=(REDACTED) already exists."],
    ["Key (password)=(hun)ter(2) already exists.", "Key (password)=(REDACTED) already exists."],
    [
      "Key (tenant_id, lower(token))=(1, abc) already exists.",
      "Key (tenant_id, lower(token))=(REDACTED) already exists.",
    ],
    ["Key (email)=(a@b.c) already exists.", "Key (email)=(a@b.c) already exists."],
    ['Key (token)=(abc) is not present in table "x".', 'Key (token)=(REDACTED) is not present in table "x".'],
    [
      "Key (a, token)=(1, x) conflicts with existing key (a, token)=(1, y).",
      "Key (a, token)=(REDACTED) conflicts with existing key (a, token)=(REDACTED).",
    ],
    ["Key (token)=(cut off he", "Key (token)=(REDACTED"],
    ["Failing row contains (1, a@b.c, hun) ter2, null).", "Failing row contains (REDACTED)."],
    ["Failing row contains (1, hunt", "Failing row contains (REDACTED"],
    ["Failing row contains (1, x).\n    at f (/a.js:1:2)", "Failing row contains (REDACTED).\n    at f (/a.js:1:2)"],
    ["Duplicate entry 'abc' for key 'users.token'", "Duplicate entry 'REDACTED' for key 'users.token'"],
    ["Duplicate entry 'a@b.c' for key 'users.email'", "Duplicate entry 'a@b.c' for key 'users.email'"],
    [
      "Cannot insert duplicate key row in object 'dbo.u' with unique index 'IX_u_token'. The duplicate key value is (abc).",
      "Cannot insert duplicate key row in object 'dbo.u' with unique index 'IX_u_token'. The duplicate key value is (REDACTED)",
    ],
    [
      'E11000 duplicate key error index: token_1 dup key: { token: "abc" }',
      'E11000 duplicate key error index: token_1 dup key: { token: "REDACTED" }',
    ],
    ["connect ECONNREFUSED redis://:pw1234@cache:6379", "connect ECONNREFUSED redis://REDACTED:REDACTED@cache:6379"],
    ["Error: bad\n    at login (file:///app/token.js:3:7)", "Error: bad\n    at login (file:///app/token.js:3:7)"],
    ['invalid password "hunter2"', 'invalid password "REDACTED"'],
  ])("%s", (message, expected) => {
    expect(capture.error(message)).toBe(expected);
    expect(capture.error(expected)).toBe(expected);
  });
});

describe("a value", () => {
  test.each<[unknown, string]>([
    ["text", "text"],
    ["", ""],
    [42, "42"],
    [-0.5, "-0.5"],
    [Number.NaN, "NaN"],
    [10n ** 20n, "100000000000000000000"],
    [4111111111111111, "REDACTED"],
    [true, "true"],
    [null, "null"],
    [undefined, "null"],
    [Symbol("token"), "[Symbol]"],
    [() => "x", "[Function]"],
    [new Date(0), "1970-01-01T00:00:00.000Z"],
    [new Date(Number.NaN), "Invalid Date"],
    [Buffer.from("secret"), "<Buffer 6 bytes>"],
    [new Float64Array(2), "<Buffer 16 bytes>"],
    [new ArrayBuffer(3), "<Buffer 3 bytes>"],
    [["a", 1, null, undefined], '["a",1,null,null]'],
    [{ a: 1, b: undefined, c: () => 1, d: 1n, e: Number.POSITIVE_INFINITY }, '{"a":1,"d":1,"e":null}'],
    [
      { user: { password: "x", list: [{ token: { deep: 1 } }] }, pin: null, otp: false },
      '{"user":{"password":"REDACTED","list":[{"token":"REDACTED"}]},"pin":null,"otp":false}',
    ],
    [{ at: new Date(0), raw: Buffer.from("abc") }, '{"at":"1970-01-01T00:00:00.000Z","raw":"<Buffer 3 bytes>"}'],
    [{ toJSON: () => ({ password: "x", a: 1 }) }, '{"password":"REDACTED","a":1}'],
    [new Error("password=x"), '"Error: password=REDACTED"'],
    ['{"password":"x"}', '{"password":"REDACTED"}'],
    [{ body: '{"password":"x"}' }, '{"body":"{\\"password\\":\\"REDACTED\\"}"}'],
    [Object.create(null), "{}"],
  ])("%o is %s", (value, expected) => expect(capture.value("data", value)).toBe(expected));

  test("of another realm is described like ours", () => {
    expect(capture.value("x", runInNewContext("({ a: [1, { password: 'x' }] })"))).toBe(
      '{"a":[1,{"password":"REDACTED"}]}',
    );
  });

  test("under a sensitive name is not looked at", () => {
    const trap = new Proxy({}, { get: () => expect.fail("read"), ownKeys: () => expect.fail("read") });
    expect(capture.value("password_hash", trap)).toBe("REDACTED");
  });

  test("is read without calling getters", () => {
    let calls = 0;
    const value = Object.defineProperty({ a: 1 }, "b", { enumerable: true, get: () => ++calls });
    expect(capture.value("x", value)).toBe('{"a":1,"b":"[Getter]"}');
    expect(calls).toBe(0);
  });

  test("that holds itself, throws or lies is described without an exception", () => {
    const cycle: Record<string, unknown> = { a: 1 };
    cycle["self"] = cycle;
    expect(capture.value("x", cycle)).toBe('{"a":1,"self":"[Circular]"}');
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(capture.value("x", proxy)).toBe("[Unreadable]");
    expect(capture.value("x", { a: proxy, b: 1 })).toBe('{"a":"[Unreadable]","b":1}');
    const fail = (): never => {
      throw new Error("no");
    };
    expect(capture.value("x", { toJSON: fail })).toBe('"[Unreadable]"');
    expect(capture.value("x", new Proxy({}, { ownKeys: fail }))).toContain("[Unreadable]");
    let depth: unknown = "bottom";
    for (let i = 0; i < 100_000; i++) depth = [depth];
    expect(capture.value("x", depth)).toContain("[Object]");
    const endless: object = new Proxy({}, { get: (_, key) => (key === "toJSON" ? () => endless : undefined) });
    expect(typeof capture.value("x", endless)).toBe("string");
  });

  test("is read only as far as the budget goes", () => {
    let reads = 0;
    const big = Array.from({ length: 100_000 }, () => ({ toJSON: () => `item ${++reads}` }));
    expect(Buffer.byteLength(capture.value("x", big))).toBeLessThanOrEqual(4096);
    expect(reads).toBeLessThan(3000);
    expect(small.value("x", { text: "word ".repeat(100_000) })).toBe(`{"text":"${"word ".repeat(10)}wo…`);
  });

  test("of any kind is described, within the budget, and stays as it was", () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
      withSparseArray: true,
      withNullPrototype: true,
    });
    fc.assert(
      fc.property(fc.string(), anything, (name, value) => {
        const before = fc.stringify(value);
        expect(Buffer.byteLength(small.value(name, value))).toBeLessThanOrEqual(64);
        expect(fc.stringify(value)).toBe(before);
      }),
      { numRuns: 1000 },
    );
  });
});
