import { copyText } from "../node-buffer.ts";
import { BoundedMap } from "./bounded-map.ts";

/**
 * What makes a name sensitive. Names are compared in lower snake case (`stripeSecretKey` -> `stripe_secret_key`);
 * a space in a pattern is a word joint, which may be missing (`apikey`).
 */
const INSIDE = [
  // Telling wherever they stand, even glued to other words (`mypassword`, `PHPSESSID`).
  "pass ?(?:w(?:or)?d|phrase|code|key)",
  "pwd",
  "secret(?!ar|io|iv)", // not a secretary
  "credential",
  "authori[sz]ation",
  "(?:api|access|private) key(?![bw])", // not a keyboard, not a keyword
  "signature",
  "[cx]srf",
  "cookie",
  "mnemonic",
  "(?:credit|debit) card",
  "conn(?:ection)? str(?:ing)?",
  "saml (?:response|request|assertion)",
  "social security",
  "sess(?:ion)? id(?=_|$)",
];

const KEY_OWNERS =
  "priv|encrypt|encryption|decrypt|decryption|sign|signing|master|shared|account|client|consumer|licen[sc]e|" +
  "session|auth|app|application|subscription|ssh|hmac|webhook|service|role|deploy|admin|root|server|security|aes|rsa|" +
  "pgp|gpg|crypto|cipher|functions?|write|ingest";
const CODE_OWNERS =
  "verification|verify|auth|security|otp|totp|mfa|2fa|factor|sms|reset|login|access|recovery|backup|activation|" +
  "confirmation|device|one time";

const WORDS = [
  "[a-z0-9]*tokens?",
  "[a-z0-9]*jwts?",
  "pw",
  "creds",
  "[ht]?otp",
  "sess",
  "cvv|cvc|cvn",
  "ssn",
  "iban",
  "dsn",
  "pin (?:code|number|no|hash|digest|value)",
  "pass (?:hash|digest)",
  `(?:${KEY_OWNERS}) keys?`,
  `(?:${CODE_OWNERS}) codes?`,
  "key (?:pem|material)",
  "auth (?:header|string|data)",
  "(?:card|cc) (?:number|num|no|nr|code|pin|pan)",
  "code verifier",
  "(?:seed|recovery|backup) phrase",
  "bank account",
  "passport (?:number|num|no)",
  "security answer",
];

/** Sensitive only as the last word: `user_pin`, but not `pin_position`. */
const LAST = [
  "pass",
  "pin",
  "sid",
  "sig",
  "csc",
  "auth",
  "authentication",
  "authentication string",
  "bearer",
  "assertion",
];

/** Sensitive only as the entire name. */
const WHOLE = ["pan", "card pan"];

const joint = (pattern: string): string => pattern.replaceAll(" ?", " ").replaceAll(" ", "_?");
const any = (patterns: readonly string[]): string => `(?:${patterns.map(joint).join("|")})`;

const SENSITIVE = new RegExp(`${any(INSIDE)}|(?:^|_)${any(WORDS)}\\d*(?=_|$)|(?:^|_)${any(LAST)}\\d*$|^${any(WHOLE)}$`);

/**
 * False friends: a name that speaks about a secret without holding it. People debug with these (`token_count`,
 * `password_changed_at`), and none is long enough to hide a credential in.
 */
const HARMLESS = new RegExp(
  [
    "_(?:counts?|used|usage|limits?|length|len|size|types?|kind|expires|expiry|expiration|expired|ttl|lifetime|remaining)$",
    "_(?:status|version|format|algorithm|alg|polic(?:y|ies)|strength|required|enabled|attempts|name|provider|issuer)$",
    "_(?:scopes?|brand|network|last_?4|exp_month|exp_year|at|per_[a-z]+|(?:expires?|valid|renew)_in)$",
    "^(?:is|num|max|min|total|avg|requires?|needs?)_|(?:^|_)has_",
    "(?:^|_)(?:max|min|total|prompt|completion|input|output|cached|reasoning|thinking|audio|image|text)_tokens(?:_details)?$",
    "(?:token|authori[sz]ation|auth)_(?:url|uri|endpoint)$",
    "cookie_(?:domain|path|consent|policy|banner|notice|preferences|settings)$",
  ].join("|"),
);

/**
 * Three-character windows, any case, of which every sensitive name holds at least one (a test checks that):
 * the scanner in redactor.ts looks at a text closely only where one of them occurs. A line shares one bit, so
 * its columns mix ("cvv pwd" also means "cwv"); lines are chosen so that the mixtures are rare in JSON and prose.
 * `~` stands for anything but a letter.
 */
export const NAME_WINDOWS: readonly string[] = [
  "cvv cvc cvn pwd jwt umb",
  "tok key",
  "ecr rer",
  "ede eds",
  "uth gna",
  "srf ssn dsn",
  "csc otp",
  "oki aml",
  "mne hra nsw",
  "iba ban",
  "sse ssi",
  "onn oci",
  "rif spo",
  "ode",
  "ard",
  "pin pan",
  "sid sig",
  "ssw ssp ssc ssk ss~",
  "pw~ ccn cc~ ccc ccp",
];

function toSnakeCase(name: string): string {
  return name
    .replace(/([A-Z])([A-Z][a-z])/g, "$1_$2")
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replace(/[^\p{L}\p{N}]+/gu, "_")
    .replace(/^_|_$/g, "")
    .toLowerCase();
}

const MAX_NAME_CHARS = 256;
const MAX_MEMO_ENTRIES = 4096;

/** Decides by its name alone whether a header, field, column, query key or cookie holds a secret. */
export class SensitiveNames {
  /** {@link NAME_WINDOWS} of the extra names; `*` stands for any character. */
  readonly extraWindows: readonly string[];
  readonly #extra: RegExp | undefined;
  readonly #extraSquashed: ReadonlySet<string>;
  readonly #memo = new BoundedMap<boolean>(MAX_MEMO_ENTRIES);

  /** `extra` names are matched like the built-in ones: any case and style, with prefixes and suffixes. */
  constructor(extra: readonly string[]) {
    const names = extra.map(toSnakeCase).filter((name) => name !== "");
    this.extraWindows = names.map(toWindow);
    this.#extraSquashed = new Set(names.map((name) => name.replaceAll("_", "")));
    // Letters and digits only, so nothing needs escaping.
    const words = names.map((name) => name.replaceAll("_", "_?")).join("|");
    this.#extra = names.length === 0 ? undefined : new RegExp(`(?:^|_)(?:${words})\\d*(?=_|$)`, "u");
  }

  /** Names remembered at this moment, at most 4096. */
  get memoSize(): number {
    return this.#memo.size;
  }

  has(name: string): boolean {
    const known = this.#memo.get(name);
    return known === undefined ? this.#decide(name) : known;
  }

  /** Whether the name only looks sensitive; words before it do not change that. */
  isFalseFriend(name: string): boolean {
    const snake = toSnakeCase(name.slice(0, MAX_NAME_CHARS));
    return HARMLESS.test(snake) && SENSITIVE.test(snake);
  }

  #decide(name: string): boolean {
    const head = name.length > MAX_NAME_CHARS ? name.slice(0, MAX_NAME_CHARS) : name;
    const snake = toSnakeCase(head);
    const sensitive =
      (SENSITIVE.test(snake) && !HARMLESS.test(snake)) ||
      (this.#extra !== undefined && (this.#extra.test(snake) || this.#extraSquashed.has(snake.replaceAll("_", ""))));
    // A name is often a slice of a body; a copy keeps the memo from holding on to that body.
    if (name.length <= MAX_NAME_CHARS) this.#memo.set(copyText(name), sensitive);
    return sensitive;
  }
}

function toWindow(snakeName: string): string {
  const longest = snakeName.split("_").reduce((a, b) => (b.length > a.length ? b : a));
  return longest
    .slice(0, 3)
    .padEnd(3, "*")
    .replace(/[^a-z0-9*]/g, "*");
}
