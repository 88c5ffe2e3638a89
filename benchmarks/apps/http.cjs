const { createServer } = require("node:http");
const { listen } = require("./listen.cjs");

listen(
  createServer((request, response) => {
    response.setHeader("content-type", "text/plain");
    response.end("hello");
  }),
);
