import createKnex from "knex";
import { runOrm } from "./orm-app.cjs";

let knex;

runOrm({
  async open(url) {
    knex = createKnex({ client: "pg", connection: url });
  },
  close: () => knex.destroy(),
  run: (text) => knex.raw(text),
  signUp: (email, password) => knex("users").insert({ email, password }),
  publish: (email, title) =>
    knex.transaction(async (trx) => {
      const { id } = await trx("users").where({ email }).first();
      await trx("posts").insert({ userId: id, title });
    }),
  async feed(email) {
    const rows = await knex("users").join("posts", "posts.userId", "users.id").where({ email });
    return { email: rows[0].email, titles: rows.map(({ title }) => title) };
  },
});
