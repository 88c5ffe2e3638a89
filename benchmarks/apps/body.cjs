const { createServer } = require("node:http");
const express = require("express");
const { listen } = require("./listen.cjs");

const app = express();
app.use(express.json());
app.post("/orders", (request, response) => {
  const { customer, items } = request.body;
  const total = items.reduce((sum, item) => sum + item.cents * item.count, 0);
  response.status(201).json({ id: "o_1001", customer: customer.id, lines: items.length, total, status: "accepted" });
});
listen(createServer(app));
