import {
  DB_NAMESPACE,
  DB_SYSTEM_NAME,
  MESSAGING_SYSTEM,
  NETWORK_TRANSPORT,
  SERVER_ADDRESS,
  SERVER_PORT,
} from "../../src/semconv/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";

const DEFAULT_PORT = 6379;

/** What all spans of one Redis connection share. */
export interface RedisConnection {
  /** Address of the server as the application knows it. */
  readonly host: string | undefined;
  /** For commands. */
  readonly database: AttributeBlock;
  /** For messages. */
  readonly broker: AttributeBlock;
}

/** `path`: of a Unix socket, then without host and port. `db`: the number that SELECT takes. */
export function describeConnection(
  host: string | undefined,
  port: number | undefined,
  path: string | undefined,
  db: number,
): RedisConnection {
  const server = {
    [SERVER_ADDRESS]: path ?? host,
    [SERVER_PORT]: path !== undefined || port === DEFAULT_PORT ? undefined : port,
    [NETWORK_TRANSPORT]: path === undefined ? undefined : "unix",
  };
  return {
    host: path ?? host,
    database: new AttributeBlock({ [DB_SYSTEM_NAME]: "redis", [DB_NAMESPACE]: String(db), ...server }),
    broker: new AttributeBlock({ [MESSAGING_SYSTEM]: "redis", ...server }),
  };
}
