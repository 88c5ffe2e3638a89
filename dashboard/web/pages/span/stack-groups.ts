import type { StackFrame } from "../../../src/model/trace.ts";

/** Consecutive frames that are shown, or folded, together. */
export interface FrameGroup {
  isLibrary: boolean;
  frames: readonly StackFrame[];
}

/** Frames of the application stand alone; runs of library frames become one group each. */
export function groupFrames(frames: readonly StackFrame[]): FrameGroup[] {
  const groups: { isLibrary: boolean; frames: StackFrame[] }[] = [];
  for (const frame of frames) {
    const last = groups.at(-1);
    if (last !== undefined && last.isLibrary === frame.isLibrary) last.frames.push(frame);
    else groups.push({ isLibrary: frame.isLibrary, frames: [frame] });
  }
  return groups;
}

/** The packages of some frames, in order, each once: `express, pg-pool, node:internal`. */
export function packagesOf(frames: readonly StackFrame[]): string[] {
  return [...new Set(frames.map(({ file }) => packageOf(file)))];
}

/** `@scope/name` of a path below `node_modules` (the innermost), `node` for Node's own, else the file's name. */
export function packageOf(file: string): string {
  if (file.startsWith("node:")) return "node";
  const path = file.replaceAll("\\", "/");
  const match = /.*\/node_modules\/(?:\.pnpm\/[^/]+\/node_modules\/)?((?:@[^/]+\/)?[^/]+)/.exec(path);
  return match?.[1] ?? path.slice(path.lastIndexOf("/") + 1);
}

/** The end of a path that tells most: without `file:`, and from the last `node_modules` or the last three folders on. */
export function shortFile(file: string): string {
  const path = file.replace(/^file:\/\//, "").replaceAll("\\", "/");
  const inner = path.lastIndexOf("/node_modules/");
  if (inner !== -1) return path.slice(inner + "/node_modules/".length);
  const parts = path.split("/");
  return parts.length <= 4 ? path : `…/${parts.slice(-3).join("/")}`;
}

/** What a stack says it was caused by: `cause: Error: …` as Node prints it, `Caused by: …` as Java does. First lines only. */
export function causesOf(raw: string): string[] {
  const causes = raw.matchAll(/^\s*(?:\[cause\]:|cause:|Caused by:)\s*(.+)$/gm);
  return Array.from(causes, ([, line = ""]) => line.replace(/\s*\{$/, "").trim()).slice(0, 10);
}
