/**
 * Secrets, the names they hide behind, and the places they turn up in. Every value is made up; the well-known
 * prefixes are assembled here so that no scanner takes this file for a leak.
 */

/** Names that must hide their value, in the styles of headers, fields, columns, variables and query keys. */
export const sensitiveNames: readonly string[] = [
  ...["password", "passwd", "pwd", "pass", "passphrase", "passcode", "passkey", "PASSWORD", "Password", "userPassword"],
  ...[
    "password_hash",
    "hashed_password",
    "password2",
    "newPassword",
    "password_confirmation",
    "db-password",
    "mypassword",
  ],
  ...["secret", "client_secret", "clientSecret", "stripeSecretKey", "SECRET_KEY_BASE", "webhook_secret", "secrets"],
  ...[
    "token",
    "access_token",
    "refreshToken",
    "id_token",
    "x-auth-token",
    "csrfToken",
    "tokens",
    "authtoken",
    "resetToken2",
  ],
  ...["authorization", "Proxy-Authorization", "authorization_code", "auth", "x-auth", "auth_key", "authentication"],
  ...[
    "cookie",
    "set-cookie",
    "Cookie",
    "x-api-key",
    "apiKey",
    "api_key",
    "apikey",
    "API_KEY",
    "accessKey",
    "access_key_id",
  ],
  ...["privateKey", "private_key", "encryption_key", "signingKey", "ssh_key", "service_role_key", "x-functions-key"],
  ...[
    "ssn",
    "social_security_number",
    "cvv",
    "cvc",
    "cvv2",
    "card_cvc",
    "cardNumber",
    "card_number",
    "ccnum",
    "creditCard",
  ],
  ...[
    "pin",
    "userPin",
    "pin_code",
    "sessionId",
    "session_id",
    "sessid",
    "PHPSESSID",
    "JSESSIONID",
    "connect.sid",
    "sid",
  ],
  ...[
    "otp",
    "otp_code",
    "totp",
    "verification_code",
    "verificationCode",
    "one_time_code",
    "security_code",
    "backupCodes",
  ],
  ...["credential", "credentials", "creds", "signature", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token"],
  ...["X-Goog-Signature", "AWSAccessKeyId", "Signature", "sig", "csrf", "_csrf", "xsrf", "jwt", "x-hub-signature-256"],
  ...[
    "mnemonic",
    "seed_phrase",
    "iban",
    "dsn",
    "connectionString",
    "SAMLResponse",
    "client_assertion",
    "code_verifier",
  ],
  ...["bank_account", "passport_number", "security_answer", "bearer", "pw"],
];

/** False friends: names people debug with, whose values must stay. */
export const harmlessNames: readonly string[] = [
  ...["token_count", "tokens_used", "max_tokens", "totalTokens", "prompt_tokens", "token_type", "token_expires_at"],
  ...[
    "author",
    "authors",
    "authority",
    "authorId",
    "keyboard",
    "keyword",
    "monkey",
    "primary_key",
    "cache_key",
    "public_key",
  ],
  ...[
    "session_duration",
    "sessions",
    "secretary",
    "pinned",
    "pin_position",
    "spin",
    "shipping",
    "opinion",
    "passenger",
  ],
  ...[
    "compass",
    "bypass",
    "passed",
    "email",
    "user_id",
    "username",
    "name",
    "code",
    "status_code",
    "country_code",
    "zip",
  ],
  ...["password_changed_at", "has_password", "password_length", "card_brand", "card_last4", "discard", "dashboard"],
  ...["description", "design", "assigned", "inside", "president", "company", "japan", "hotkey", "cookie_consent"],
  ...["created_at", "id", "url", "idempotency_key", "routing_key", "s3_key", "storageKey", "footprint", "signal"],
];

export interface Secret {
  readonly kind: string;
  readonly value: string;
  /** The part of `value` of which nothing may be seen, when the rest is known to everyone. */
  readonly core?: string;
}

const base62 = (length: number, seed: number): string => {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  let out = "";
  for (let i = 0, x = seed * 7919 + 13; i < length; i++) {
    x = (x * 1103515245 + 12345) % 2147483648;
    out += alphabet[Math.floor(x / 65536) % 62];
  }
  return out;
};
const hex = (length: number, seed: number): string =>
  Buffer.from(base62(length, seed), "latin1").toString("hex").slice(0, length);
const base64url = (value: string): string => Buffer.from(value).toString("base64url");

const jwtPayload = base64url('{"sub":"1234567890","name":"Ada Lovelace","admin":true}');
const jwtSignature = base62(43, 1);
const pemBody = Array.from({ length: 12 }, (_, i) => base62(64, 100 + i)).join("\n");

/** Secrets known by their shape, wherever they stand and whatever they are called. */
export const shapedSecrets: readonly Secret[] = [
  {
    kind: "JSON web token",
    value: `${base64url('{"alg":"HS256","typ":"JWT"}')}.${jwtPayload}.${jwtSignature}`,
    core: `${jwtPayload}.${jwtSignature}`,
  },
  { kind: "bearer token", value: `Bearer ${base62(40, 2)}`, core: base62(40, 2) },
  { kind: "basic credentials", value: `Basic ${btoa("aladdin:opensesame")}`, core: btoa("aladdin:opensesame") },
  {
    kind: "private key",
    value: `-----BEGIN RSA PRIVATE KEY-----\n${pemBody}\n-----END RSA PRIVATE KEY-----`,
    core: pemBody,
  },
  { kind: "AWS access key", value: `AKIA${"IOSFODNN7EXAMPLE"}` },
  { kind: "AWS temporary key", value: `ASIA${"Y34FZKBOKMUTVV7A"}` },
  { kind: "GitHub token", value: ["ghp", base62(36, 3)].join("_") },
  { kind: "GitHub OAuth token", value: ["gho", base62(36, 4)].join("_") },
  { kind: "GitHub server token", value: ["ghs", base62(36, 5)].join("_") },
  { kind: "GitHub fine-grained token", value: ["github", "pat", base62(82, 6)].join("_") },
  { kind: "GitLab token", value: ["glpat", base62(20, 7)].join("-") },
  { kind: "Slack token", value: ["xoxb", "123456789012", base62(24, 8)].join("-"), core: base62(24, 8) },
  { kind: "Stripe key", value: ["sk", "live", base62(24, 9)].join("_") },
  { kind: "Stripe restricted key", value: ["rk", "test", base62(24, 10)].join("_") },
  { kind: "Google API key", value: `AIza${base62(35, 11)}` },
  { kind: "npm token", value: ["npm", base62(36, 12)].join("_") },
  { kind: "OpenAI key", value: ["sk", "proj", `a1B2${base62(40, 13)}`].join("-") },
  { kind: "SendGrid key", value: ["SG", base62(22, 14), base62(43, 15)].join(".") },
  { kind: "Hugging Face token", value: ["hf", base62(34, 16)].join("_") },
  { kind: "DigitalOcean token", value: ["dop", "v1", hex(64, 17)].join("_") },
  { kind: "PyPI token", value: ["pypi", base62(60, 18)].join("-") },
  { kind: "Vault token", value: ["hvs", base62(30, 19)].join(".") },
  { kind: "Shopify token", value: ["shpat", hex(32, 20)].join("_") },
  { kind: "webhook secret", value: ["whsec", base62(32, 21)].join("_") },
  { kind: "Telegram token", value: `123456789:AA${base62(33, 22)}`, core: base62(33, 22) },
  { kind: "bcrypt hash", value: `$2b$10$${base62(53, 23)}`, core: base62(53, 23) },
  {
    kind: "argon2 hash",
    value: `$argon2id$v=19$m=65536,t=3,p=4$${base62(22, 24)}$${base62(43, 25)}`,
    core: base62(43, 25),
  },
  { kind: "card number", value: "4111 1111 1111 1111" },
  { kind: "card number without spaces", value: "5500005555555559" },
  { kind: "Amex number", value: "3782-822463-10005" },
  {
    kind: "connection string",
    value: "postgres://app:Tr0ub4dor&3@db.internal:5432/shop",
    core: "Tr0ub4dor&3",
  },
  { kind: "connection string without user", value: "redis://:Tr0ub4dor3x@cache:6379/0", core: "Tr0ub4dor3x" },
  {
    kind: "Slack webhook",
    value: ["https://hooks.slack.com", "services", "T00000000", "B00000000", base62(24, 26)].join("/"),
    core: base62(24, 26),
  },
];

/** A way to write a named value into running text. `bare` ones cannot hold spaces, quotes or delimiters. */
export interface Notation {
  readonly kind: string;
  readonly bare?: boolean;
  readonly contentType: string;
  readonly write: (name: string, value: string) => string;
}

const json = (value: unknown): string => JSON.stringify(value);
const xml = (value: string): string => value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

/** Notations in which a secret under a sensitive name must be found. */
export const notations: readonly Notation[] = [
  { kind: "JSON", contentType: "application/json", write: (n, v) => json({ id: 7, [n]: v, city: "berlin" }) },
  {
    kind: "JSON at depth",
    contentType: "application/json",
    write: (n, v) => json({ a: [1, { b: { c: [{ ok: true, [n]: v }, "x"] } }], z: null }),
  },
  {
    kind: "pretty JSON",
    contentType: "application/json",
    write: (n, v) => JSON.stringify({ a: 1, [n]: v, b: [2] }, null, 2),
  },
  {
    kind: "JSON inside JSON",
    contentType: "application/json",
    write: (n, v) => json({ Message: json({ user: 1, [n]: v }), Type: "Notification" }),
  },
  {
    kind: "JSON inside JSON inside JSON",
    contentType: "application/json",
    write: (n, v) => json({ Records: [{ body: json({ Message: json({ [n]: v, x: 1 }) }) }] }),
  },
  { kind: "array under the name", contentType: "application/json", write: (n, v) => json({ [n]: ["x", [v]], end: 1 }) },
  {
    kind: "object under the name",
    contentType: "application/json",
    write: (n, v) => json({ [n]: { v, "}": "]" }, end: 1 }),
  },
  {
    kind: "name and value",
    contentType: "application/json",
    write: (n, v) =>
      json([
        { name: n, value: v },
        { name: "a", value: "b" },
      ]),
  },
  {
    kind: "JSON lines",
    contentType: "application/x-ndjson",
    write: (n, v) => `${json({ a: 1 })}\n${json({ [n]: v })}\n${json({ b: 2 })}`,
  },
  { kind: "XML", contentType: "application/xml", write: (n, v) => `<a><${n}>${xml(v)}</${n}><b>1</b></a>` },
  {
    kind: "XML with namespace and attributes",
    contentType: "application/soap+xml",
    write: (n, v) => `<s:Body><w:${n} Type="text">${xml(v)}</w:${n}></s:Body>`,
  },
  { kind: "XML attribute", contentType: "text/xml", write: (n, v) => `<login user="bob" ${n}="${xml(v)}" keep="1"/>` },
  {
    kind: "HTML input",
    contentType: "text/html",
    write: (n, v) => `<input type="hidden" name="${n}" value="${xml(v)}"><p>hi</p>`,
  },
  {
    kind: "YAML",
    contentType: "text/yaml",
    write: (n, v) => `user: bob\n${n}: ${v.replaceAll("\n", " ")}\ncity: berlin\n`,
  },
  {
    kind: "ini",
    contentType: "text/plain",
    write: (n, v) => `[db]\nhost = x\n${n} = ${v.replaceAll("\n", " ")}\nport = 1\n`,
  },
  {
    kind: "inspected object",
    contentType: "text/plain",
    write: (n, v) => `{ user: 'bob', '${n}': ${inspectString(v)}, x: 1 }`,
  },
  {
    kind: "GraphQL",
    contentType: "application/graphql",
    write: (n, v) => `mutation { login(user: "bob", ${n.replace(/\W/g, "_")}: ${json(v)}) { id } }`,
  },
  {
    kind: "form",
    contentType: "application/x-www-form-urlencoded",
    write: (n, v) => new URLSearchParams({ a: "1", [n]: v, b: "2" }).toString(),
  },
  {
    kind: "nested form",
    contentType: "application/x-www-form-urlencoded",
    write: (n, v) => new URLSearchParams({ [`user[${n}]`]: v, b: "2" }).toString(),
  },
  { kind: "quoted after the name", contentType: "text/plain", write: (n, v) => `The ${n} ${json(v)} is too short.` },
  { kind: "assignment", bare: true, contentType: "text/plain", write: (n, v) => `host=db ${n}=${v} port=5432` },
  { kind: "query in prose", bare: true, contentType: "text/plain", write: (n, v) => `GET /a?x=1&${n}=${v}&y=2 failed` },
  { kind: "command line", bare: true, contentType: "text/plain", write: (n, v) => `tool --${n} ${v} --verbose` },
  { kind: "prose", bare: true, contentType: "text/plain", write: (n, v) => `Wrong ${n}: ${v}` },
];

function inspectString(value: string): string {
  return `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll("\n", "\\n")}'`;
}

/** Texts that must leave exactly as they are. */
export const harmlessTexts: readonly string[] = [
  "",
  "hello world",
  "x7k9m2",
  "2024-01-15T10:30:00.000Z",
  "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
  "1700000000000",
  "created 1700000000000 updated 1700000000123",
  "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  "https://example.com/a/b?page=2&sort=name#top",
  "http://localhost:3000/users/@me",
  "see https://registry.npmjs.org:443/@scope/pkg and mail bob@example.com",
  "eyJpZCI6NDIsImRpciI6Im5leHQifQ==",
  "Bearer authentication required",
  'Bearer realm="api", error="invalid_token"',
  "Basic information about the basic plan",
  "sk-loading-indicator-large",
  "-----BEGIN CERTIFICATE-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END CERTIFICATE-----",
  "Unexpected token < in JSON at position 0",
  "Unexpected token 'h', \"hello\" is not valid JSON",
  'password authentication failed for user "bob"',
  'null value in column "password" of relation "users" violates not-null constraint',
  "the token expired and the session was closed",
  '{"error":"invalid_token","error_description":"The access token expired"}',
  '{"grant_type":"refresh_token","token_type":"Bearer","expires_in":3600}',
  '{"missing":["email","password","name"]}',
  '{"password":null,"token":true,"pin":false,"secret":""}',
  '{"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}',
  '<form><label for="password">Password</label><input type="password" name="password"></form>',
  "at Object.<anonymous> (/app/src/auth.js:10:15)",
  "at login (file:///app/token.js:3:7)",
  "+49 30 1234 5678 9012 345",
  "4111 1111 1111 1112",
  "0.4111111111111111",
  "日本語のテキスト 🎉",
];

/** Cache keys with the text that must not be left of them. */
export const secretKeys: readonly (readonly [key: string, secret: string])[] = [
  ["session:k3Jx9aQ2mZ", "k3Jx9aQ2mZ"],
  ["sess:k3Jx9aQ2mZ", "k3Jx9aQ2mZ"],
  ["app:token:abcdef", "abcdef"],
  ["user/42/refresh_token/zzTop99", "zzTop99"],
  ["otp:+4915112345678:493817", "493817"],
  ["token-9f86d081884c7d659a2f", "9f86d081884c7d659a2f"],
  ["password-reset:9f86d081", "9f86d081"],
  ["{session:k3Jx9aQ2mZ}:cart", "k3Jx9aQ2mZ"],
  ["login:bob@example.com:password:hunter2", "hunter2"],
];

/** Cache keys that must stay. */
export const harmlessKeys: readonly string[] = [
  "url:x7k9m2",
  "user:42:token",
  "rate:login:1.2.3.4",
  "bull:email:wait",
  "cache:author:17",
  "sessions:active",
  "user:3f2504e0-4f89-11d3-9a0c-0305e82c3301:profile",
];
