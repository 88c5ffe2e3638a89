// Beside every ORM's application: two requests at the same time, each with a change, a transaction, a read that loads a relation,
// and a failure. An application gives
//
//   open(url), close()               outside of any trace
//   run(text)                        one statement as it is, outside of any trace
//   signUp(email, password)          inserts a user
//   publish(email, title)            in a transaction: finds the user, inserts a post
//   feed(email)                      finds the user with its posts: { email, titles }
// and, where the ORM gathers what is asked for in one turn into one query:
//   gathered(emails)                 asks for each of them at once
"use strict";
const { failureOf, runMain, scenario } = require("./scenarios-app.cjs");

exports.runOrm = function runOrm({ open, close, run, signUp, publish, feed, gathered }) {
  runMain(async () => {
    const { DATABASE_URL, DATABASE } = process.env;
    await open(DATABASE_URL.replace(/\/\w*$/, `/${DATABASE}`));
    await run("CREATE TABLE users (id serial PRIMARY KEY, email text UNIQUE NOT NULL, password text NOT NULL)");
    await run('CREATE TABLE posts (id serial PRIMARY KEY, "userId" integer NOT NULL, title text NOT NULL)');

    const request = (name) =>
      scenario(name, async (note, where) => {
        const email = `${name}@example.com`;
        await signUp(email, `hunter2-${name}`);
        where();
        await publish(email, `title of ${name}`);
        where();
        note(await feed(email));
        where();
        note((await failureOf(() => signUp(email, `hunter2-again-${name}`))) !== undefined);
        where();
      });
    await Promise.all([request("ann"), request("bob")]);

    if (gathered !== undefined) {
      await scenario("gathered", async (note, where) => {
        note(await gathered(["ann@example.com", "bob@example.com"]));
        where();
      });
    }
    await close();
  });
};
