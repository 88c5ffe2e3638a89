import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Capture } from "../../src/capture/capture.ts";
import { fillIdentifiers } from "../../src/capture/sql-identifiers.ts";
import type { SqlDialect } from "../../src/capture/sql-tokens.ts";
import { sensitiveNames } from "./secrets.ts";

const capture = new Capture({ kinds: new Set(), maxBytes: 4096, redactNames: [], redactPatterns: [] });

const hidden = (sql: string, dialect?: SqlDialect): number[] => {
  const statement = capture.sql(sql, dialect);
  return Array.from({ length: statement.parameterCount }, (_, i) => i).filter((i) => statement.isSensitiveParameter(i));
};

describe("the summary", () => {
  test.each([
    // The examples of the semantic conventions.
    ["SELECT *\nFROM wuser_table\nWHERE username = ?", "SELECT wuser_table"],
    [
      "INSERT INTO shipping_details (order_id, address) SELECT order_id, address FROM orders WHERE order_id = ?",
      "INSERT shipping_details SELECT orders",
    ],
    ["SELECT * FROM songs, artists WHERE songs.artist_id == artists.id", "SELECT songs artists"],
    [
      "SELECT order_date FROM (SELECT * FROM orders o JOIN customers c ON o.customer_id = c.customer_id)",
      "SELECT SELECT orders customers",
    ],
    ['SELECT * FROM "song list", artists', 'SELECT "song list" artists'],
    ["BEGIN", "BEGIN"],
    ["COMMIT;", "COMMIT"],
    ["select id from users", "select users"],
    ["SELECT 1", "SELECT"],
    ["SELECT now()", "SELECT"],
    ["  -- name: get\n/* x */ SELECT id FROM public.users u", "SELECT public.users"],
    ["SELECT a.* FROM a LEFT JOIN b AS bb ON a.id = bb.id, c WHERE a.x IN (SELECT y FROM d)", "SELECT a b SELECT d"],
    [
      "INSERT INTO urls (id, url) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET url = EXCLUDED.url RETURNING *",
      "INSERT urls",
    ],
    ["INSERT INTO t (a) VALUES (?) ON DUPLICATE KEY UPDATE a = ?", "INSERT t"],
    ["REPLACE INTO t (a) VALUES (?)", "REPLACE t"],
    ["UPDATE ONLY users SET a = replace(a, 'x', 'y') FROM b WHERE b.id = users.id", "UPDATE users b"],
    ["DELETE FROM users USING b WHERE users.id = b.id", "DELETE users b"],
    [
      "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = 1 WHEN NOT MATCHED THEN INSERT (a) VALUES (1)",
      "MERGE t s",
    ],
    ["WITH r AS (SELECT * FROM orders) UPDATE users SET a = 1 FROM r", "SELECT orders UPDATE users r"],
    ["SELECT extract(epoch FROM created_at), substring(a FROM 1) FROM jobs FOR UPDATE SKIP LOCKED", "SELECT jobs"],
    ["SELECT * FROM t WHERE a IS DISTINCT FROM b", "SELECT t"],
    ["SELECT * FROM get_user($1)", "SELECT get_user"],
    ["SELECT * FROM unnest($1::int[]) x", "SELECT"],
    ["SELECT * FROM [dbo].[Users]", "SELECT [dbo].[Users]"],
    ["SELECT * FROM `shop`.`users`", "SELECT `shop`.`users`"],
    ["CREATE TABLE IF NOT EXISTS users (id int)", "CREATE TABLE users"],
    ["CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX i"],
    ["DROP TABLE IF EXISTS users", "DROP TABLE users"],
    ["TRUNCATE TABLE users", "TRUNCATE TABLE users"],
    ["ALTER TABLE users ADD COLUMN a int", "ALTER TABLE users"],
    ["CALL refresh_stats(?)", "CALL refresh_stats"],
    ["EXPLAIN ANALYZE SELECT * FROM t", "EXPLAIN SELECT t"],
    ["LISTEN url_events", "LISTEN url_events"],
    ["SET search_path TO x", "SET"],
    ["START TRANSACTION READ ONLY", "START TRANSACTION"],
    ["COPY urls (id) FROM STDIN", "COPY urls"],
    ["COPY (SELECT id FROM urls) TO STDOUT", "COPY SELECT urls"],
    ["SELECT a FROM b; DELETE FROM c", "SELECT b DELETE c"],
    ["SELECT 1 UNION ALL SELECT 2 FROM t", "SELECT SELECT t"],
    ["", ""],
    ["hunter2 is not sql", ""],
    ["🎉", ""],
  ])("of %j is %j", (sql, summary) => expect(capture.sql(sql).summary).toBe(summary));

  test("has at most 255 characters and ends with a whole name", () => {
    const tables = Array.from({ length: 100 }, (_, i) => `table_${i}`);
    const { summary } = capture.sql(`SELECT * FROM ${tables.join(", ")}`);
    expect(summary.length).toBeLessThanOrEqual(255);
    expect(`SELECT ${tables.join(" ")}`.startsWith(`${summary} `)).toBe(true);
    expect(summary.split(" ").every((part) => part === "SELECT" || tables.includes(part))).toBe(true);
    expect(capture.sql(`SELECT * FROM ${"a".repeat(300)}`).summary).toBe("SELECT");
    expect(capture.sql(`SELECT * FROM ${"a".repeat(248)}`).summary).toHaveLength(255);
    expect(capture.sql(`SELECT * FROM ${"a".repeat(249)}`).summary).toBe("SELECT");
  });

  test.each([
    ["SELECT 1", "SELECT"],
    ["insert into a select * from b", "insert"],
    ["WITH x AS (SELECT 1) DELETE FROM y", "DELETE"],
    ["(SELECT 1) UNION (SELECT 2)", "SELECT"],
    ["ROLLBACK TO SAVEPOINT a", "ROLLBACK"],
    ["", ""],
  ])("names the outermost operation of %j", (sql, operation) => expect(capture.sql(sql).operation).toBe(operation));
});

describe("the text", () => {
  test.each([
    "SELECT url FROM urls WHERE id = $1",
    "INSERT INTO t (a, b1) VALUES (?, ?) -- plain comment",
    'SELECT "a" FROM "t" WHERE "t"."a" = $1 AND "b" = "c"',
    'INSERT INTO t ("a","b")values($1,$2)',
    "/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/ SELECT a FROM t",
    "SELECT a::text, t1.b2, NULL, TRUE FROM t1 WHERE x = ANY($1::int[])",
  ])("stays when it holds no literal: %s", (sql) => expect(capture.sql(sql).text).toBe(sql));

  test.each([
    ["SELECT * FROM u WHERE name = 'bob' AND age > 42 LIMIT 10", "SELECT * FROM u WHERE name = ? AND age > ? LIMIT ?"],
    ["SELECT 'it''s', E'it\\'s', N'x', X'ff', 1.5e3, 0xFF", "SELECT ?, ?, ?, ?, ?, ?"],
    ["SELECT $$a 'b' c$$, $t$ x $$ y $t$ FROM z", "SELECT ?, ? FROM z"],
    [
      "SELECT * FROM `u` WHERE a = \"bob\" AND b = 'x\\'y' AND c = 1",
      "SELECT * FROM `u` WHERE a = ? AND b = ? AND c = ?",
    ],
    ['SELECT * FROM u WHERE a = "bob"', "SELECT * FROM u WHERE a = ?"],
    ['INSERT INTO t (a) VALUES ("x", "y z")', "INSERT INTO t (a) VALUES (?, ?)"],
    [
      "SELECT a FROM t WHERE d > DATE '2024-01-01' -- token=abc123",
      "SELECT a FROM t WHERE d > DATE ? -- token=REDACTED",
    ],
    ["ALTER USER bob PASSWORD 'hunter2'", "ALTER USER bob PASSWORD ?"],
    ["SELECT 'open", "SELECT ?"],
    ["SELECT /*! 'secret' */ 1", "SELECT /*! ? */ ?"],
    ["SELECT a /* x /* y */ 'secret' */ FROM t", "SELECT a /* x /* y */ ? */ FROM t"],
    ["PRAGMA key = hunter2", "PRAGMA key = ?"],
    ["PRAGMA rekey(\"x'2DD2'\")", "PRAGMA rekey(?)"],
    ["PRAGMA journal_mode = wal", "PRAGMA journal_mode = wal"],
    ["SELECT 1 # 'a' \n, 'b'", "SELECT ? ?"],
    ["SELECT a # 5, 'x' FROM t WHERE b = $1", "SELECT a # ?, ? FROM t WHERE b = $1"],
  ])("of %j is %j", (sql, text) => expect(capture.sql(sql).text).toBe(text));

  test("ends where the dialects disagree on the end of a string", () => {
    // MySQL reads one string here, standard SQL two and a name.
    const statement = capture.sql("SELECT 'it\\'s secret', 'x' FROM t WHERE a = ?");
    expect(statement.text).toBe("SELECT ?");
    expect(statement.isSensitiveParameter(0)).toBe(true);
    expect(capture.sql("SELECT $1, 'C:\\', 'x' FROM t").text).toBe("SELECT $1, ?, ? FROM t");
  });

  test.each<[dialect: SqlDialect, sql: string, text: string]>([
    ["mysql", "SELECT 'it\\'s secret', \"x\\\"y\" FROM t WHERE a = ?", "SELECT ?, ? FROM t WHERE a = ?"],
    ["mysql", "SELECT a # token=abc123 'x'\n, 'b' FROM t", "SELECT a # token=REDACTED 'x'\n, ? FROM t"],
    ["mysql", "SELECT 5--'a', b FROM t -- c", "SELECT ?--?, b FROM t -- c"],
    ["standard", "SELECT 'C:\\', 'x' FROM t WHERE a = ?", "SELECT ?, ? FROM t WHERE a = ?"],
    ["standard", "SELECT a # 5, 'x' FROM t", "SELECT a # ?, ? FROM t"],
  ])("is complete where the dialect is known: %s, %j", (dialect, sql, text) =>
    expect(capture.sql(sql, dialect).text).toBe(text),
  );

  test("shows no literal of any statement", () => {
    const literal = fc.stringMatching(/^[QXZ]{4,12}$/);
    const quoted = fc.oneof(
      literal.map((s) => `'${s}'`),
      literal.map((s) => `'a''${s}'`),
      literal.map((s) => `$$${s}$$`),
      literal.map((s) => `E'\\'${s}'`),
    );
    const statement = fc
      .tuple(quoted, quoted, quoted, quoted, fc.constantFrom("", "-- c\n", "/* c */", "::text", " \n"))
      .map(
        ([a, b, c, d, gap]) =>
          `INSERT INTO t (a, b) VALUES (${a}${gap}, ${b}), ($1, lower(${c}))${gap} ON CONFLICT DO UPDATE SET a = ${d} ${gap} WHERE t.b = ${a} ${gap}`,
      );
    fc.assert(
      fc.property(statement, (sql) => {
        expect(capture.sql(sql).text).not.toMatch(/[QXZ]{4}/);
      }),
    );
  });

  test("fits the budget", () => {
    const small = new Capture({ kinds: new Set(), maxBytes: 20, redactNames: [], redactPatterns: [] });
    expect(small.sql("SELECT a FROM t WHERE b = $1").text).toBe("SELECT a FROM t W…");
  });
});

describe("a parameter bound to a sensitive column is hidden, the others are shown", () => {
  test.each<[sql: string, hiddenIndexes: number[]]>([
    ["INSERT INTO users (email, password_hash) VALUES ($1, $2)", [1]],
    ["INSERT INTO users (email, password_hash) VALUES ($1, $2), ($3, $4), ($5, $6)", [1, 3, 5]],
    ["INSERT INTO users (email, password_hash, name) VALUES ($1, crypt($2, gen_salt('bf')), lower($3))", [1]],
    ["INSERT INTO users (email, password) VALUES ($1, $2::text) RETURNING id", [1]],
    ['INSERT INTO users ("email", "passwordHash") VALUES (?, ?)', [1]],
    [
      "INSERT INTO `users` (`email`, `password`) VALUES (?, ?) ON DUPLICATE KEY UPDATE `email` = ?, `password` = ?",
      [1, 3],
    ],
    ["INSERT INTO [users] ([email], [password]) VALUES (?, ?)", [1]],
    ["INSERT INTO auth.tokens (user_id, value, expires) VALUES ($1, $2, $3)", []],
    [
      "INSERT INTO tokens (user_id, token) VALUES ($1, $2) ON CONFLICT (user_id) DO UPDATE SET token = $3, n = tokens.n + $4",
      [1, 2],
    ],
    ["INSERT INTO users VALUES ($1, $2)", [0, 1]],
    ["INSERT INTO users (SELECT $1, $2)", [0, 1]],
    ["INSERT INTO users SELECT u.* FROM json_populate_recordset(null::users, $1) u WHERE u.id > $2", [0]],
    ["INSERT INTO users WITH x AS (SELECT $1 AS a) SELECT a, $2 FROM x LIMIT $3", [0, 1]],
    ["WITH x AS (SELECT $1 AS a) INSERT INTO users SELECT a FROM x", [0]],
    ["WITH x AS (SELECT $1 AS a) INSERT INTO users (name) SELECT a FROM x", []],
    ["INSERT INTO users (email, password) VALUES (?)", [0]],
    ["INSERT INTO users (email, password) VALUES ?", [0]],
    ["INSERT INTO users (email, name) VALUES ?", []],
    ["INSERT INTO users SET email = ?, password = ?", [1]],
    ["INSERT INTO users (email, password) SELECT $1, $2 WHERE NOT EXISTS (SELECT 1 FROM users WHERE email = $3)", [1]],
    ["INSERT INTO users (email, password) SELECT coalesce(o.a, $1), coalesce(o.b, $2) FROM o WHERE o.id = $3", [1]],
    ["INSERT INTO users (email, password) SELECT o.*, $1 FROM o", [0]],
    ["INSERT INTO users (email, password) SELECT * FROM unnest($1::text[], $2::text[]) AS t(e, p)", [0, 1]],
    ["INSERT INTO events (name, at) SELECT * FROM unnest($1::text[], $2::timestamptz[])", []],
    [
      "INSERT INTO sess (sid, sess, expire) SELECT $1, $2, to_timestamp($3) ON CONFLICT (sid) DO UPDATE SET sess = $2, expire = to_timestamp($3)",
      [0, 1],
    ],
    ["UPDATE users SET name = $1, password = $2 WHERE id = $3", [1]],
    ["UPDATE users u SET password = crypt($1, gen_salt('bf')), seen = now() + $2::interval WHERE u.id = $3", [0]],
    ["UPDATE users SET password = COALESCE($1, password), email = COALESCE($2, email)", [0]],
    ["UPDATE users SET password = CASE WHEN a = 1 AND b = 2 THEN $1 ELSE $2 END, x = $3 WHERE y = $4", [0, 1]],
    ["UPDATE users SET (email, password) = ($1, $2) WHERE id = $3", [0, 1]],
    [
      "UPDATE users SET password = v.p FROM (VALUES ($1::int, $2), ($3, $4)) AS v(id, p) WHERE users.id = v.id",
      [0, 1, 2, 3],
    ],
    ["UPDATE urls SET hits = v.h FROM (VALUES ($1::int, $2)) AS v(id, h) WHERE urls.id = v.id", []],
    ["WITH v AS (SELECT $1::int AS id, $2 AS p) UPDATE users SET password = v.p FROM v WHERE users.id = v.id", [0, 1]],
    ["SELECT * FROM users WHERE email = $1 AND password = $2", [1]],
    ["SELECT * FROM users WHERE $1 = email AND $2 = u.password", [1]],
    ['SELECT * FROM users u WHERE lower(u.email) = lower($1) AND u."password" = $2 LIMIT $3 OFFSET $4', [1]],
    ["SELECT * FROM users WHERE (email = $1 OR token = $2) AND id = $3", [1]],
    ["SELECT * FROM t WHERE token IN ($1, $2) AND id IN ($3, $4)", [0, 1]],
    ["SELECT * FROM t WHERE token = ANY($1) AND id = ANY($2::int[])", [0]],
    ["SELECT * FROM t WHERE token LIKE $1 ESCAPE '!' OR name LIKE $2", [0]],
    ["SELECT * FROM t WHERE pin BETWEEN $1 AND $2 AND age BETWEEN $3 AND $4", [0, 1]],
    ["SELECT * FROM t WHERE NOT token = $1 AND NOT (id = $2)", [0]],
    ["SELECT * FROM t WHERE token IS DISTINCT FROM $1 AND name = $2", [0]],
    ["SELECT * FROM t JOIN s ON s.token = $1 AND s.kind = $2 WHERE t.id = $3", [0]],
    ["SELECT a, count(*) FROM t GROUP BY a HAVING max(secret) = $1 AND min(b) = $2", [0]],
    ["SELECT * FROM t WHERE data->>'password' = $1 AND data->>'name' = $2", [0]],
    ["UPDATE t SET data = jsonb_set(data, '{auth,token}', $1), n = $2", [0]],
    ["SELECT * FROM t WHERE api_key_hash = digest($1, 'sha256') AND x = digest($2, 'sha256') AND y = $3", [0, 1]],
    ["SELECT $1 AS password, $2 AS name", [0]],
    ["SELECT verify_password($1, $2), $3 AS x", [0, 1]],
    ["SELECT * FROM login($1, $2)", [0, 1]],
    ["CALL create_user(?, ?)", [0, 1]],
    ["SELECT f($1)", []],
    ["SELECT f($1), password FROM users", [0]],
    ["SELECT password FROM users WHERE id = $1 ORDER BY password LIMIT $2", []],
    ["SELECT * FROM users WHERE session_id IN (SELECT id FROM s WHERE user_id = $1)", []],
    ["SELECT * FROM users WHERE password = (SELECT $1)", [0]],
    ["SELECT * FROM usage WHERE token_count > $1 AND tokens_used < $2 AND author = $3", []],
    ["SELECT * FROM t WHERE a ? 'x' AND token = $1 AND b = $2", [0]],
    ["SELECT * FROM t WHERE id = ?1 AND token = ?2 AND x = ?1", [1]],
    ["CREATE USER bob IDENTIFIED BY ?", [0]],
    ["ALTER ROLE bob WITH PASSWORD $1", [0]],
    ["SELECT set_config('app.jwt', $1, true), set_config('app.lang', $2, true)", [0, 1]],
    ["WITH x AS (INSERT INTO t (a, token) VALUES ($1, $2) RETURNING id) SELECT * FROM x WHERE id = $3", [1]],
    ["MERGE INTO t USING s ON t.id = $1 WHEN NOT MATCHED THEN INSERT (id, secret) VALUES ($2, $3)", [2]],
    ["INSERT INTO a (x) VALUES ($1); INSERT INTO b (token) VALUES ($2)", [1]],
    ["SELECT CAST($1 AS timestamp with time zone), token FROM t", [0]],
    ["REPLACE users (email, password) VALUES (?, ?)", [1]],
    ["REPLACE INTO users SET email = ?, password = ?", [1]],
    ["INSERT INTO users (email, password) VALUE (?, ?), (?, ?)", [1, 3]],
    ["INSERT INTO users PARTITION (p0, p1) (email, password) VALUES (?, ?)", [1]],
    ["INSERT INTO users (email, password) VALUES ROW(?, ?), ROW(?, ?)", [1, 3]],
    ["INSERT INTO users (email, password) VALUES (?, ?) AS new ON DUPLICATE KEY UPDATE name = ?, password = ?", [1, 3]],
    ["INSERT OR REPLACE INTO users (email, password) VALUES (?1, ?2) RETURNING email", [1]],
    ["UPDATE users SET password = CAST(? AS CHAR(60)), name = CONVERT(? USING utf8mb4)", [0]],
    ["UPDATE users u JOIN t ON t.id = u.id SET u.password = ?, u.name = ? WHERE u.id = ?", [0]],
    ["SELECT * FROM users WHERE password <=> ? XOR name = ?", [0]],
    ["SELECT * FROM users WHERE password NOT IN (?, ?) AND name NOT LIKE ? AND pin <> ?", [0, 1, 3]],
    ["SELECT * FROM users WHERE (email, password) = (?, ?)", [0, 1]],
    ["PRAGMA key = ?", [0]],
    ["SET PASSWORD FOR 'bob'@'localhost' = ?", [0]],
  ])("%s", (sql, expected) => expect(hidden(sql)).toEqual(expected));

  test("a comment of MySQL holds no parameters", () => {
    const sql = "SELECT * FROM users # password = ?\nWHERE email = ? AND password = ?";
    expect(hidden(sql, "mysql")).toEqual([1]);
    expect(capture.sql(sql).isSensitiveParameter(1)).toBe(true);
  });

  test("by name, with or without its sigil", () => {
    const insert = capture.sql("INSERT INTO users (email, password) VALUES (:email, :hash)");
    expect(["email", ":email", "hash", ":hash"].map((n) => insert.isSensitiveParameter(n))).toEqual([
      false,
      false,
      true,
      true,
    ]);
    const exec = capture.sql("EXEC add_row @name = @p0, @token = @p1");
    expect(exec.isSensitiveParameter("p0")).toBe(false);
    expect(exec.isSensitiveParameter("@p1")).toBe(true);
    expect(capture.sql("SELECT f(@apiKey)").isSensitiveParameter("apiKey")).toBe(true);
    expect(capture.sql("SELECT * FROM t WHERE a = $name").isSensitiveParameter("name")).toBe(false);
  });

  test("a parameter that was not seen is shown only if the statement names nothing sensitive", () => {
    expect(capture.sql("SELECT a FROM t").isSensitiveParameter(3)).toBe(false);
    expect(capture.sql("SELECT password FROM t").isSensitiveParameter(3)).toBe(true);
  });

  test("for every sensitive name, in every style of statement", () => {
    const styles: ((column: string) => string)[] = [
      (c) => `INSERT INTO t (a, ${c}, b) VALUES ($1, $2, $3)`,
      (c) => `UPDATE t SET a = $1, ${c} = $2, b = $3`,
      (c) => `SELECT * FROM t WHERE a = $1 AND ${c} = $2 AND b = $3`,
      (c) => `SELECT * FROM t x WHERE a = $1 AND lower(x.${c}) = lower($2) AND b = $3`,
      (c) => `DELETE FROM t WHERE a = $1 OR $2 = ${c} OR b = $3`,
      (c) => `SELECT * FROM t WHERE a = $1 AND ${c} IN ($2) AND b = $3`,
      (c) => `INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET ${c} = $2, b = $3`,
    ];
    for (const name of sensitiveNames) {
      for (const style of styles) {
        for (const column of [
          `"${name}"`,
          `[${name}]`,
          `\`${name}\``,
          ...(/\W/.test(name) ? [] : [name, name.toUpperCase()]),
        ]) {
          if (column.startsWith("[") && !/^\[[A-Za-z_]/.test(column)) continue;
          // Capitals alone do not tell where one word ends: APIKEY is known, STRIPESECRETKEY too, ACCESSKEYID not always.
          if (column === name.toUpperCase() && !capture.isSensitiveName(column)) continue;
          expect(hidden(style(column)), style(column)).toEqual([1]);
        }
      }
    }
  });
});

describe("a value given to a sensitive column never survives", () => {
  const sensitive = fc.constantFrom("password", "api_key", "resetToken", "pin", "card_number", "sid", "secret_answer");
  const harmless = fc.constantFrom("id", "email", "name", "token_count", "created_at", "author", "age");
  const column = fc.oneof(
    sensitive.map((name) => ({ name, isSecret: true })),
    harmless.map((name) => ({ name, isSecret: false })),
  );
  const columns = fc.uniqueArray(column, { minLength: 1, maxLength: 6, selector: ({ name }) => name });
  const quoting = fc.constantFrom<(name: string) => string>(
    (name) => name,
    (name) => `"${name}"`,
    (name) => `\`${name}\``,
    (name) => `[${name}]`,
    (name) => name.toUpperCase().replace("RESETTOKEN", "RESET_TOKEN"),
  );
  const qualifier = fc.constantFrom("", "t.", "public.t.", "`t`.");
  const gap = fc.constantFrom(" ", "\n", "  ", "/* ? */ ", " -- it's ?\n");
  const wrap = fc.constantFrom<(value: string) => string>(
    (value) => value,
    (value) => `lower(${value})`,
    (value) => `CAST(${value} AS CHAR(60))`,
    (value) => `(${value})`,
    (value) => `COALESCE(NULL, ${value})`,
    (value) => `trim(both from ${value})`,
    (value) => `CASE WHEN 1 = 1 THEN ${value} ELSE NULL END`,
    (value) => `crypt(${value}, 'x')`,
    (value) => `(SELECT ${value})`,
  );
  const comparison = fc.constantFrom<(column: string, value: string) => string>(
    (name, value) => `${name} = ${value}`,
    (name, value) => `${value} = ${name}`,
    (name, value) => `${name} <> ${value}`,
    (name, value) => `${name} LIKE ${value}`,
    (name, value) => `${name} NOT LIKE ${value}`,
    (name, value) => `${name} IN (1, ${value}, 2)`,
    (name, value) => `${name} NOT BETWEEN ${value} AND 5`,
    (name, value) => `${name} BETWEEN 5 AND ${value}`,
    (name, value) => `${name} IS NOT ${value}`,
    (name, value) => `lower(${name}) >= ${value}`,
    (name, value) => `NOT (${name} = ${value})`,
    (name, value) => `EXISTS (SELECT 1 FROM other WHERE ${name} = ${value})`,
  );

  interface Parts {
    columns: Array<{ name: string; isSecret: boolean }>;
    quote: (name: string) => string;
    qualify: string;
    gap: string;
    wrap: (value: string) => string;
    compare: (column: string, value: string) => string;
  }
  const parts: fc.Arbitrary<Parts> = fc.record({
    columns,
    quote: quoting,
    qualify: qualifier,
    gap,
    wrap,
    compare: comparison,
  });

  /** Statements in which each column gets one value, in order; `v` makes the next value. */
  const styles: Record<string, (parts: Parts, v: () => string) => string> = {
    insert: ({ columns: all, quote, gap: g, wrap: w }, v) =>
      `INSERT${g}INTO t${g}(${all.map(({ name }) => quote(name)).join(`,${g}`)})${g}VALUES (${all.map(() => w(v())).join(", ")})`,
    "insert alias": ({ columns: all, quote, wrap: w }, v) =>
      `INSERT INTO s.t AS x (${all.map(({ name }) => quote(name)).join()}) VALUES(${all.map(() => w(v())).join()}) RETURNING *`,
    "insert set": ({ columns: all, quote, wrap: w }, v) =>
      `REPLACE INTO t SET ${all.map(({ name }) => `${quote(name)} = ${w(v())}`).join(", ")}`,
    "insert select": ({ columns: all, quote, wrap: w }, v) =>
      `INSERT INTO t (${all.map(({ name }) => quote(name)).join()}) SELECT ${all.map(() => w(v())).join(", ")} FROM o WHERE o.n = 1`,
    upsert: ({ columns: all, quote, wrap: w, gap: g }, v) =>
      `INSERT INTO t (n) VALUES (1)${g}ON CONFLICT (n) DO UPDATE SET ${all.map(({ name }) => `${quote(name)}${g}=${w(v())}`).join(",")}`,
    duplicate: ({ columns: all, quote, wrap: w }, v) =>
      `INSERT INTO t (n) VALUES (1) ON DUPLICATE KEY UPDATE ${all.map(({ name }) => `${quote(name)}=${w(v())}`).join(", ")}`,
    update: ({ columns: all, quote, qualify, wrap: w, gap: g }, v) =>
      `UPDATE t SET${g}${all.map(({ name }) => `${qualify}${quote(name)} = ${w(v())}`).join(`${g},`)} WHERE n = 1`,
    where: ({ columns: all, quote, qualify, wrap: w, compare, gap: g }, v) =>
      `SELECT * FROM t${g}WHERE ${all.map(({ name }) => compare(qualify + quote(name), w(v()))).join(`${g}AND `)} ORDER BY n`,
    or: ({ columns: all, quote, wrap: w, compare }, v) =>
      `DELETE FROM t WHERE (${all.map(({ name }) => compare(quote(name), w(v()))).join(" OR ")}) LIMIT 1`,
    cte: ({ columns: all, quote, wrap: w, compare }, v) =>
      `WITH c AS (SELECT n FROM u WHERE ${all.map(({ name }) => compare(quote(name), w(v()))).join(" AND ")}) SELECT * FROM c`,
    join: ({ columns: all, quote, compare }, v) =>
      `SELECT * FROM a LEFT JOIN b ON ${all.map(({ name }) => compare(`b.${quote(name)}`, v())).join(" AND ")} WHERE a.n = 1`,
    cast: ({ columns: all, quote }, v) =>
      `UPDATE t SET ${all.map(({ name }) => `${quote(name)} = ${v()}::text`).join(", ")}`,
  };
  const placeholders: Record<string, (index: number) => string> = {
    "?": () => "?",
    "?1": (index) => `?${index + 1}`,
    $1: (index) => `$${index + 1}`,
    ":v1": (index) => `:v${index}`,
    "@v1": (index) => `@v${index}`,
    $v1: (index) => `$v${index}`,
  };
  const dialects: SqlDialect[] = [undefined, "mysql", "standard"];

  test.each(Object.keys(styles))("as a parameter: %s", (style) => {
    fc.assert(
      fc.property(
        parts,
        fc.constantFrom(...Object.keys(placeholders)),
        fc.constantFrom(...dialects),
        (given, kind, dialect) => {
          let index = 0;
          const sql = styles[style]!(given, () => placeholders[kind]!(index++));
          const statement = capture.sql(sql, dialect);
          for (const [at, { name, isSecret }] of given.columns.entries()) {
            if (!isSecret) continue;
            const key = kind.includes("v") ? `v${at}` : at;
            expect(statement.isSensitiveParameter(key), `${name} in ${sql}`).toBe(true);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  test.each(Object.keys(styles))("as a literal, nor does any other: %s", (style) => {
    const literals = fc.constantFrom<(text: string) => string>(
      (text) => `'${text}'`,
      (text) => `'a''${text}'`,
      (text) => `'${text}''''b'`,
    );
    fc.assert(
      fc.property(parts, literals, fc.constantFrom(...dialects), (given, literal, dialect) => {
        const sql = styles[style]!(given, () => literal("QXZQXZ"));
        expect(capture.sql(sql, dialect).text).not.toContain("QXZ");
      }),
      { numRuns: 300 },
    );
  });

  test("in any row of many", () => {
    fc.assert(
      fc.property(columns, fc.integer({ min: 1, max: 5 }), (all, rows) => {
        const row = `(${all.map(() => "?").join(", ")})`;
        const sql = `INSERT INTO t (${all.map(({ name }) => name).join(", ")}) VALUES ${Array<string>(rows).fill(row).join(", ")}`;
        const statement = capture.sql(sql);
        for (let index = 0; index < rows * all.length; index++) {
          const { isSecret } = all[index % all.length]!;
          expect(statement.isSensitiveParameter(index)).toBe(isSecret);
        }
      }),
    );
  });

  test("under its own name, whatever the column", () => {
    fc.assert(
      fc.property(sensitive, fc.constantFrom(":", "@", "$"), fc.constantFrom(...dialects), (name, sigil, dialect) => {
        for (const sql of [
          `SELECT * FROM t WHERE a = ${sigil}${name}`,
          `INSERT INTO t (a, b) VALUES (1, ${sigil}${name})`,
        ]) {
          const statement = capture.sql(sql, dialect);
          expect(statement.parameterNames).toEqual([name]);
          expect(statement.isSensitiveParameter(name)).toBe(true);
        }
      }),
    );
  });
});

describe("identifiers given as parameters", () => {
  test.each<[sql: string, values: unknown[], text: string, left: unknown[]]>([
    [
      "UPDATE users SET ?? = ? WHERE id = ?",
      ["password", "x", 1],
      "UPDATE users SET `password` = ? WHERE id = ?",
      ["x", 1],
    ],
    ["SELECT ?? FROM ??", [["id", "u.name"], "users"], "SELECT `id`, `u`.`name` FROM `users`", []],
    ["SELECT * FROM ?? WHERE ?? = ?", ["a`b", "id", 5], "SELECT * FROM `a``b` WHERE `id` = ?", [5]],
  ])("are part of the statement: %s", (sql, values, text, left) =>
    expect(fillIdentifiers(sql, values)).toEqual({ text, values: left }),
  );

  test.each<[sql: string, values: unknown[]]>([
    // One version of the driver counts these question marks, another does not.
    ["UPDATE t SET note = 'why?', ?? = ? WHERE id = ?", ["password", "hunter2", 1]],
    ["UPDATE t SET ?? = ? -- ?", ["password", "hunter2", 1]],
    ["UPDATE t SET ?? = ?", ["correct horse battery staple", 1]],
    ["UPDATE t SET ?? = ?", [{ a: 1 }, 1]],
    ["UPDATE t SET ??? = ?", ["a", 1]],
    ["UPDATE t SET ?? = ?", []],
  ])("are left alone in doubt: %s", (sql, values) => expect(fillIdentifiers(sql, values)).toBeUndefined());
});

describe("any input", () => {
  const piece = fc.constantFrom(
    ..."SELECT INSERT INTO UPDATE SET VALUES FROM WHERE AND OR ( ) , ; = $1 ? :a @b 'x' '' \" ` [ ] $$ $t$ -- /* */ # \\ :: -> CASE END BETWEEN IN t password . * BY AS WITH E' \n".split(
      " ",
    ),
  );
  test("is survived", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc.array(piece, { maxLength: 60 }).map((p) => p.join(" ")),
        ),
        (sql) => {
          const statement = capture.sql(sql);
          expect(statement.summary.length).toBeLessThanOrEqual(255);
          expect(typeof statement.isSensitiveParameter(0)).toBe("boolean");
          expect(typeof statement.isSensitiveParameter("a")).toBe("boolean");
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("$999999999 allocates nothing", () => {
    expect(capture.sql("SELECT * FROM t WHERE a = $999999999").parameterCount).toBe(1);
  });

  test("longer than 64 KiB is described by its head, and what lies behind is hidden", () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => `($${2 * i + 1}, $${2 * i + 2})`).join(", ");
    const statement = capture.sql(`INSERT INTO users (email, password) VALUES ${rows}`);
    expect(statement.summary).toBe("INSERT users");
    expect(statement.isSensitiveParameter(0)).toBe(false);
    expect(statement.isSensitiveParameter(1)).toBe(true);
    expect(statement.isSensitiveParameter(39_998)).toBe(true);
    expect(Buffer.byteLength(statement.text)).toBeLessThanOrEqual(4096);
  });
});

describe("the memory of statements", () => {
  test("gives the same object for the same text", () => {
    const text = "SELECT a FROM remembered WHERE b = $1";
    expect(capture.sql(text)).toBe(capture.sql(`${text.slice(0, 10)}${text.slice(10)}`));
  });

  test("does not keep what is longer than 64 KiB", () => {
    const text = `SELECT ${"1,".repeat(40_000)}1`;
    expect(capture.sql(text)).not.toBe(capture.sql(text));
  });
});
