import type { JSX } from "preact";
import { useId, useMemo, useState } from "preact/hooks";
import { CopyButton } from "../../components/copy.tsx";
import { Segmented } from "../../components/segmented.tsx";
import { formatCount, formatDuration, plural } from "../../format.ts";
import { valueText } from "../../../src/model/attributes.ts";
import type { SpanDetail, SqlStatement } from "../../../src/model/trace.ts";
import { BodyView } from "./body-view.tsx";
import { readDatabaseFacts } from "./operation-facts.ts";
import { Captured, CodeBox, fact, Facts, HiddenHead, Note, Section } from "./parts.tsx";
import { tokenizeSql } from "./sql-tokens.ts";
import { sqlStateMeaning } from "./sqlstate.ts";

type View = "runnable" | "placeholders" | "raw";

/** What a query was, with what, and what came of it. */
export function SqlSection({ detail }: { detail: SpanDetail }): JSX.Element {
  const { sql, span } = detail;
  const facts = readDatabaseFacts(span);
  const meaning = facts.sqlState === undefined ? undefined : sqlStateMeaning(facts.sqlState);
  return (
    <Section
      id="query"
      title="Query"
      icon="database"
      note={facts.system}
      {...(sql?.runnable !== undefined && {
        tools: (
          <CopyButton text={sql.runnable} label="Copy a statement that runs as it is">
            Copy runnable
          </CopyButton>
        ),
      })}
    >
      {sql !== undefined && <Statement sql={sql} system={facts.system} />}
      {sql === undefined && facts.text !== undefined && <BodyView label="Command" text={facts.text} />}
      {facts.omittedParameters !== undefined && (
        <Note>{plural(facts.omittedParameters, "further parameter")} did not fit the sender's limit.</Note>
      )}
      <Facts
        items={[
          fact("Rows returned", facts.returnedRows, formatCount),
          fact("Rows affected", facts.affectedRows, formatCount),
          facts.sqlState !== undefined && [
            meaning === undefined ? "Status code" : "SQLSTATE",
            <span class={span.status.code === 2 ? "span-failed" : undefined}>
              <code>{facts.sqlState}</code> {meaning}
            </span>,
          ],
          facts.statusCode !== facts.sqlState && fact("Status code", facts.statusCode),
          fact("Database", facts.namespace),
          fact("Server", facts.server),
          fact("Operation", facts.operation),
          fact("Collection", facts.collection),
          fact("Statements in the batch", facts.batchSize, formatCount),
          fact("Failed commands", facts.failedCommands, formatCount),
          fact("Transaction", facts.transactionOutcome),
          fact("Prepared statement", facts.statementName),
          fact("Wait for the pool", facts.poolWaitMillis, (millis) => formatDuration(millis * 1e6)),
          fact("Database user", facts.user),
        ]}
      />
    </Section>
  );
}

function Statement({ sql, system }: { sql: SqlStatement; system: string }): JSX.Element {
  const hasParameters = sql.parameters.length > 0;
  const [chosen, choose] = useState<View>("runnable");
  const name = useId();
  const views: { value: View; label: string }[] = [
    ...(sql.runnable !== undefined && hasParameters ? [{ value: "runnable" as const, label: "With values" }] : []),
    { value: "placeholders", label: hasParameters ? "With placeholders" : "Formatted" },
    { value: "raw", label: "As sent" },
  ];
  const view = views.some(({ value }) => value === chosen) ? chosen : "placeholders";
  const text = view === "raw" ? sql.text : view === "runnable" ? (sql.runnable ?? sql.formatted) : sql.formatted;
  return (
    <>
      <div class="span-toolbar">
        <Segmented label="Statement" name={name} value={view} options={views} onChange={choose} />
      </div>
      <CodeBox label="Statement" copy={text} copyLabel="Copy the statement as shown">
        <Sql text={text} system={system} parameters={view === "runnable" ? [] : sql.parameters} />
      </CodeBox>
      {sql.runnable === undefined && (
        <Note>Cannot be copied as a runnable statement: {sql.notRunnable ?? "its values are not known"}.</Note>
      )}
      {hasParameters && (
        <table class="span-table span-parameters">
          <caption>Parameters</caption>
          <HiddenHead titles={["Name", "Value"]} />
          <tbody>
            {sql.parameters.map(({ name: place, value }) => (
              <tr key={place}>
                <th scope="row">{placeName(place, sql.text)}</th>
                <td>{value === null ? <span class="json-null">NULL</span> : <Captured text={valueText(value)} />}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

/** Places count from 0 in attributes, and from 1 in PostgreSQL's statements. */
function placeName(place: string, text: string): string {
  if (!/^\d+$/.test(place)) return place;
  const number = Number(place) + 1;
  return text.includes(`$${number}`) ? `$${number}` : String(number);
}

/** SQL in colours; a placeholder tells its value to whoever points at it. */
function Sql(props: { text: string; system: string; parameters: SqlStatement["parameters"] }): JSX.Element {
  const { text, system, parameters } = props;
  const tokens = useMemo(() => tokenizeSql(text, system), [text, system]);
  let questionMarks = 0;
  const valueOf = (placeholder: string): string | undefined => {
    const digits = /^[$?](\d+)$/.exec(placeholder)?.[1];
    const place = placeholder === "?" ? questionMarks++ : digits === undefined ? -1 : Number(digits) - 1;
    const bare = placeholder.replace(/^[:@$]|^%\(|\)s$/g, "");
    const found = parameters.find(({ name }) => name === placeholder || name === bare || name === String(place));
    return (found ?? parameters[place]) && valueText((found ?? parameters[place])!.value);
  };
  return (
    <>
      {tokens.map(({ type, text: piece }, index) => {
        if (type === "space") return piece;
        const title = type === "placeholder" ? valueOf(piece) : undefined;
        return (
          <span key={index} class={`sql-${type}`} title={title}>
            {piece}
          </span>
        );
      })}
    </>
  );
}
