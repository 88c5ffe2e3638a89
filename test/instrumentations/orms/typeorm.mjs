import { DataSource, EntitySchema } from "typeorm";
import { runOrm } from "./orm-app.cjs";

const User = new EntitySchema({
  name: "User",
  tableName: "users",
  columns: {
    id: { type: Number, primary: true, generated: true },
    email: { type: String },
    password: { type: String },
  },
  relations: { posts: { type: "one-to-many", target: "Post", inverseSide: "user" } },
});
const Post = new EntitySchema({
  name: "Post",
  tableName: "posts",
  columns: { id: { type: Number, primary: true, generated: true }, title: { type: String } },
  relations: { user: { type: "many-to-one", target: "User", inverseSide: "posts", joinColumn: { name: "userId" } } },
});
let source;

runOrm({
  async open(url) {
    source = await new DataSource({ type: "postgres", url, entities: [User, Post] }).initialize();
  },
  close: () => source.destroy(),
  run: (text) => source.query(text),
  signUp: (email, password) => source.getRepository(User).save({ email, password }),
  publish: (email, title) =>
    source.transaction(async (manager) => {
      const user = await manager.findOneByOrFail(User, { email });
      await manager.save(Post, { user, title });
    }),
  async feed(email) {
    const user = await source.getRepository(User).findOne({ where: { email }, relations: { posts: true } });
    return { email: user.email, titles: user.posts.map(({ title }) => title) };
  },
});
