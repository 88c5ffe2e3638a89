import { DataTypes, Sequelize } from "sequelize";
import { runOrm } from "./orm-app.cjs";

let sequelize;
let User;
let Post;

runOrm({
  async open(url) {
    sequelize = new Sequelize(url, { logging: false, define: { timestamps: false } });
    User = sequelize.define("User", { email: DataTypes.TEXT, password: DataTypes.TEXT }, { tableName: "users" });
    Post = sequelize.define("Post", { title: DataTypes.TEXT }, { tableName: "posts" });
    User.hasMany(Post, { foreignKey: "userId", as: "posts" });
  },
  close: () => sequelize.close(),
  run: (text) => sequelize.query(text),
  signUp: (email, password) => User.create({ email, password }),
  publish: (email, title) =>
    sequelize.transaction(async (transaction) => {
      const user = await User.findOne({
        where: sequelize.literal("email = $email"),
        bind: { email },
        transaction,
      });
      await Post.create({ userId: user.id, title }, { transaction });
    }),
  async feed(email) {
    const user = await User.findOne({ where: { email }, include: "posts" });
    return { email: user.email, titles: user.posts.map(({ title }) => title) };
  },
});
