/** What can stand in a column. Integers stay within 2^53: `node:sqlite` refuses to read others. */
export type SqlValue = string | number | null;

/** What can be bound: a text may be given as its bytes in UTF-8, with `LONG_TEXT` in its place. */
export type Bindable = SqlValue | Uint8Array;

export type Row = Readonly<Record<string, SqlValue>>;

/** Stands for a text in statements that write much: all texts of such a statement, or none. The WebAssembly driver hands them over
 *  as bytes, which takes a tenth of the time (its own way encodes letter by letter); here they become text again. */
export const LONG_TEXT = "CAST(? AS TEXT)";

/** Good until the next call of `prepare`: ask again instead of keeping it. */
export interface Statement {
  run(values: readonly Bindable[]): void;
  all(values: readonly SqlValue[]): Row[];
}

/** A SQLite. Only files of this folder get to see one. */
export interface Driver {
  readonly name: DriverName;
  exec(sql: string): void;
  /** Prepared once and kept. */
  prepare(sql: string): Statement;
  /** Commits what `work` did, or nothing of it when it throws. */
  transaction<Result>(work: () => Result): Result;
  close(): void;
}

export type DriverName = "node:sqlite" | "node-sqlite3-wasm";

/** What a failure of SQLite means. `full` is also a disk that refuses to be written for another reason. */
export type Failure = "full" | "corrupt" | "locked" | "unwritable" | "other";

// node:sqlite gives a code, node-sqlite3-wasm SQLite's message only.
const FAILURES: readonly [failure: Failure, code: number, message: RegExp][] = [
  ["full", 13, /database or disk is full/],
  ["full", 10, /disk I\/O error/],
  ["full", 8, /attempt to write a readonly database/],
  ["corrupt", 11, /database disk image is malformed/],
  ["corrupt", 26, /file is not a database/],
  ["locked", 5, /database is locked/],
  ["locked", 6, /database table is locked/],
  ["unwritable", 14, /unable to open database file|Could not open the database/],
];

export function classifyFailure(error: unknown): Failure {
  const { errcode, message = "" } = error as { errcode?: number; message?: string };
  // The lower eight bits are the kind: 778 (SQLITE_IOERR_WRITE) is 10 (SQLITE_IOERR).
  const code = errcode === undefined ? undefined : errcode & 0xff;
  return FAILURES.find((entry) => (code === undefined ? entry[2].test(message) : entry[1] === code))?.[0] ?? "other";
}
