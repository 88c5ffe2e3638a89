import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription = {
  instrumentation: "orms",
  packages: {
    "@mikro-orm/postgresql": ["6.6.15", "7.2.1"],
    "@prisma/client": ["6.19.3", "7.10.0"],
    "drizzle-orm": ["0.45.4"],
    knex: ["3.3.0"],
    kysely: ["0.28.18", "0.29.9"],
    sequelize: ["6.37.8"],
    typeorm: ["1.1.1"],
  },
  title: "Prisma with a driver adapter, Drizzle, TypeORM, Sequelize, Knex, Kysely, MikroORM",
  server: "PostgreSQL",
  spans: "each query and transaction the ORM sends through `pg` or `postgres`: see there",
  attributes: [],
  captured: "what is recorded of `pg` and `postgres`",
  limits: [
    "Prisma without a driver adapter (its engine written in Rust, up to version 6) is not seen.",
    "Sequelize (SELECT) and MikroORM 6 (all) write values into the statement's text, where they are shown as `?`.",
    "What is gathered from several requests into one query is shown in one of them.",
  ],
};
export default description;
