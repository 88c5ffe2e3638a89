import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import type { Operation } from "../src/instrumentation/operation.ts";
import { callback, sameShape } from "../src/instrumentation/settlement.ts";
import { beginOperation, type BoundOperation, type OperationCall } from "../src/instrumentation/trace-operation.ts";
import { DB_RESPONSE_STATUS_CODE } from "../src/semconv/attributes.ts";
import { KIND_CLIENT } from "../src/trace/span-kind.ts";
import { createHiddenSlot } from "./shared/hidden-slot.ts";
import {
  describeCall,
  describeHits,
  describeItem,
  describeLifetime,
  type MemcachedCommand,
  memcachedCommand,
  serverBlock,
} from "./shared/memcached-commands.ts";

/*
 * memjs (the binary protocol): one CLIENT span a command, from the call to its answer, retries and failover included.
 *
 * - `flush` and `stats` go to all servers: one span, which names a server only where there is one. That of `stats` ends with
 *   the first server's answer.
 * - Connecting and signing in have no spans of their own, and `quit` and `close` none at all.
 */

type AnyFunction = (...args: any[]) => any;

const memjs: Instrumentation = defineInstrumentation({
  name: "memjs",
  modules: [{ name: "memjs", versions: ">=1 <2", file: "lib/memjs/memjs.js", patch }],
});
export default memjs;

interface Server {
  readonly host: string;
  readonly port: number;
}

interface Client {
  readonly servers: readonly Server[];
}

interface Response {
  readonly header: { readonly status: number };
  readonly val: Uint8Array;
}

interface State {
  readonly command: MemcachedCommand;
  isSecret: boolean;
  server: string | undefined;
}

type Call = OperationCall<State>;

const COMMANDS: Readonly<Record<number, string>> = {
  0x00: "get",
  0x01: "set",
  0x02: "add",
  0x03: "replace",
  0x04: "delete",
  0x05: "incr",
  0x06: "decr",
  0x0e: "append",
  0x1c: "touch",
};

const STATUSES: Readonly<Record<number, string>> = {
  1: "NOT_FOUND",
  2: "EXISTS",
  3: "TOO_LARGE",
  4: "INVALID_ARGUMENTS",
  5: "NOT_STORED",
  6: "NON_NUMERIC",
  0x81: "UNKNOWN_COMMAND",
  0x82: "OUT_OF_MEMORY",
};
/** Statuses that are answers, not failures: absent, there already, not stored. */
const ANSWERS = new Set([1, 2, 5]);

const HEADER_BYTES = 24;
/** Extras of SET, ADD and REPLACE: flags, then expiration. */
const STORE_EXTRAS_BYTES = 8;

/** The call whose server is being looked for, synchronously. */
let asking: Call | undefined;
const callOf = createHiddenSlot<Call | null>();

function patch(exports: { readonly Client: { readonly prototype: object } }, kit: Kit): void {
  const { prototype } = exports.Client;
  const { owner } = kit;
  const bound = kit.bind(commandOperation);
  kit.wrap(
    prototype,
    "perform",
    (original) =>
      function (this: Client, ...args: any[]): unknown {
        if (!owner.enabled) return Reflect.apply(original, this, args);
        const call = begin(bound, kit, this, args);
        const outer = asking;
        asking = call;
        try {
          return Reflect.apply(original, this, args);
        } catch (error) {
          call?.fail(error);
          throw error;
        } finally {
          asking = outer;
        }
      },
  );
  kit.wrap(
    prototype,
    "server",
    (original) =>
      function (this: Client, ...args: any[]): unknown {
        const call = asking;
        asking = undefined;
        const server = Reflect.apply(original, this, args);
        if (call !== undefined) nameServer(call, server);
        return server;
      },
  );
  kit.trace(prototype, "flush", allServersOperation("flush_all"));
  kit.trace(prototype, "statsWithKey", allServersOperation("stats"));
}

/** Finds or makes the command's call, and has its callback end it. In 1.0 `perform` has no sequence number. */
function begin(bound: BoundOperation<Response, State>, kit: Kit, client: Client, args: any[]): Call | undefined {
  try {
    const index = typeof args[2] === "function" ? 2 : 3;
    const original = args[index] as AnyFunction;
    const request = args[1] as Buffer;
    if (typeof original !== "function" || !Buffer.isBuffer(request)) return undefined;
    const known = callOf.get(original);
    // A retry brings back the callback it was given.
    if (known !== undefined) return known ?? undefined;
    const caller = kit.tracing.active();
    const state: State = {
      command: memcachedCommand(COMMANDS[request[1] as number] ?? "_OTHER"),
      isSecret: false,
      server: undefined,
    };
    const call = beginOperation(bound, client, [args[0], request], state, caller);
    const traced = sameShape(function (this: unknown, ...outcome: unknown[]): unknown {
      const [error, response] = outcome;
      if (error !== undefined && error !== null) call?.fail(error);
      else call?.succeed(response);
      // It is called from the connection, which belongs to whoever needed it first.
      return kit.tracing.run(caller, original, this, outcome);
    }, original);
    callOf.set(traced, call ?? null);
    args[index] = traced;
    return call;
  } catch (error) {
    kit.owner.disable("memjs command", error);
    return undefined;
  }
}

/** Failover may take a command to another server: the last one is the one that answered. */
function nameServer(call: Call, server: Server | null | undefined): void {
  if (!call.recording || call.isSettled || typeof server?.host !== "string") return;
  const name = `${server.host}:${server.port}`;
  const { state, span } = call;
  if (state.server === undefined) span.attributeBlock(serverBlock(name));
  else if (state.server !== name) {
    const { keys, values } = serverBlock(name);
    keys.forEach((key, index) => span.setAttribute(key, values[index] as string | number));
  }
  state.server = name;
}

const commandOperation: Operation<Response, State> = {
  title: "memjs command",
  kind: KIND_CLIENT,
  leaf: true,
  start(span, call, capture) {
    const { state, args } = call;
    const [key, request] = args as [unknown, Buffer];
    const { command } = state;
    state.isSecret = describeCall(span, command, [String(key)], capture);
    const extras = request[4] as number;
    if (command.use === "expire" && extras >= 4) describeLifetime(span, request.readUInt32BE(HEADER_BYTES));
    if (command.use !== "set") return;
    if (extras >= STORE_EXTRAS_BYTES) describeLifetime(span, request.readUInt32BE(HEADER_BYTES + 4));
    const value = request.subarray(HEADER_BYTES + extras + request.readUInt16BE(2));
    describeItem(span, value, state.isSecret, capture);
  },
  finish(span, response, { state }, capture) {
    const { status } = response.header;
    const isRead = state.command.use === "get";
    if (isRead && status <= 1) {
      describeHits(span, status === 0 ? 1 : 0, 1);
      if (status === 0) describeItem(span, response.val, state.isSecret, capture);
    } else if (status !== 0) {
      const name = STATUSES[status] ?? "_OTHER";
      span.attribute(DB_RESPONSE_STATUS_CODE, name);
      if (!ANSWERS.has(status)) span.fail(name);
    }
  },
};

/** A command for all servers. Without a callback its method calls itself with one. */
function allServersOperation(name: string): Operation {
  return {
    title: `memjs ${name}`,
    kind: KIND_CLIENT,
    leaf: true,
    settles: callback,
    skip: ({ args }) => typeof args.at(-1) !== "function",
    start(span, call, capture) {
      describeCall(span, memcachedCommand(name), [], capture);
      const { servers } = call.self as Client;
      const only = servers.length === 1 ? servers[0] : undefined;
      if (only !== undefined) span.attributeBlock(serverBlock(`${only.host}:${only.port}`));
    },
  };
}
