interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  /** Microseconds, as are all of them. */
  ts: number;
  dur?: number;
  /** Of the thread's own CPU. */
  tdur?: number;
  args: { data?: { url?: string; requestId?: string } };
}

/** What Chromium has to record for it. */
export const RECORDED: string[] = ["toplevel", "devtools.timeline", "blink.user_timing"];

/** CPU time of the page's main thread, in milliseconds, from the last byte of the answer whose address ends so to a mark of the
 *  page. Other than the clock it hardly depends on what else the machine is doing. */
export function mainThreadMillis(recording: Buffer, address: string, mark: string): number {
  const { traceEvents: events } = JSON.parse(recording.toString()) as { traceEvents: TraceEvent[] };
  const asked = events.find(({ name, args }) => name === "ResourceSendRequest" && args.data?.url?.endsWith(address));
  const answered = events.find(
    ({ name, args }) => name === "ResourceFinish" && args.data?.requestId === asked?.args.data?.requestId,
  );
  const marked = events.find(({ name }) => name === mark);
  if (asked === undefined || answered === undefined || marked === undefined)
    throw new Error(`${address} or ${mark} is not in the recording`);
  const tasks = events
    .filter(({ ph, pid, tid }) => ph === "X" && pid === answered.pid && tid === answered.tid)
    .toSorted((a, b) => a.ts - b.ts || (b.dur ?? 0) - (a.dur ?? 0));
  let until = 0;
  let micros = 0;
  for (const { ts, dur = 0, tdur = 0 } of tasks) {
    // What lies within another one is part of it.
    if (ts < answered.ts || ts >= marked.ts || ts < until) continue;
    until = ts + dur;
    micros += tdur;
  }
  return micros / 1000;
}
