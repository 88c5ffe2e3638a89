import type { Socket } from "node:net";
import type { Capture } from "../src/capture/capture.ts";
import { errorMessage, errorType } from "../src/instrumentation/errors.ts";
import { defineInstrumentation, type Instrumentation } from "../src/instrumentation/instrumentation.ts";
import type { Kit } from "../src/instrumentation/kit.ts";
import type { Operation, OperationSpan } from "../src/instrumentation/operation.ts";
import { sameShape, settlingCallback } from "../src/instrumentation/settlement.ts";
import { beginOperation, type BoundOperation, type OperationCall } from "../src/instrumentation/trace-operation.ts";
import { fromLatin1 } from "../src/node-buffer.ts";
import { DB_RESPONSE_STATUS_CODE } from "../src/semconv/attributes.ts";
import { KIND_CLIENT } from "../src/trace/span-kind.ts";
import { createHiddenSlot } from "./shared/hidden-slot.ts";
import {
  describeCall,
  describeHits,
  describeItem,
  describeItems,
  describeLifetime,
  type MemcachedCommand,
  memcachedCommand,
  serverBlock,
} from "./shared/memcached-commands.ts";

/*
 * memcached (the text protocol): one CLIENT span for each command a server is sent.
 *
 * - `getMulti` is a span for each server that has some of its keys; so are `stats`, `version` and `flush` for each server.
 * - NOT_STORED (an `add` of what is there, a `replace` of what is not) is an answer, not a failure of the span, though
 *   memcached calls back with an error.
 * - A JSON value that was read has no `cache.item_size`: memcached has parsed it by then.
 * - memcached never calls back for a command whose connection is lost before the answer. Its span ends then, as failed.
 * - Commands to the further servers of `redundancy` have no spans of their own.
 */

type AnyFunction = (...args: any[]) => any;

const memcached: Instrumentation = defineInstrumentation({
  name: "memcached",
  modules: [{ name: "memcached", versions: ">=2.2 <3", file: "lib/memcached.js", patch }],
});
export default memcached;

/** What memcached knows of a command; it is also the `this` of the callback. */
interface Query {
  callback?: AnyFunction;
  readonly type: string;
  /** As it is sent: "get a b". */
  readonly command: string;
  readonly key?: unknown;
  /** `key` are all keys of a `getMulti`; the command has those of its server. */
  readonly multi?: boolean;
  readonly value?: unknown;
  readonly lifetime?: unknown;
}

interface Client {
  readonly servers: readonly string[];
}

interface State {
  readonly query: Query;
  readonly command: MemcachedCommand;
  keys: readonly string[];
  isSecret: boolean;
}

type Call = OperationCall<State>;

/** The call whose connection is being looked for, synchronously. */
let connecting: Call | undefined;
const callOf = createHiddenSlot<Call>();
const watched = createHiddenSlot<true>();

function patch(exports: { readonly prototype: object }, kit: Kit): void {
  const { owner } = kit;
  const bound = kit.bind(commandOperation);
  kit.wrap(
    exports.prototype,
    "command",
    (original) =>
      function (this: Client, compile: AnyFunction, server?: string): unknown {
        if (!owner.enabled || typeof compile !== "function") return Reflect.apply(original, this, arguments);
        let call: Call | undefined;
        const compileTraced = (noreply?: unknown): unknown => {
          const query = compile(noreply);
          // The second time is for further servers, which do not answer.
          if (noreply === undefined) {
            call = begin(bound, kit, this, query, server);
            connecting = call;
          }
          return query;
        };
        const outer = connecting;
        try {
          return original.call(this, compileTraced, server);
        } catch (error) {
          call?.fail(error);
          throw error;
        } finally {
          connecting = outer;
        }
      },
  );
  kit.wrap(
    exports.prototype,
    "connect",
    (original) =>
      function (this: Client, server: string, callback: AnyFunction): unknown {
        const call = connecting;
        if (call === undefined) return original.call(this, server, callback);
        connecting = undefined;
        nameServer(call, server);
        return original.call(
          this,
          server,
          sameShape(function (this: unknown, error: unknown, socket: unknown): unknown {
            watch(kit, socket);
            return callback.call(this, error, socket);
          }, callback),
        );
      },
  );
}

function begin(
  bound: BoundOperation<unknown, State>,
  kit: Kit,
  client: Client,
  query: Query,
  server: string | undefined,
): Call | undefined {
  try {
    const { callback } = query;
    // memcached refuses anything else, async functions among them.
    if (Object.prototype.toString.call(callback) !== "[object Function]") return undefined;
    const original = callback as AnyFunction;
    const caller = kit.tracing.active();
    const state: State = { query, command: memcachedCommand(query.type), keys: [], isSecret: false };
    const call = beginOperation(bound, client, [], state, caller);
    if (call === undefined) {
      // It is called from the connection, which belongs to whoever needed it first.
      query.callback = sameShape(function (this: unknown, ...args: unknown[]): unknown {
        return kit.tracing.run(caller, original, this, args);
      }, original);
      return undefined;
    }
    query.callback = settlingCallback(call, original);
    callOf.set(query, call);
    const only = server ?? (client.servers.length === 1 ? client.servers[0] : undefined);
    if (only !== undefined) nameServer(call, only);
    return call;
  } catch (error) {
    kit.owner.disable("memcached command", error);
    return undefined;
  }
}

const named = createHiddenSlot<true>();

function nameServer(call: Call, server: unknown): void {
  if (typeof server !== "string" || named.get(call) !== undefined) return;
  named.set(call, true);
  call.span.attributeBlock(serverBlock(server));
}

/** Ends, with their connection, the spans of commands nobody will answer any more. */
function watch(kit: Kit, socket: unknown): void {
  try {
    if (typeof socket !== "object" || socket === null || watched.get(socket) !== undefined) return;
    watched.set(socket, true);
    const connection = socket as Socket & { metaData?: readonly Query[] };
    connection.once("close", () => {
      for (const query of connection.metaData ?? []) callOf.get(query)?.fail(LOST);
    });
  } catch (error) {
    kit.owner.disable("memcached connection", error);
  }
}

/** Never thrown: it says to `fail` below what happened. */
const LOST = { message: "the connection was closed before the server had answered" };

const commandOperation: Operation<unknown, State> = {
  title: "memcached command",
  kind: KIND_CLIENT,
  leaf: true,
  start(span, call, capture) {
    const { state } = call;
    const { query, command } = state;
    state.keys = keysOf(query);
    state.isSecret = describeCall(span, command, state.keys, capture);
    if (command.use === "set" || command.use === "expire") describeLifetime(span, query.lifetime);
    if (command.use === "set") {
      const { value } = query;
      describeItem(span, isBinary(query) ? fromLatin1(String(value)) : value, state.isSecret, capture);
    }
  },
  finish(span, result, { state }, capture) {
    const { command, keys } = state;
    if (command.use === "get") describeRead(span, result, state, capture);
    // The answer's text only goes to listeners of "issue".
    else if (result === false && command.use === "set" && command.name !== "cas") span.fail("SERVER_ERROR");
    else if (result === false && keys.length > 0 && command.name !== "cas") {
      span.attribute(DB_RESPONSE_STATUS_CODE, "NOT_FOUND");
    }
  },
  fail(span, errors) {
    const error: unknown = Array.isArray(errors) ? errors[0] : errors;
    if ((error as { notStored?: unknown } | undefined)?.notStored === true) {
      span.attribute(DB_RESPONSE_STATUS_CODE, "NOT_STORED");
    } else if (error === LOST) span.fail("CONNECTION_LOST", LOST.message);
    else if (typeof error === "string") span.fail("_OTHER", error);
    else {
      const message = errorMessage(error);
      // The cause is in the message only: "Error: connect ECONNREFUSED 127.0.0.1:11211".
      span.fail(/\bE[A-Z]{4,20}\b/.exec(message ?? "")?.[0] ?? errorType(error), message);
      if (error instanceof Error) span.recordException(error);
    }
  },
};

function describeRead(span: OperationSpan, result: unknown, { query, keys, isSecret }: State, capture: Capture): void {
  if (query.multi !== true && query.type !== "gets") {
    describeHits(span, result === undefined ? 0 : 1, 1);
    if (result !== undefined) describeItem(span, result, isSecret, capture);
    return;
  }
  const found = new Map<string, unknown>();
  for (const item of Array.isArray(result) ? result : [result]) {
    // `gets` adds the item's `cas` to the same object, after the item.
    const key = typeof item === "object" && item !== null ? Object.keys(item)[0] : undefined;
    if (key !== undefined) found.set(key, (item as Record<string, unknown>)[key]);
  }
  describeHits(span, found.size, keys.length);
  if (keys.length > 1) describeItems(span, keys, found, capture);
  else for (const value of found.values()) describeItem(span, value, isSecret, capture);
}

function keysOf({ multi, command, key }: Query): readonly string[] {
  if (multi === true) return command.slice(command.indexOf(" ") + 1).split(" ");
  return typeof key === "string" ? [key] : [];
}

/** Flag 4 says that a value was bytes: "set key 4 …". */
function isBinary({ type, key, command }: Query): boolean {
  return command.startsWith("4 ", type.length + String(key).length + 2);
}
