const { createServer } = require("node:http");
const express = require("express");
const { listen } = require("./listen.cjs");

const app = express();
app.use((request, response, next) => {
  response.setHeader("x-request-start", "1");
  next();
});
app.use((request, response, next) => next());
app.get("/users/:id", (request, response) => {
  response.json({ id: request.params.id, name: "Ada Lovelace" });
});
listen(createServer(app));
