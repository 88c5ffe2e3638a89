import { constants } from "node:fs";
import { open, realpath } from "node:fs/promises";
import { SourceMap, type SourceMapPayload } from "node:module";
import { dirname, extname, isAbsolute, normalize, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** A trace may name any file of the machine; only what can be program text is opened. */
const SOURCE_EXTENSIONS = new Set(
  (
    ".js .mjs .cjs .jsx .ts .mts .cts .tsx .vue .svelte .astro .coffee .py .rb .go .rs .java .kt .kts .scala .groovy .clj " +
    ".php .cs .fs .vb .ex .exs .erl .lua .pl .swift .dart .c .h .cc .cpp .hpp .m .mm"
  ).split(" "),
);
const MAX_FILE_BYTES = 2 * 1024 * 1024;
const COMPILED_EXTENSIONS = new Set([".js", ".mjs", ".cjs"]);
const LINES_AROUND = 5;
/** Of minified code a line is the whole file. */
const MAX_LINE_CHARS = 400;

/** A place in a file of this machine. Lines and columns begin with 1. */
export interface SourcePlace {
  path: string;
  line: number;
  column: number;
}

export interface SourceLines {
  firstLine: number;
  lines: readonly string[];
}

/** A file as a stack names it, as an absolute path of this machine; undefined for what is none: `node:fs`, `<anonymous>`, `app.js`. */
export function toLocalPath(file: string): string | undefined {
  let path = file;
  if (/^file:/i.test(file)) {
    try {
      const url = new URL(file);
      // Of another machine, whose name Windows would look up and log in to.
      if (url.hostname !== "") return undefined;
      url.search = url.hash = "";
      path = fileURLToPath(url);
    } catch {
      return undefined;
    }
  }
  if (!isAbsolute(path) || path.startsWith("\\\\") || path.startsWith("//") || path.includes("\0")) return undefined;
  return normalize(path);
}

/** Reads lines around those that stacks name; each file once. Made for one span, and forgotten with it. */
export class SourceReader {
  readonly #roots: readonly string[] | undefined;
  readonly #files = new Map<string, Promise<readonly string[] | undefined>>();
  readonly #maps = new Map<string, Promise<SourceMap | undefined>>();

  constructor(roots: readonly string[] | undefined) {
    this.#roots = roots;
  }

  /** Where a compiled file's map (`app.js.map` beside it) says that the place was written; undefined without one, and where
   *  that file is not here. */
  async origin({ path, line, column }: SourcePlace): Promise<SourcePlace | undefined> {
    if (!COMPILED_EXTENSIONS.has(extname(path).toLowerCase())) return undefined;
    let map = this.#maps.get(path);
    if (map === undefined) {
      map = this.#readMap(path).catch(() => undefined);
      this.#maps.set(path, map);
    }
    const origin = (await map)?.findOrigin(line, column);
    if (origin === undefined || !("fileName" in origin)) return undefined;
    const { fileName, lineNumber, columnNumber } = origin;
    const written = toLocalPath(fileName) ?? (/^[\w-]+:/.test(fileName) ? undefined : resolve(dirname(path), fileName));
    if (written === undefined || (await this.#linesOf(written)) === undefined) return undefined;
    return { path: written, line: lineNumber, column: columnNumber };
  }

  /** Undefined when the file is not here, is no source, is larger than 2 MB, or has no such line. */
  async around(path: string, line: number): Promise<SourceLines | undefined> {
    const lines = await this.#linesOf(path);
    if (lines === undefined || line < 1 || line > lines.length) return undefined;
    const first = Math.max(1, line - LINES_AROUND);
    return { firstLine: first, lines: lines.slice(first - 1, line + LINES_AROUND).map(shortened) };
  }

  #linesOf(path: string): Promise<readonly string[] | undefined> {
    let file = this.#files.get(path);
    if (file === undefined) {
      file = this.#read(path, SOURCE_EXTENSIONS)
        .then((text) => text?.split(/\r\n|[\n\r\u2028\u2029]/))
        .catch(() => undefined);
      this.#files.set(path, file);
    }
    return file;
  }

  async #readMap(path: string): Promise<SourceMap | undefined> {
    const text = await this.#read(`${path}.map`, new Set([".map"]));
    return text === undefined ? undefined : new SourceMap(JSON.parse(text) as SourceMapPayload);
  }

  async #read(path: string, extensions: ReadonlySet<string>): Promise<string | undefined> {
    if (!extensions.has(extname(path).toLowerCase())) return undefined;
    // A link may lead to another kind of file, and out of the folders that may be read.
    const real = await realpath(path);
    if (!extensions.has(extname(real).toLowerCase()) || !this.#isInside(real)) return undefined;
    // A pipe would wait for its writer.
    const handle = await open(real, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      const stats = await handle.stat();
      if (!stats.isFile() || stats.size > MAX_FILE_BYTES) return undefined;
      return await handle.readFile("utf8");
    } finally {
      await handle.close();
    }
  }

  #isInside(path: string): boolean {
    if (this.#roots === undefined) return true;
    return this.#roots.some((root) => path.startsWith(root.endsWith(sep) ? root : root + sep));
  }
}

function shortened(line: string): string {
  return line.length > MAX_LINE_CHARS ? `${line.slice(0, MAX_LINE_CHARS)}…` : line;
}
