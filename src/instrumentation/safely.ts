import { diag } from "../diag/diag.ts";

/** An instrumentation in use: switched off for good by the first error in its own code. */
export class Instrumented {
  readonly name: string;
  enabled = true;

  constructor(name: string) {
    this.name = name;
  }

  /** A step of ours beside the application's code: what it throws goes no further. Not for hot paths, which spell it out. */
  safely(during: string, step: () => void): void {
    try {
      step();
    } catch (error) {
      this.disable(during, error);
    }
  }

  /** An error of ours: the application goes on as if this instrumentation had never been there. */
  disable(during: string, error: unknown): void {
    if (!this.enabled) return;
    this.enabled = false;
    diag.warn(`${this.name} is no longer traced: our code failed in ${during}. Please report it. ${describe(error)}`);
  }
}

function describe(error: unknown): string {
  try {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  } catch {
    return "(the error cannot be shown)";
  }
}
