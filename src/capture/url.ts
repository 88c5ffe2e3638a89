import type { SensitiveNames } from "./names.ts";
import type { Redactor } from "./redactor.ts";
import { REDACTED } from "./span.ts";

/** `http(s)://user:password@`; the last `@` before the path ends it, since a password may hold a raw one. */
const USER_INFO = /^((?:[A-Za-z][\w+.-]*:)?\/\/)([^/?#]*)@/;
const MAX_DECODING = 3;

/** A URL, absolute or only path and query, without credentials in its authority, path, query or fragment. */
export function redactUrl(url: string, names: SensitiveNames, redactor: Redactor): string {
  if (!url.includes("@") && !url.includes("%") && !redactor.isSuspicious(url) && !mayHoldOpaqueToken(url)) return url;
  const bare = url.replace(
    USER_INFO,
    (_, scheme: string, user: string) => `${scheme}${user.includes(":") ? `${REDACTED}:${REDACTED}` : REDACTED}@`,
  );
  const hash = bare.indexOf("#");
  const beforeHash = hash === -1 ? bare : bare.slice(0, hash);
  const mark = beforeHash.indexOf("?");
  let clean = redactPath(mark === -1 ? beforeHash : beforeHash.slice(0, mark), names, redactor);
  if (mark !== -1) clean += `?${redactQuery(beforeHash.slice(mark + 1), names, redactor)}`;
  if (hash !== -1) clean += `#${redactQuery(bare.slice(hash + 1), names, redactor)}`;
  return clean;
}

/** `a=1&password=x` -> `a=1&password=REDACTED`. Also for `application/x-www-form-urlencoded` bodies. */
export function redactQuery(query: string, names: SensitiveNames, redactor: Redactor): string {
  // An authorization code is a credential, but "code" alone is a name for a hundred harmless things (RFC 6749, 4.1.2).
  const isCallback = /(?:^|&)code=/.test(query) && /(?:^|&)state=/.test(query);
  if (!isCallback && !query.includes("%") && !redactor.isSuspicious(query)) return query;
  return query
    .split("&")
    .map((pair) => redactPair(pair, isCallback, names, redactor))
    .join("&");
}

function redactPair(pair: string, isCallback: boolean, names: SensitiveNames, redactor: Redactor): string {
  const equals = pair.indexOf("=");
  if (equals === -1) return redactEncoded(pair, redactor);
  const key = decode(pair.slice(0, equals));
  const value = pair.slice(equals + 1);
  if (value === "") return pair;
  if (names.has(key) || (isCallback && key === "code")) return `${pair.slice(0, equals)}=${REDACTED}`;
  return `${redactEncoded(pair.slice(0, equals), redactor)}=${redactEncoded(value, redactor)}`;
}

/** Percent-encoded text, looked at decoded: a credential inside an encoded URL inside a URL is still one. */
function redactEncoded(text: string, redactor: Redactor): string {
  const direct = redactor.redact(text);
  let decoded = direct;
  for (let level = 0; level < MAX_DECODING && decoded.includes("%"); level++) {
    const next = decode(decoded);
    if (next === decoded) break;
    decoded = next;
    const clean = redactor.redact(decoded);
    if (clean !== decoded) return level === 0 ? encode(clean) : REDACTED;
  }
  return direct;
}

function redactPath(path: string, names: SensitiveNames, redactor: Redactor): string {
  const clean = path.includes("%")
    ? path
        .split("/")
        .map((segment) => redactEncoded(segment, redactor))
        .join("/")
    : redactor.redact(path);
  if (!mayHoldOpaqueToken(clean)) return clean;
  const segments = clean.split("/");
  for (let i = 1; i < segments.length; i++) {
    const before = segments[i - 1]!;
    if (isOpaque(segments[i]!) && (TOKEN_PATHS.test(before) || names.has(before))) segments[i] = REDACTED;
  }
  return segments.join("/");
}

/** Path segments that a one-time token follows: `/verify/9f86d081884c7d65`. */
const TOKEN_PATHS =
  /^(?:reset|verify|verification|confirm|confirmation|activate|activation|magic(?:-link)?|login|auth|invite|session)$/i;
const OPAQUE = /\/[^/?#]*\d[^/?#]{15}|\/[^/?#]{15}[^/?#]*\d/;

function mayHoldOpaqueToken(url: string): boolean {
  return url.length > 24 && OPAQUE.test(url);
}

/** Long and with digits among letters: an identifier nobody chose, so perhaps one nobody may know. */
export function isOpaque(segment: string): boolean {
  return segment.length >= 16 && /\d/.test(segment) && /[A-Za-z]/.test(segment) && !/[ .]/.test(segment);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    // A broken escape somewhere: decode the ASCII ones one by one.
    return text.replace(/%([0-7][0-9a-f])/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  }
}

function encode(text: string): string {
  try {
    return encodeURIComponent(text);
  } catch {
    return REDACTED; // a lone surrogate
  }
}
