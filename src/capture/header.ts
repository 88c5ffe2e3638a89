import type { SensitiveNames } from "./names.ts";
import type { Redactor } from "./redactor.ts";
import { REDACTED } from "./span.ts";
import { redactUrl } from "./url.ts";

/** IANA HTTP authentication schemes and the common private ones. Any other first word may be the secret itself. */
const SCHEME =
  /^(?:Basic|Bearer|Concealed|Digest|DPoP|GNAP|HOBA|Mutual|Negotiate|OAuth|PrivateToken|SCRAM-SHA-(?:1|256)|vapid|Token|ApiKey|Api-Key|Key|NTLM|Hawk|AWS|AWS4-HMAC-SHA256|AWS4-ECDSA-P256-SHA256|SharedKey(?:Lite)?|SharedAccessSignature|Signature|Splunk|GoogleLogin|GenieKey|Bot)(?=\s)/i;
const URL_HEADERS = new Set(["referer", "location", "content-location", "origin", "x-original-url", "x-forwarded-uri"]);
const COOKIE_ATTRIBUTE =
  /^\s*(?:path|domain|expires|max-age|samesite|priority)\s*=(?:[^,]*|\s*\w{3},[^,]*)$|^\s*(?:httponly|secure|partitioned)\s*$/i;

/** The value of an HTTP header; `name` in any case. Credentials keep their scheme, cookies their names. */
export function redactHeader(name: string, value: string, names: SensitiveNames, redactor: Redactor): string {
  const lower = name.toLowerCase();
  if (!names.has(lower)) return URL_HEADERS.has(lower) ? redactUrl(value, names, redactor) : redactor.redact(value);
  if (value === "") return value;
  if (lower === "authorization" || lower === "proxy-authorization") {
    const scheme = SCHEME.exec(value)?.[0];
    return scheme === undefined ? REDACTED : `${scheme} ${REDACTED}`;
  }
  if (lower === "cookie") return value.split(";").map(redactCookie).join(";");
  if (lower === "set-cookie") {
    return value
      .split(";")
      .map((part, index) => (index > 0 && COOKIE_ATTRIBUTE.test(part) ? part : redactCookie(part)))
      .join(";");
  }
  return REDACTED;
}

function redactCookie(cookie: string): string {
  const equals = cookie.indexOf("=");
  if (cookie.trim() === "" || equals === cookie.length - 1) return cookie;
  if (equals !== -1) return `${cookie.slice(0, equals)}=${REDACTED}`;
  return cookie.startsWith(" ") ? ` ${REDACTED}` : REDACTED;
}
