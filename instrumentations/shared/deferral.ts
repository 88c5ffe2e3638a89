/*
 * For operations that are described later (`Deferral`): what may be kept as it is until then.
 */

/** UTF-16 units one call may keep. */
const MAX_CHARS = 8192;

/** Whether nobody can change the value, and it is small. */
export function isConstant(value: unknown): boolean {
  if (typeof value === "string") return value.length <= MAX_CHARS;
  return value === null || value === undefined || typeof value === "number" || typeof value === "boolean";
}

/** The same of all of them, together with `chars` UTF-16 units of something else. */
export function areConstant(values: readonly unknown[], chars: number = 0): boolean {
  let sum = chars + values.length;
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (!isConstant(value)) return false;
    if (typeof value === "string") sum += value.length;
  }
  return sum <= MAX_CHARS;
}
