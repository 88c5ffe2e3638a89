import { eq, relations, sql } from "drizzle-orm";
import { drizzle as overPg } from "drizzle-orm/node-postgres";
import { integer, pgTable, serial, text } from "drizzle-orm/pg-core";
import { drizzle as overPostgres } from "drizzle-orm/postgres-js";
import pg from "pg";
import postgres from "postgres";
import { runOrm } from "./orm-app.cjs";

const users = pgTable("users", {
  id: serial("id").primaryKey(),
  email: text("email").notNull(),
  password: text("password").notNull(),
});
const posts = pgTable("posts", {
  id: serial("id").primaryKey(),
  userId: integer("userId").notNull(),
  title: text("title").notNull(),
});
const userPosts = relations(users, ({ many }) => ({ posts: many(posts) }));
const postUser = relations(posts, ({ one }) => ({
  user: one(users, { fields: [posts.userId], references: [users.id] }),
}));
const schema = { users, posts, userPosts, postUser };
let client;
let db;

runOrm({
  open(url) {
    if (process.env.DRIVER === "pg") db = overPg((client = new pg.Pool({ connectionString: url })), { schema });
    else db = overPostgres((client = postgres(url)), { schema });
  },
  close: () => client.end(),
  run: (statement) => db.execute(sql.raw(statement)),
  signUp: (email, password) => db.insert(users).values({ email, password }),
  publish: (email, title) =>
    db.transaction(async (tx) => {
      const [user] = await tx.select().from(users).where(eq(users.email, email));
      await tx.insert(posts).values({ userId: user.id, title });
    }),
  async feed(email) {
    const user = await db.query.users.findFirst({ where: eq(users.email, email), with: { posts: true } });
    return { email: user.email, titles: user.posts.map(({ title }) => title) };
  },
});
