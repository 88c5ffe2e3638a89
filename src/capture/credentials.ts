import { fromBase64 } from "../node-buffer.ts";
import { REDACTED, type SecretSpan } from "./span.ts";

/**
 * A family of credentials with a shape of its own. `windows` are three characters (case-sensitive, `#` a hex
 * digit) that stand `offset` characters after its beginning; one family is one bit of the scanner, see
 * {@link NAME_WINDOWS}. `find` looks at `start` only.
 *
 * No expression needs anything after an unlimited repetition, so none can backtrack: a cut credential matches
 * like a whole one, and the work for hostile text stays linear.
 */
export interface CredentialFamily {
  readonly windows: string;
  readonly offset: number;
  /** -1 when `span` was set; otherwise the position before which this family need not be looked for again. */
  readonly find: (text: string, start: number, span: SecretSpan) => number;
}

type Accept = (match: string, text: string, start: number, span: SecretSpan) => boolean;

/** `pattern` is sticky. Without `accept` the match is replaced entirely. */
function shape(pattern: RegExp, accept?: Accept): CredentialFamily["find"] {
  return (text, start, span) => {
    pattern.lastIndex = start;
    const match = pattern.exec(text);
    if (match === null) return start + 1;
    const end = start + match[0].length;
    span.set(start, end, REDACTED);
    return accept === undefined || accept(match[0], text, start, span) ? -1 : end;
  };
}

const keepUntil = (lengthOf: (match: string) => number): Accept => {
  return (match, _text, start, span) => span.set(start + lengthOf(match), start + match.length, REDACTED);
};

export const CREDENTIAL_FAMILIES: readonly CredentialFamily[] = [
  {
    windows: "eyJ AIz dap rub pyp",
    offset: 0,
    find: shape(
      /eyJ[\w.-]{10,}|AIza[\w-]{30,}|dapi[0-9a-f]{32}|rubygems_[0-9a-f]{32,}|pypi-[\w-]{40,}/y,
      // Base64 of a JSON object alone is a cursor or a header, which people need; a JSON web token has dots.
      (match) => !match.startsWith("eyJ") || match.includes("."),
    ),
  },
  {
    windows: "rer RER",
    offset: 3,
    find: shape(/(?:[Bb]earer|BEARER)(?:\s|\+|%20){1,8}[^\s"'<>\\,;&]{6,}/y, acceptBearer),
  },
  {
    windows: "sic SIC",
    offset: 2,
    find: shape(/(?:[Bb]asic|BASIC)(?:\s|\+|%20){1,8}[A-Za-z0-9+/=_-]{6,}/y, acceptBasic),
  },
  {
    windows: "oks",
    offset: 2,
    find: shape(
      /hooks(?:\.slack\.com\\?\/(?:services|workflows|triggers)|\\?\/\d{15,20})\\?\/[\w\\/-]{10,}/y,
      keepUntil((match) => match.indexOf("/", match.startsWith("hooks.") ? 20 : 6) + 1),
    ),
  },
  {
    windows: "--- $2a $2b $2x $2y $ar $sc $pb $5$ $6$ $y$ :AA ya2 xox xap",
    offset: 0,
    find: (text, start, span) =>
      text.startsWith("-----", start) ? findPrivateKey(text, start, span) : findRarePrefix(text, start, span),
  },
  { windows: "KIA SIA BIA CCA", offset: 1, find: shape(/A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}/y) },
  {
    windows: "SG. SK# NRA PMA ATA ATC GOC AGE",
    offset: 0,
    find: shape(
      /SG\.[\w.-]{32,}|SK[0-9a-f]{32}|NRAK-[A-Z0-9]{20,}|PMAK-[\w-]{20,}|AT(?:AT|CT)T3[\w=.-]{20,}|GOCSPX-[\w-]{20,}|AGE-SECRET-KEY-1[0-9A-Z]{20,}/y,
    ),
  },
  {
    windows: "ho_ hu_ hr_ pm_ k_l k_t",
    offset: 1,
    find: shape(/gh[our]_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,}|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}/y),
  },
  { windows: "hub _v1", offset: 3, find: shape(/github_pat_\w{20,}|do[oprt]_v1_[0-9a-f]{32,}/y) },
  {
    windows: "glp glr gld gls glc glf ghp ghs whs snt sbp sb_ psc hf_ hvs hvb hvr shp sk- sq0",
    offset: 0,
    find: shape(
      /gl[a-z]{2,5}[-_][\w.-]{20,}|gh[ps]_[A-Za-z0-9]{20,}|whsec_[\w+/=-]{16,}|sntry[su]_[\w+/=-]{20,}|sbp_[0-9a-f]{32,}|sb_secret_\w{16,}|pscale_(?:tkn|pw|oauth)_[\w.-]{20,}|hf_[A-Za-z0-9]{30,}|hv[sbr]\.[\w-]{20,}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|sk-[\w-]{20,}|sq0[a-z]{3}-[\w-]{20,}/y,
      // "sk-" also begins CSS classes ("sk-loading-indicator"); a key mixes letters and digits.
      (match) => !match.startsWith("sk-") || (/\d/.test(match) && /[A-Z]|[a-z]\d[a-z]/.test(match)),
    ),
  },
  { windows: ":// :\\/", offset: 0, find: findUserInfo },
];

const PRIVATE_KEY =
  /-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?(?:-----)?(?:[^-"]|-(?!-))*(?:-----END [A-Z0-9 ]{0,48}(?:-----)?)?/y;
const findPrivateKey = shape(PRIVATE_KEY);

// Password hashes, Telegram, Google and Slack tokens.
const findRarePrefix = shape(
  /\$(?:2[abxy]\$\d\d\$[./A-Za-z0-9]{20,}|argon2(?:id|i|d)\$[^\s"'<>\\]{10,}|scrypt\$[^\s"'<>\\]{10,}|pbkdf2[^\s"'<>\\]{16,}|[56y]\$[^\s"'<>\\]{16,})|(?<=\d{8,10}):AA[\w-]{30,}|ya29\.[\w-]{20,}|xox[a-z](?:\.xox[a-z])?-[\w-]{10,}|xapp-[\w-]{10,}/y,
);

function acceptBearer(match: string, _text: string, start: number, span: SecretSpan): boolean {
  const at = /[^A-Za-z]/.exec(match)?.index ?? 0;
  const token = match.slice(at).replace(/^(?:\s|\+|%20)+/, "");
  // Prose and challenges: `Bearer authentication required`, `Bearer realm="x"`.
  if (
    /^(?:(?:tokens?|auth[a-z]*|credentials?|schemes?|required|format|headers?)[.:)!?]*$|(?:realm|error|scope)=)/i.test(
      token,
    )
  ) {
    return false;
  }
  return span.set(start + match.length - token.length, start + match.length, REDACTED);
}

function acceptBasic(match: string, text: string, start: number, span: SecretSpan): boolean {
  const token = match.slice(5).replace(/^(?:\s|\+|%20)+/, "");
  // "Basic information" is prose. Credentials are base64 of "user:password".
  const mixed = /\d|[+/=_]/.test(token) || (/[a-z]/.test(token) && /[A-Z]/.test(token.slice(1)));
  if (!mixed && !fromBase64(token).includes(COLON)) return false;
  // "basic-tier-2024" and the like: a hyphen is not base64, and only words are joined by one.
  if (/^[a-z]+(?:-[a-z0-9]+)+$/i.test(token) && !/[+/=]/.test(text.slice(start, start + match.length))) return false;
  return span.set(start + match.length - token.length, start + match.length, REDACTED);
}

const BACKSLASH = 92;
const COLON = 58;
const AT = 64;
const PORT = /\d{1,5}(?:\\?\/|[?#\s"',)]|$)/y;

/** `://user:password@`, by hand: an expression would read a long run once for each `://` in it. */
function findUserInfo(text: string, start: number, span: SecretSpan): number {
  const from = text.charCodeAt(start + 1) === BACKSLASH ? start + 5 : start + 3;
  let i = from;
  while (!endsUser(text.charCodeAt(i))) i++;
  // Nearly every URL has no user: its host ends at a slash, not at a colon.
  if (text.charCodeAt(i) !== COLON) return i;
  PORT.lastIndex = i + 1;
  if (PORT.test(text)) return i;
  // The password may hold a raw "/", and a raw "@" as long as no "/" follows.
  while (!endsUrl(text.charCodeAt(i)) && text.charCodeAt(i) !== AT) i++;
  if (text.charCodeAt(i) !== AT) return i;
  let last = i;
  for (i++; !endsUrl(text.charCodeAt(i)) && !"/?#\\".includes(text.charAt(i)); i++) {
    if (text.charCodeAt(i) === AT) last = i;
  }
  span.set(from, last, `${REDACTED}:${REDACTED}`);
  return -1;
}

const ENDS_USER = toTable(":@/?#\"'<>\\ ");
const ENDS_URL = toTable("\"'<> ");

function toTable(chars: string): Uint8Array {
  const table = new Uint8Array(128).fill(1, 0, 32);
  for (const char of chars) table[char.charCodeAt(0)] = 1;
  return table;
}

// A comparison with NaN, behind the end of the text, is false.
const endsUser = (code: number): boolean => (code < 128 ? ENDS_USER[code] === 1 : !(code >= 128));
const endsUrl = (code: number): boolean => (code < 128 ? ENDS_URL[code] === 1 : !(code >= 128));
