import { EntitySchema, MikroORM } from "@mikro-orm/postgresql";
import { runOrm } from "./orm-app.cjs";

const User = new EntitySchema({
  name: "User",
  tableName: "users",
  properties: {
    id: { type: "number", primary: true },
    email: { type: "string" },
    password: { type: "string" },
    posts: { kind: "1:m", entity: () => Post, mappedBy: "user" },
  },
});
const Post = new EntitySchema({
  name: "Post",
  tableName: "posts",
  properties: {
    id: { type: "number", primary: true },
    title: { type: "string" },
    user: { kind: "m:1", entity: () => User, fieldName: "userId" },
  },
});
let orm;

runOrm({
  async open(clientUrl) {
    orm = await MikroORM.init({ clientUrl, entities: [User, Post], dataloader: true });
  },
  close: () => orm.close(),
  run: (text) => orm.em.getConnection().execute(text),
  async signUp(email, password) {
    const em = orm.em.fork();
    em.create(User, { email, password });
    await em.flush();
  },
  publish: (email, title) =>
    orm.em.fork().transactional(async (em) => {
      em.create(Post, { user: await em.findOneOrFail(User, { email }), title });
    }),
  async feed(email) {
    const user = await orm.em.fork().findOne(User, { email }, { populate: ["posts"] });
    return { email: user.email, titles: user.posts.map(({ title }) => title) };
  },
  // Collections are loaded by a DataLoader, all that are asked for in one turn at once.
  async gathered(emails) {
    const users = await orm.em.fork().find(User, { email: { $in: emails } }, { orderBy: { email: "asc" } });
    const posts = await Promise.all(users.map((user) => user.posts.loadItems({ dataloader: true })));
    return posts.flat().map(({ title }) => title);
  },
});
