/** A stretch of a text that must not leave: `[from, to)` in UTF-16 units, and what stands there instead.
 *  One object is reused for every find, so that looking for secrets allocates nothing. */
export class SecretSpan {
  from = 0;
  to = 0;
  replacement = "";

  set(from: number, to: number, replacement: string): true {
    this.from = from;
    this.to = to;
    this.replacement = replacement;
    return true;
  }
}

/** What stands where a secret was; never anything else, so that it can be searched for. */
export const REDACTED = "REDACTED";
