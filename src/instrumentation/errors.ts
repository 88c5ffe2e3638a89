/** `error.type` of anything thrown: its string code, else its class. Low cardinality; never throws. */
export function errorType(error: unknown): string {
  try {
    if (typeof error === "object" && error !== null) {
      const { code, name } = error as { code?: unknown; name?: unknown };
      if (typeof code === "string" && code !== "" && code.length <= 64) return code;
      if (error.constructor?.name && error.constructor.name !== "Object") {
        return name === undefined || name === "Error" || typeof name !== "string" ? error.constructor.name : name;
      }
      return typeof name === "string" && name !== "" ? name : "_OTHER";
    }
    return error === undefined || error === null ? "_OTHER" : typeof error;
  } catch {
    return "_OTHER";
  }
}

/** The message of an error, if it has one that can be read. */
export function errorMessage(error: unknown): string | undefined {
  try {
    const message = (error as { message?: unknown } | null | undefined)?.message;
    return typeof message === "string" ? message : undefined;
  } catch {
    return undefined;
  }
}
