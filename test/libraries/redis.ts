import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription = {
  instrumentation: "redis",
  packages: { redis: ["4.1.0", "4.7.1", "5.12.1", "6.3.1"] },
  server: "Redis",
  spans:
    "a command, pipeline or transaction; a published and a processed message; an entry sent to a stream, entries received from one",
  attributes: [],
  captured: "keys; values written and read; messages and entries of streams",
  limits: [],
};
export default description;
