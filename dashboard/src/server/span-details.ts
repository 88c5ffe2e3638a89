import { valueText, type Attributes } from "../model/attributes.ts";
import type { SpanRecord } from "../model/span.ts";
import type { SpanDetail, StackFrame, StackTrace } from "../model/trace.ts";
import type { StoredSpan } from "../store/store.ts";
import { editorUrls } from "./editors.ts";
import { SourceReader, toLocalPath, type SourcePlace } from "./source-lines.ts";
import { describeStatement } from "./sql-statement.ts";
import { parseFrames, parseHead } from "./stack-trace.ts";

const DEFAULT_EDITOR = "vscode";
const MAX_STACKS = 20;
/** Of a stack; what is deeper shows its place alone. */
const MAX_FRAMES_WITH_SOURCE = 50;

export interface SpanDetails {
  of(stored: StoredSpan): Promise<SpanDetail>;
}

/** Works out of a stored span what its page shows. Throws for an editor that is not known. */
export function createSpanDetails({
  editor = DEFAULT_EDITOR,
  sourceRoots,
}: {
  editor?: string;
  sourceRoots?: readonly string[];
}): SpanDetails {
  const editorUrl = editorUrls(editor);

  const frameOf = async (frame: StackFrame, sources: SourceReader): Promise<StackFrame> => {
    const path = toLocalPath(frame.file);
    if (path === undefined) return frame;
    const sent: SourcePlace = { path, line: frame.line, column: frame.column };
    // Libraries come with maps, and mostly without what those lead to.
    const origin = frame.isLibrary ? undefined : await sources.origin(sent);
    const { line, column, ...place } = origin ?? sent;
    const source = await sources.around(place.path, line);
    if (source === undefined) return frame;
    const url = editorUrl?.(place.path, line, column);
    const shown = origin === undefined ? frame : { ...frame, file: place.path, line, column };
    return url === undefined ? { ...shown, source } : { ...shown, source, editorUrl: url };
  };

  const stackOf = async (attributes: Attributes, sources: SourceReader): Promise<StackTrace> => {
    const raw = text(attributes, "exception.stacktrace");
    const head = parseHead(raw);
    const frames = parseFrames(raw).map((frame, index) =>
      index < MAX_FRAMES_WITH_SOURCE ? frameOf(frame, sources) : frame,
    );
    return {
      type: text(attributes, "exception.type") || head.type,
      message: text(attributes, "exception.message") || head.message,
      frames: await Promise.all(frames),
      raw,
    };
  };

  return {
    async of(stored) {
      const sources = new SourceReader(sourceRoots);
      const exceptions = exceptionsOf(stored.span).slice(0, MAX_STACKS);
      const stacks = await Promise.all(exceptions.map((attributes) => stackOf(attributes, sources)));
      const sql = await describeStatement(stored.span);
      const { span, category, logs, linkedFrom, linksTo } = stored;
      return { span, category, logs, ...(sql === undefined ? {} : { sql }), stacks, linkedFrom, linksTo };
    },
  };
}

/** Attributes of each exception event, and the span's own where a sender put the exception there. */
function exceptionsOf({ events, attributes }: SpanRecord): Attributes[] {
  const ofEvents = events
    .map((event) => ("exception.type" in event.attributes || event.name === "exception" ? event.attributes : undefined))
    .filter((each) => each !== undefined);
  const own = text(attributes, "exception.stacktrace");
  const isRepeated = ofEvents.some((each) => text(each, "exception.stacktrace") === own);
  return own === "" || isRepeated ? ofEvents : [...ofEvents, attributes];
}

function text(attributes: Attributes, key: string): string {
  const value = attributes[key];
  return value === undefined || value === null ? "" : valueText(value);
}
