import { writeSync } from "node:fs";

/** How much we say about ourselves, quietest first. Source: OTEL_LOG_LEVEL as the OpenTelemetry JS SDK reads it. */
export type LogLevel = "none" | "error" | "warn" | "info" | "debug" | "verbose" | "all";

const RANK: Readonly<Record<LogLevel, number>> = {
  none: 0,
  error: 1,
  warn: 2,
  info: 3,
  debug: 4,
  verbose: 5,
  all: 6,
};

/** Keys `warnOnce` remembers. Past that it says once that it stops, so that neither memory nor output grows with the application's variety. */
const MAX_ONCE_KEYS = 256;

/** fs.writeSync rather than process.stderr: nothing is lost when the process exits in this tick, and an
 *  application that patches console or process.stderr neither sees our lines nor can break on them. */
const toStderr = (line: string): void => {
  writeSync(2, line);
};

// Values of the environment and of remote peers end up in messages: they may not move the cursor or fake a line.
// oxlint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g;

let rank = RANK.info;
let sink = toStderr;
const said = new Set<string>();

function write(message: string): void {
  try {
    const text = message.replace(CONTROL, "").replaceAll("\n", "\ntracekit: ");
    sink(`tracekit: ${text}\n`);
  } catch {
    // EAGAIN, EPIPE, a closed fd 2: a log line is not worth an exception in the application.
  }
}

/** Our own log: lines on stderr, each starting with "tracekit: ", written synchronously. One instance, a leaf every
 *  room may import. Nothing here throws. Default level: info. A message that is costly to build is asked for first:
 *  `if (diag.isEnabled("debug")) diag.debug(...)`. */
export const diag = {
  /** Everything up to and including `level` is written; "none" writes nothing. */
  setLevel(level: LogLevel): void {
    rank = RANK[level];
  },
  /** Would a message of this level be written? */
  isEnabled(level: LogLevel): boolean {
    return RANK[level] <= rank && level !== "none";
  },
  error(message: string): void {
    if (rank >= RANK.error) write(message);
  },
  warn(message: string): void {
    if (rank >= RANK.warn) write(message);
  },
  info(message: string): void {
    if (rank >= RANK.info) write(message);
  },
  debug(message: string): void {
    if (rank >= RANK.debug) write(message);
  },
  verbose(message: string): void {
    if (rank >= RANK.verbose) write(message);
  },
  /** Warns the first time `key` is seen in this process. Keeps a bounded number of keys: use the kind of event, never data. */
  warnOnce(key: string, message: string): void {
    if (rank < RANK.warn || said.has(key) || said.size > MAX_ONCE_KEYS) return;
    said.add(key);
    write(said.size > MAX_ONCE_KEYS ? "too many different warnings, further ones are not shown" : message);
  },
  /** Sends complete lines (with their newline) somewhere else; without an argument back to stderr. Forgets what `warnOnce` said. For tests. */
  setSink(writeLine: (line: string) => void = toStderr): void {
    sink = writeLine;
    said.clear();
  },
};

/** What happened to spans and values since the process started. Plain numbers: bump them in place. */
export const counters = {
  /** Spans that ended and will never be sent: queue full, retries used up, or too large. */
  droppedSpans: 0,
  /** Spans a backend has accepted. */
  exportedSpans: 0,
  /** Export requests given up on. */
  failedExports: 0,
  /** Spans a backend refused in a partial success. */
  rejectedSpans: 0,
  /** Attributes over a span's limits. */
  droppedAttributes: 0,
  /** Values replaced because they are secret. */
  redactions: 0,
};
