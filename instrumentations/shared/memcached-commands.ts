import type { Capture } from "../../src/capture/capture.ts";
import { cutToBytes } from "../../src/capture/cut.ts";
import type { OperationSpan } from "../../src/instrumentation/operation.ts";
import {
  CACHE_HIT,
  CACHE_ITEM_SIZE,
  CACHE_KEY,
  CACHE_OPERATION,
  CACHE_TTL,
  DB_OPERATION_NAME,
  DB_QUERY_TEXT,
  DB_SYSTEM_NAME,
  SERVER_ADDRESS,
  SERVER_PORT,
  TRACEKIT_CACHE_HITS,
  TRACEKIT_CACHE_MISSES,
  TRACEKIT_CACHE_VALUE,
} from "../../src/semconv/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";
import { CachedItems, isSecretName, MAX_VALUE_BYTES, shown } from "./cache-values.ts";

/*
 * What Memcached's commands mean, for all its clients, whether they speak the text or the binary protocol.
 * Source: doc/protocol.txt of Memcached 1.6.
 */

/** A command, with what its spans share. */
export interface MemcachedCommand {
  /** Lower case, as in the text protocol: "get", "stats slabs". */
  readonly name: string;
  readonly block: AttributeBlock;
  /** `cache.operation`; undefined for what is no use of a cache. */
  readonly use: string | undefined;
  /** Its arguments hold a value, shown as `?`. */
  readonly hasValue: boolean;
}

const USES: Readonly<Record<string, string>> = {
  get: "get",
  gets: "get",
  set: "set",
  add: "set",
  replace: "set",
  cas: "set",
  append: "set",
  prepend: "set",
  touch: "expire",
  delete: "delete",
};
const WITH_VALUES = new Set(["set", "add", "replace", "cas", "append", "prepend", "incr", "decr"]);
const NAME = /^[a-z_ ]{1,32}$/;
/** Keys a text shows. */
const MAX_KEYS = 16;
const MAX_REMEMBERED = 1000;
/** Lifetimes above are points in time. */
const MAX_RELATIVE_SECONDS = 60 * 60 * 24 * 30;
const DEFAULT_PORT = 11_211;

const commands = new Map<string, MemcachedCommand>();
const servers = new Map<string, AttributeBlock>();

/** The description of a command. */
export function memcachedCommand(name: string): MemcachedCommand {
  let command = commands.get(name);
  if (command === undefined) {
    const known = NAME.test(name) ? name : "_OTHER";
    const use = USES[known];
    command = {
      name: known,
      block: new AttributeBlock({
        [DB_SYSTEM_NAME]: "memcached",
        [DB_OPERATION_NAME]: known,
        [CACHE_OPERATION]: use,
      }),
      use,
      hasValue: WITH_VALUES.has(known),
    };
    if (commands.size < MAX_REMEMBERED) commands.set(name, command);
  }
  return command;
}

/** What all spans to one server share. `server`: "host:port", "host" or a socket's path. */
export function serverBlock(server: string): AttributeBlock {
  let block = servers.get(server);
  if (block === undefined) {
    const [, host = server, port] = /^(.*):(\d+)$/.exec(server) ?? [];
    const isDefault = port === undefined || Number(port) === DEFAULT_PORT;
    block = new AttributeBlock({ [SERVER_ADDRESS]: host, [SERVER_PORT]: isDefault ? undefined : Number(port) });
    if (servers.size < MAX_REMEMBERED) servers.set(server, block);
  }
  return block;
}

/** What a call says before it is answered: name, text and keys. True when its key names a secret, whose value stays here. */
export function describeCall(
  span: OperationSpan,
  command: MemcachedCommand,
  keys: readonly string[],
  capture: Capture,
): boolean {
  span.name = command.name;
  span.attributeBlock(command.block);
  let text = command.name;
  const shownKeys: string[] = [];
  for (const key of keys) {
    if (shownKeys.length === MAX_KEYS) {
      text += " ...";
      break;
    }
    const redacted = capture.key(shown(key));
    shownKeys.push(redacted);
    text += ` ${capture.cacheKeys ? redacted : "?"}`;
  }
  span.attribute(DB_QUERY_TEXT, command.hasValue ? `${text} ?` : text);
  if (command.use === undefined || keys.length === 0) return false;
  if (capture.cacheKeys) span.attribute(CACHE_KEY, shownKeys);
  return keys.length === 1 && isSecretName(keys[0], capture);
}

/** `seconds` as Memcached reads them: 0 is for ever, a negative number is over, a large one is a point in time. */
export function describeLifetime(span: OperationSpan, seconds: unknown): void {
  if (typeof seconds !== "number" || seconds === 0 || !Number.isFinite(seconds)) return;
  const left = seconds > MAX_RELATIVE_SECONDS ? Math.ceil(seconds - Date.now() / 1000) : seconds;
  span.attribute(CACHE_TTL, Math.max(0, left));
}

/** The one item of a call: a string, bytes, or what the client has made of them (whose size nobody knows any more). */
export function describeItem(span: OperationSpan, value: unknown, isSecret: boolean, capture: Capture): void {
  const size = sizeOf(value);
  if (size !== undefined) span.attribute(CACHE_ITEM_SIZE, size);
  if (capture.cacheValues) span.attribute(TRACEKIT_CACHE_VALUE, isSecret ? "REDACTED" : itemText(value, capture));
}

/** Several items that were asked for by name; `found` has those that were there. */
export function describeItems(
  span: OperationSpan,
  keys: readonly string[],
  found: ReadonlyMap<string, unknown>,
  capture: Capture,
): void {
  if (found.size === 0) return;
  let size: number | undefined = 0;
  for (const value of found.values()) {
    const own = sizeOf(value);
    size = own === undefined || size === undefined ? undefined : size + own;
  }
  if (size !== undefined) span.attribute(CACHE_ITEM_SIZE, size);
  if (!capture.cacheValues) return;
  const items = new CachedItems(capture, false);
  for (const key of keys) {
    if (items.isFull) break;
    const value = found.get(key);
    items.add(key, value === undefined ? undefined : itemText(value, capture));
  }
  span.attribute(TRACEKIT_CACHE_VALUE, items.text());
}

/** `cache.hit` is true when nothing was missing; more than one item also has its counts. */
export function describeHits(span: OperationSpan, hits: number, wanted: number): void {
  span.attribute(CACHE_HIT, hits >= wanted);
  if (wanted === 1) return;
  span.attribute(TRACEKIT_CACHE_HITS, hits);
  span.attribute(TRACEKIT_CACHE_MISSES, wanted - hits);
}

function sizeOf(value: unknown): number | undefined {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (typeof value === "number") return String(value).length;
  return value instanceof Uint8Array ? value.byteLength : undefined;
}

function itemText(value: unknown, capture: Capture): string {
  if (typeof value === "string" || value instanceof Uint8Array) return capture.payload(value, MAX_VALUE_BYTES);
  return cutToBytes(capture.namelessValue(value), MAX_VALUE_BYTES, false);
}
