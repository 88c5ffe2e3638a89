import type { SqlLanguage } from "sql-formatter";

/** What differs between databases in how a statement is read and a value is written. */
export interface SqlDialect {
  language: SqlLanguage;
  family: "postgresql" | "mysql" | "sqlite" | "mssql" | "oracle" | "other";
  /** A backslash in a string escapes what follows. */
  hasBackslashes: boolean;
}

const dialect = (language: SqlLanguage, family: SqlDialect["family"], hasBackslashes = false): SqlDialect => ({
  language,
  family,
  hasBackslashes,
});

const POSTGRESQL = dialect("postgresql", "postgresql");
const MYSQL = dialect("mysql", "mysql", true);
const MSSQL = dialect("transactsql", "mssql");
const ORACLE = dialect("plsql", "oracle");
const OTHER = dialect("sql", "other");

/** By `db.system.name`, and by `db.system` of older conventions. Source: OpenTelemetry semantic conventions 1.45, registry "db". */
const DIALECTS: Readonly<Record<string, SqlDialect>> = {
  "aws.redshift": dialect("redshift", "postgresql"),
  bigquery: dialect("bigquery", "other", true),
  cassandra: OTHER,
  clickhouse: dialect("clickhouse", "other", true),
  cockroachdb: POSTGRESQL,
  db2: dialect("db2", "other"),
  duckdb: dialect("duckdb", "sqlite"),
  "gcp.bigquery": dialect("bigquery", "other", true),
  "gcp.spanner": OTHER,
  h2: OTHER,
  h2database: OTHER,
  hsqldb: OTHER,
  "ibm.db2": dialect("db2", "other"),
  mariadb: dialect("mariadb", "mysql", true),
  "microsoft.sql_server": MSSQL,
  mssql: MSSQL,
  mysql: MYSQL,
  oracle: ORACLE,
  "oracle.db": ORACLE,
  other_sql: OTHER,
  postgresql: POSTGRESQL,
  redshift: dialect("redshift", "postgresql"),
  singlestore: dialect("singlestoredb", "mysql", true),
  snowflake: dialect("snowflake", "other", true),
  spanner: OTHER,
  sqlite: dialect("sqlite", "sqlite"),
  teradata: OTHER,
  trino: dialect("trino", "other"),
};

/** Undefined for systems that do not speak SQL. A sender that does not say is believed when its text begins as SQL does. */
export function dialectOf(system: string | undefined, text: string): SqlDialect | undefined {
  if (system !== undefined && Object.hasOwn(DIALECTS, system)) return DIALECTS[system];
  if (system !== undefined && system !== "" && system !== "other_sql") return undefined;
  const begins = /^[\s(]*(?:select|insert|update|delete|with|merge|replace|create|alter|drop|begin|commit|rollback)\b/i;
  return begins.test(text) ? OTHER : undefined;
}
