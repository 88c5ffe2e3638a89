import type { JSX } from "preact";
import { useId, useMemo, useState } from "preact/hooks";
import { CopyButton } from "../../components/copy.tsx";
import { Segmented } from "../../components/segmented.tsx";
import { formatBytes } from "../../format.ts";
import { type Body, parseBody } from "./body.ts";
import { JsonView } from "./json-view.tsx";
import { Captured, CodeBox, LongText, NameValueTable, Note } from "./parts.tsx";

/** A body or payload, as what it is: tree, form or text, and as it was captured. */
export function BodyView(props: {
  /** `Request body`. */
  label: string;
  text: string;
  contentType?: string;
  /** Bytes of the whole, where it is known. */
  size?: number;
}): JSX.Element {
  const { label, text, contentType, size } = props;
  const body = useMemo(() => parseBody(text, contentType), [text, contentType]);
  const [view, setView] = useState<"read" | "raw">("read");
  const name = useId();
  const isText = body.kind === "text";
  return (
    <div class="span-body">
      <div class="span-body-header">
        <span class="span-body-title">{label}</span>
        <span class="span-body-note">
          {body.kind === "form" ? "Form" : body.what}
          {size !== undefined && `, ${formatBytes(size)}`}
        </span>
        <span class="span-body-tools">
          {!isText && (
            <Segmented
              label={`${label} as`}
              name={name}
              value={view}
              options={[
                { value: "read", label: body.kind === "form" ? "Form" : "Tree" },
                { value: "raw", label: "Raw" },
              ]}
              onChange={setView}
            />
          )}
          <CopyButton text={text} label={`Copy ${label.toLowerCase()}`} />
        </span>
      </div>
      <div class="span-body-content">
        {view === "raw" ? <RawBody label={label} body={body} /> : <ReadBody label={label} body={body} />}
      </div>
      {body.isCut && (
        <Note>
          Only the beginning{size !== undefined && ` of ${formatBytes(size)}`} was captured. Tracekit's limit is set by{" "}
          <code>TRACEKIT_CAPTURE_MAX_BYTES</code>.
        </Note>
      )}
    </div>
  );
}

function ReadBody({ label, body }: { label: string; body: Body }): JSX.Element {
  if (body.kind === "tree") return <JsonView label={label} root={body.root} />;
  if (body.kind === "form") {
    const rows = body.fields.map(([field, value]) => [field, <Captured text={value} />] as const);
    return <NameValueTable label={label} nameTitle="Field" rows={rows} />;
  }
  return <RawBody label={label} body={body} />;
}

function RawBody({ label, body }: { label: string; body: Body }): JSX.Element {
  return (
    <CodeBox label={label} class="span-code-plain">
      <LongText text={body.text} limit={50_000} />
    </CodeBox>
  );
}
