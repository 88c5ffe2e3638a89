import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "@prisma/client";
import { runOrm } from "./orm-app.cjs";

let prisma;

runOrm({
  async open(url) {
    prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) });
  },
  close: () => prisma.$disconnect(),
  run: (text) => prisma.$executeRawUnsafe(text),
  signUp: (email, password) => prisma.user.create({ data: { email, password } }),
  publish: (email, title) =>
    prisma.$transaction(async (tx) => {
      const user = await tx.user.findUniqueOrThrow({ where: { email } });
      await tx.post.create({ data: { userId: user.id, title } });
    }),
  async feed(email) {
    const user = await prisma.user.findUnique({ where: { email }, include: { posts: true } });
    return { email: user.email, titles: user.posts.map(({ title }) => title) };
  },
  // All that are asked for in one turn are one query.
  async gathered(emails) {
    const users = await Promise.all(emails.map((email) => prisma.user.findUnique({ where: { email } })));
    return users.map(({ email }) => email);
  },
});
