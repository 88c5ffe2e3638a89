const express = require("express");
const { Redis } = require("ioredis");
const { Pool } = require("pg");

express().get("/", (request, response) => response.end());
console.log(
  JSON.stringify({ millis: performance.now(), rss: process.memoryUsage.rss(), loaded: [typeof Redis, typeof Pool] }),
);
