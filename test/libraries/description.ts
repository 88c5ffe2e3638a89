import { expect } from "vitest";
import type { ReceivedSpan } from "../support/otlp-receiver.ts";

/** What a library's tests prove and the README's table says: one file a library, `test/libraries/<instrumentation>.ts`. */
export interface LibraryDescription {
  /** Name of the instrumentation: its file in `instrumentations/`. */
  readonly instrumentation: string;
  /** npm name → the versions tested: the oldest supported, the last of each major, the newest. Empty for what Node brings. */
  readonly packages: Readonly<Record<string, readonly string[]>>;
  /** What the library is, where the package names do not say: "`node:http` server". */
  readonly title?: string;
  /** What the tests talk to: "PostgreSQL 18", "fauxqs, an emulator". */
  readonly server: string;
  /** "a query, cursor or stream" */
  readonly spans: string;
  /** Every attribute its spans can have, but for those that all spans of the process may have. What differs from span to span
   *  is in angle brackets: `db.query.parameter.<position>`. */
  readonly attributes: readonly string[];
  /** In words: what of the application's data is recorded. */
  readonly captured: string;
  /** What does not work, a short sentence each. */
  readonly limits: readonly string[];
}

/** Set by the tracer or the user on any span. */
const COMMON = ["user.id", "session.id", "code.function.name", "error.type"];

/** `spans` are all the library's spans of its tests: they have the described attributes, and no others. */
export function expectDescribed(description: LibraryDescription, spans: readonly ReceivedSpan[]): void {
  const families = description.attributes.filter((name) => name.endsWith(">"));
  const described = (key: string): string =>
    families.find((name) => key.startsWith(name.slice(0, name.indexOf("<")))) ?? key;
  const seen = new Set(spans.flatMap(({ attributes }) => Object.keys(attributes).map(described)));
  for (const name of COMMON) seen.delete(name);
  expect([...seen].sort()).toEqual([...description.attributes].filter((name) => !COMMON.includes(name)).sort());
}
