import express from "express";
import { Redis } from "ioredis";
import { Pool } from "pg";

express().get("/", (request, response) => response.end());
console.log(
  JSON.stringify({ millis: performance.now(), rss: process.memoryUsage.rss(), loaded: [typeof Redis, typeof Pool] }),
);
