import { REDACTED, type SecretSpan } from "./span.ts";

const isDigit = (code: number): boolean => code >= 48 && code <= 57;
const isSeparator = (code: number): boolean => code === 32 || code === 45;
const isLetter = (code: number): boolean => (code >= 97 && code <= 122) || (code >= 65 && code <= 90);

const MIN_DIGITS = 13;
const MAX_DIGITS = 19;

/**
 * Issuer ranges with the lengths they are used with (ISO/IEC 7812). Without them every tenth millisecond
 * timestamp, order number or snowflake id would pass for a card, since Luhn's check lets one in ten through.
 */
const ISSUERS: readonly (readonly [prefix: RegExp, ...lengths: number[]])[] = [
  [/^4/, 13, 16, 19],
  [/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, 16],
  [/^3[47]/, 15],
  [/^3(?:0[0-5]|[689])/, 14],
  [/^35(?:2[89]|[3-8])/, 16, 17, 18, 19],
  [/^(?:6011|64[4-9]|65|62|60|81|82|220[0-4])/, 16, 17, 18, 19],
  [/^(?:50|5[678]|6)/, 16, 17, 18, 19],
];

/** Whether `digits` (and nothing else) can be the number of a payment card. */
export function isCardNumber(digits: string): boolean {
  if (!ISSUERS.some(([prefix, ...lengths]) => lengths.includes(digits.length) && prefix.test(digits))) return false;
  let sum = 0;
  for (let i = digits.length - 1, double = false; i >= 0; i--, double = !double) {
    const digit = digits.charCodeAt(i) - 48;
    sum += double ? (digit > 4 ? digit * 2 - 9 : digit * 2) : digit;
  }
  return sum % 10 === 0;
}

/**
 * Looks for a card number in the run of digits around `at`: groups of digits, separated by one space or hyphen,
 * not before `floor`. Returns the end of the run when it holds none, -1 when `span` was set. `bytes` are the low
 * bytes of `text`, up to `length`: most numbers are short, and an array tells that sooner than a string.
 */
export function findCardNumber(
  text: string,
  bytes: Uint8Array,
  length: number,
  at: number,
  floor: number,
  span: SecretSpan,
): number {
  let end = at;
  while (end < length && (isDigit(bytes[end]!) || (isSeparator(bytes[end]!) && isDigit(bytes[end + 1]!)))) end++;
  let start = at;
  while (
    start > floor &&
    (isDigit(bytes[start - 1]!) || (isSeparator(bytes[start - 1]!) && isDigit(bytes[start - 2] ?? 0)))
  ) {
    start--;
  }
  if (!isDigit(bytes[start]!)) start++;
  if (end - start < MIN_DIGITS) return end;

  const groups = [start]; // start and end of each group, alternating
  for (let i = start; i < end; i++) if (!isDigit(text.charCodeAt(i))) groups.push(i, i + 1);
  groups.push(end);
  // An international telephone number; in a query, "+" may also be a space, but a card has longer groups.
  if (text[start - 1] === "+" && groups[1]! - start < 4) return end;
  const firstFree = mayPrecede(text, start) ? 0 : 2;
  const lastFree = isLetter(text.charCodeAt(end)) ? groups.length - 2 : groups.length;
  for (let first = firstFree; first < lastFree; first += 2) {
    let digits = "";
    for (let last = first; last < lastFree && digits.length < MAX_DIGITS; last += 2) {
      digits += text.slice(groups[last], groups[last + 1]!);
      if (digits.length >= MIN_DIGITS && digits.length <= MAX_DIGITS && isCardNumber(digits)) {
        span.set(groups[first]!, groups[last + 1]!, REDACTED);
        return -1;
      }
    }
  }
  return end;
}

/** Not the decimals of a number, not part of an identifier; but a JSON escape (`\n4111...`) may stand before. */
function mayPrecede(text: string, start: number): boolean {
  const before = text.charCodeAt(start - 1);
  if (isLetter(before)) return text.charCodeAt(start - 2) === 92;
  return !(before === 46 && isDigit(text.charCodeAt(start - 2)));
}
