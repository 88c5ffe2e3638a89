import type { SensitiveNames } from "./names.ts";
import type { Redactor } from "./redactor.ts";
import { REDACTED } from "./span.ts";
import { isOpaque } from "./url.ts";

/** In keys, unlike in fields, these stand in front of an identifier that is itself the credential. */
const KEY_WORDS =
  /^(?:user[-_]?)?(?:sess|session|nonce|magic(?:[-_]?link)?|refresh|csrf|oauth|otp|invite|verify|verification|reset)$/i;
const MAY_HOLD_SECRET = /sess|nonce|magic|refresh|csrf|oauth|otp|invite|verif|reset/i;

/**
 * A cache key. What follows a sensitive segment is a credential (`token:abcdef`, `sess/eyJ...`, `session-4f2a...`);
 * what precedes it is not, and a sensitive segment at the end only names the value (`user:42:token`).
 */
export function redactKey(key: string, names: SensitiveNames, redactor: Redactor): string {
  if (!MAY_HOLD_SECRET.test(key) && !redactor.isSuspicious(key)) return key;
  let start = 0;
  while (start < key.length) {
    let end = start;
    while (end < key.length && !":/|#".includes(key.charAt(end))) end++;
    const segment = key.slice(start, end).replace(/^\{/, ""); // {hash tag} of a Redis cluster
    if (end + 1 < key.length && isTelling(segment, names))
      return `${redactor.redact(key.slice(0, end + 1))}${REDACTED}`;
    const rest = endOfTellingPrefix(segment, names);
    if (rest !== -1) return `${redactor.redact(key.slice(0, end - segment.length + rest))}${REDACTED}`;
    start = end + 1;
  }
  return redactor.redact(key);
}

function isTelling(segment: string, names: SensitiveNames): boolean {
  return KEY_WORDS.test(segment) || (!isOpaque(segment) && names.has(segment));
}

/** `token-9f86d081884c7d65` is one segment: the part after the name goes if nobody can have chosen it. */
function endOfTellingPrefix(segment: string, names: SensitiveNames): number {
  const joint = /[-_.=]/g;
  for (let match = joint.exec(segment); match !== null; match = joint.exec(segment)) {
    if (!isOpaque(segment.slice(joint.lastIndex))) return -1;
    if (isTelling(segment.slice(0, match.index), names)) return joint.lastIndex;
  }
  return -1;
}
