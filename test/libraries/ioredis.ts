import type { LibraryDescription } from "./description.ts";

const description: LibraryDescription = {
  instrumentation: "ioredis",
  packages: { ioredis: ["4.11.1", "4.31.0", "5.11.1", "6.0.0"] },
  server: "Redis",
  spans:
    "a command, pipeline or transaction; a published and a processed message; an entry sent to a stream, entries received from one",
  attributes: [],
  captured: "",
  limits: [],
};
export default description;
