import type { StackFrame } from "../model/trace.ts";

/** A frame as text alone can tell it. */
export type ParsedFrame = Pick<StackFrame, "file" | "line" | "column" | "function" | "isLibrary">;

/** `    at async Server.listen (file:///app/server.js:10:5)`; where there is no function, the place stands alone. */
const V8_FRAME = /^\s*at (?:(.+?) \((.+)\)|(.+))$/;
const PLACE = /^(.*?):(\d{1,9}):(\d{1,9})$/s;
const EVAL_PLACE = /^eval at .*?\(((?:[^()]|\([^()]*\))*?:\d+:\d+)\)/;
const MAX_FRAMES = 200;

/** Frames of a stack in V8's format, nearest call first; none for other formats, which are shown as they are. Stops where the
 *  stack of another error begins (a cause). Source: v8.dev/docs/stack-trace-api. */
export function parseFrames(stack: string): ParsedFrame[] {
  const frames: ParsedFrame[] = [];
  for (const line of stack.split("\n")) {
    const frame = parseFrame(line);
    if (frame !== undefined) frames.push(frame);
    else if (frames.length > 0 && line.trim() !== "" && !/^\s*at /.test(line)) break;
    if (frames.length === MAX_FRAMES) break;
  }
  // `at Object.run (Runner.java:10)` is Java's, which has no columns.
  return frames.some(({ line }) => line > 0) ? frames : [];
}

function parseFrame(text: string): ParsedFrame | undefined {
  const match = V8_FRAME.exec(text.trimEnd());
  if (match === null) return undefined;
  const [, named, inside, alone = ""] = match;
  const function_ = (named ?? "").replace(/^async /, "");
  const place = PLACE.exec(placeOf(inside ?? alone.replace(/^async /, "")));
  if (place === null) {
    // `at Array.map (<anonymous>)`, `at Promise.all (index 0)`: part of the way, though not of any file.
    if (inside === undefined || !/^(?:<anonymous>|native|index \d+)$/.test(inside)) return undefined;
    return { file: inside, line: 0, column: 0, function: function_, isLibrary: true };
  }
  const [, file = "", line, column] = place;
  return { file, line: Number(line), column: Number(column), function: function_, isLibrary: isLibrary(file) };
}

/** Code that was evaluated has no file: where it was, does. */
function placeOf(inside: string): string {
  return EVAL_PLACE.exec(inside)?.[1] ?? inside;
}

function isLibrary(file: string): boolean {
  return /^(?:node:|internal\/|<anonymous>|wasm:)/.test(file) || /[\\/]node_modules[\\/]/.test(file);
}

/** Type and message from a stack's first lines, for senders that give nothing else. */
export function parseHead(stack: string): { type: string; message: string } {
  const frame = stack.search(/^\s*at /m);
  const head = (frame === -1 ? (stack.split("\n", 1)[0] ?? "") : stack.slice(0, frame)).trim();
  const match = /^(?:Uncaught )?([A-Za-z_$][\w$.]*)(?: \[\w+\])?(?:: ([\s\S]*))?$/.exec(head);
  if (match === null) return { type: "", message: head };
  return { type: match[1] ?? "", message: match[2] ?? "" };
}
