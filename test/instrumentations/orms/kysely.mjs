import { CompiledQuery, Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import { runOrm } from "./orm-app.cjs";

let db;

runOrm({
  async open(url) {
    db = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: url }) }) });
  },
  close: () => db.destroy(),
  run: (text) => db.executeQuery(CompiledQuery.raw(text)),
  signUp: (email, password) => db.insertInto("users").values({ email, password }).execute(),
  publish: (email, title) =>
    db.transaction().execute(async (trx) => {
      const { id } = await trx.selectFrom("users").select("id").where("email", "=", email).executeTakeFirstOrThrow();
      await trx.insertInto("posts").values({ userId: id, title }).execute();
    }),
  async feed(email) {
    const rows = await db
      .selectFrom("users")
      .innerJoin("posts", "posts.userId", "users.id")
      .select(["email", "title"])
      .where("email", "=", email)
      .execute();
    return { email: rows[0].email, titles: rows.map(({ title }) => title) };
  },
});
