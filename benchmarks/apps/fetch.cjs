const { createServer } = require("node:http");
const { listen } = require("./listen.cjs");

const upstream = `${process.env.UPSTREAM_URL}/rates`;
listen(
  createServer(async (request, response) => {
    const answer = await fetch(upstream);
    const { rates } = await answer.json();
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ rates: rates.length }));
  }),
);
