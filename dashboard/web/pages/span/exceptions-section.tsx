import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { CopyButton } from "../../components/copy.tsx";
import { Icon } from "../../components/icon.tsx";
import { plural } from "../../format.ts";
import type { StackFrame, StackTrace } from "../../../src/model/trace.ts";
import { CodeBox, Captured, Section } from "./parts.tsx";
import { causesOf, groupFrames, packagesOf, shortFile } from "./stack-groups.ts";

/** Names of packages a folded group shows. */
const SHOWN_PACKAGES = 4;

/** What was thrown, and where: the application's frames with their source, those of libraries folded. */
export function ExceptionsSection({ stacks }: { stacks: readonly StackTrace[] }): JSX.Element {
  return (
    <Section
      id="exceptions"
      title={stacks.length === 1 ? "Exception" : "Exceptions"}
      icon="error"
      tone="error"
      {...(stacks.length > 1 && { note: stacks.length })}
    >
      {stacks.map((stack, index) => (
        <Exception key={index} stack={stack} />
      ))}
    </Section>
  );
}

function Exception({ stack }: { stack: StackTrace }): JSX.Element {
  const [isRaw, setRaw] = useState(false);
  const { type, message, frames, raw } = stack;
  const causes = causesOf(raw);
  return (
    <article class="exception">
      <header class="exception-header">
        <div class="exception-title">
          <p class="exception-type">{type || "Error"}</p>
          {message !== "" && (
            <p class="exception-message">
              <Captured text={message} />
            </p>
          )}
          {causes.map((cause, index) => (
            <p key={index} class="exception-cause">
              <span class="muted">Caused by</span> {cause}
            </p>
          ))}
        </div>
        {raw !== "" && (
          <div class="exception-tools">
            {frames.length > 0 && (
              <button type="button" class="button button-quiet" aria-pressed={isRaw} onClick={() => setRaw(!isRaw)}>
                Raw
              </button>
            )}
            <CopyButton text={raw} label="Copy the stack" />
          </div>
        )}
      </header>
      {isRaw || frames.length === 0 ? (
        raw !== "" && (
          <CodeBox label="Stack" class="span-code-plain">
            {raw}
          </CodeBox>
        )
      ) : (
        <Frames frames={frames} />
      )}
    </article>
  );
}

function Frames({ frames }: { frames: readonly StackFrame[] }): JSX.Element {
  const groups = groupFrames(frames);
  // The place the application can do something about; the source of others is a click away.
  const firstOwn = frames.find((frame) => !frame.isLibrary && frame.source !== undefined);
  return (
    <ol class="frames">
      {groups.map((group, index) =>
        group.isLibrary ? (
          <li key={index}>
            <LibraryFrames frames={group.frames} />
          </li>
        ) : (
          group.frames.map((frame, place) => (
            <li key={`${index}:${place}`}>
              <Frame frame={frame} isOpen={frame === firstOwn} />
            </li>
          ))
        ),
      )}
    </ol>
  );
}

function LibraryFrames({ frames }: { frames: readonly StackFrame[] }): JSX.Element {
  const packages = packagesOf(frames);
  const more = packages.length - SHOWN_PACKAGES;
  return (
    <details class="frame-group">
      <summary>
        <Icon name="chevron-right" size={12} />
        {plural(frames.length, "library frame")}
        <span class="frame-packages">
          {packages.slice(0, SHOWN_PACKAGES).join(", ")}
          {more > 0 && ` and ${more} more`}
        </span>
      </summary>
      <ol class="frames">
        {frames.map((frame, index) => (
          <li key={index}>
            <Frame frame={frame} isOpen={false} />
          </li>
        ))}
      </ol>
    </details>
  );
}

function Frame({ frame, isOpen }: { frame: StackFrame; isOpen: boolean }): JSX.Element {
  const { source, line, editorUrl } = frame;
  return (
    <div class={frame.isLibrary ? "frame frame-library" : "frame"}>
      {source === undefined ? (
        <FrameLine frame={frame} />
      ) : (
        <details open={isOpen}>
          <summary>
            <Icon name="chevron-right" size={12} />
            <FrameLine frame={frame} />
          </summary>
          <SourceLines firstLine={source.firstLine} lines={source.lines} failing={line} />
        </details>
      )}
      {editorUrl !== undefined && (
        <a class="icon-button frame-editor" href={editorUrl} title="Open this line in the editor">
          <Icon name="external" size={12} />
          <span class="visually-hidden">
            Open {shortFile(frame.file)} line {line} in the editor
          </span>
        </a>
      )}
    </div>
  );
}

function FrameLine({ frame }: { frame: StackFrame }): JSX.Element {
  const { file, line, column } = frame;
  return (
    <span class="frame-line">
      <span class="frame-function">{frame.function || "(anonymous)"}</span>
      <span class="frame-place" title={`${file}:${line}:${column}`}>
        {shortFile(file)}:{line}
      </span>
    </span>
  );
}

function SourceLines(props: { firstLine: number; lines: readonly string[]; failing: number }): JSX.Element {
  const { firstLine, lines, failing } = props;
  return (
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable without a mouse
    <pre class="source" tabIndex={0} role="region" aria-label={`Source around line ${failing}`}>
      {lines.map((text, index) => {
        const number = firstLine + index;
        const isFailing = number === failing;
        return (
          <code key={number} class={isFailing ? "source-line source-failing" : "source-line"}>
            <span class="source-mark">{isFailing ? ">" : " "}</span>
            <span class="source-number">{number}</span>
            <span class="source-text">{text}</span>
          </code>
        );
      })}
    </pre>
  );
}
