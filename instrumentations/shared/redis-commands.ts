import { Buffer } from "node:buffer";
import type { CacheKey, Capture } from "../../src/capture/capture.ts";
import type { OperationSpan } from "../../src/instrumentation/operation.ts";
import {
  CACHE_HIT,
  CACHE_ITEM_SIZE,
  CACHE_KEY,
  CACHE_OPERATION,
  CACHE_TTL,
  DB_OPERATION_NAME,
  DB_QUERY_TEXT,
  DB_STORED_PROCEDURE_NAME,
  TRACEKIT_CACHE_HITS,
  TRACEKIT_CACHE_MISSES,
  TRACEKIT_CACHE_VALUE,
} from "../../src/semconv/attributes.ts";
import { AttributeBlock } from "../../src/trace/attributes.ts";
import {
  CachedItems,
  type CacheText,
  isMissing,
  isSecretName,
  MAX_VALUE_BYTES,
  namesSecret,
  shown,
  toUtf8,
} from "./cache-values.ts";
import { areConstant } from "./deferral.ts";

/*
 * What every Redis command means, for all Redis clients: which of its arguments are keys, which are values nobody may see
 * in a query text, and what its reply says about a cache. Source: the commands of Redis 8, https://redis.io/commands.
 */

/** An argument or a bulk string as clients hand it over. */
export type RedisText = CacheText;

/** What a command does for its connection rather than for a caller's data. */
export type CommandRole =
  | "publish"
  | "subscribe"
  | "unsubscribe"
  | "multi"
  | "exec"
  // Of streams; "entries" reads some without receiving them.
  | "send"
  | "receive"
  | "ack"
  | "entries";

/** How a reply tells whether the wanted items were there. */
type HitRule = "none" | "value" | "values" | "map" | "count" | "flag" | "set";

/** Where a command carries the time to live of what it writes. */
type TtlRule = "none" | "options" | "seconds" | "millis" | "until" | "untilMillis";

interface CacheUse {
  /** `cache.operation`. */
  readonly operation: string;
  readonly hit: HitRule;
  readonly ttl: TtlRule;
}

/** One command, with what its spans share. */
export interface RedisCommand {
  /** Upper case; "_OTHER" for what cannot be a command's name, because a span's name must stay harmless. */
  readonly name: string;
  /** `db.operation.name` and `cache.operation`. */
  readonly block: AttributeBlock;
  /** Kinds of the first arguments, then of the repeating rest, then of the last one; see `ARGUMENTS`. */
  readonly lead: string;
  readonly rest: string;
  readonly last: string;
  readonly cache: CacheUse | undefined;
  readonly role: CommandRole | undefined;
  /** Sets up the connection: clients send such commands of their own accord. */
  readonly isSetUp: boolean;
  /** Runs a script or function its first argument names. */
  readonly isStoredProcedure: boolean;
  /** Says the same whenever it is called with the same key and nothing else. */
  readonly isLookup: boolean;
  /** `block` and the text of such a call, where keys are not shown. */
  readonly keylessBlock: AttributeBlock;
  /** True in the twin of a command for calls whose key names a secret: their values are not shown. */
  readonly hidesValues: boolean;
  readonly hidden: RedisCommand;
}

/**
 * Kinds of arguments, one letter each; what follows "|" repeats, what follows another "|" is last:
 * k key or channel, f field of a hash, v value (shown as `?`), o option (known word or number), c subcommand,
 * p name of a stored procedure, n number of keys that follow. Commands under "" show no argument at all, not even how many;
 * those not listed show all as values.
 */
const ARGUMENTS: Readonly<Record<string, string>> = {
  "": "AUTH HELLO ACL CONFIG MIGRATE PING QUIT RESET MULTI EXEC DISCARD UNWATCH ASKING READONLY READWRITE DBSIZE TIME ROLE SAVE BGSAVE BGREWRITEAOF LASTSAVE RANDOMKEY MONITOR DEBUG SENTINEL REPLICAOF SLAVEOF SYNC PSYNC FAILOVER",
  k: "GET GETDEL STRLEN INCR DECR TTL PTTL EXPIRETIME PEXPIRETIME PERSIST TYPE DUMP KEYS LLEN SCARD SMEMBERS ZCARD HLEN HGETALL HKEYS HVALS XLEN",
  "|k": "DEL UNLINK EXISTS TOUCH MGET WATCH RENAME RENAMENX SINTER SUNION SDIFF SINTERSTORE SUNIONSTORE SDIFFSTORE PFCOUNT PFMERGE RPOPLPUSH SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE BLPOP BRPOP BZPOPMIN BZPOPMAX",
  "k|o":
    "GETEX GETRANGE SUBSTR EXPIRE PEXPIRE EXPIREAT PEXPIREAT MOVE LRANGE LTRIM LINDEX LPOP RPOP SPOP SRANDMEMBER SSCAN HSCAN ZSCAN HRANDFIELD ZRANDMEMBER ZRANGE ZREVRANGE ZRANGEBYSCORE ZREVRANGEBYSCORE ZRANGEBYLEX ZREVRANGEBYLEX ZCOUNT ZLEXCOUNT ZPOPMIN ZPOPMAX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREMRANGEBYLEX SORT SORT_RO BITCOUNT BITPOS GETBIT XRANGE XREVRANGE XTRIM XACK XDEL XPENDING XCLAIM XAUTOCLAIM",
  "kk|o": "COPY LMOVE BLMOVE BRPOPLPUSH ZRANGESTORE GEOSEARCHSTORE",
  "|o": "SCAN SELECT SWAPDB INFO WAIT WAITAOF XREAD XREADGROUP FLUSHALL FLUSHDB LOLWUT SHUTDOWN",
  "kv|o": "SET",
  "k|v":
    "SETNX GETSET APPEND INCRBY DECRBY INCRBYFLOAT LPUSH RPUSH LPUSHX RPUSHX LREM LINSERT LPOS SADD SREM SISMEMBER SMISMEMBER ZADD ZINCRBY ZREM ZSCORE ZMSCORE ZRANK ZREVRANK PFADD GEOADD GEODIST GEOHASH GEOPOS GEOSEARCH XADD SETBIT BITFIELD BITFIELD_RO RESTORE PUBLISH SPUBLISH",
  kkv: "SMOVE",
  kov: "SETEX PSETEX SETRANGE LSET",
  "|kv": "MSET MSETNX",
  kf: "HGET HEXISTS HSTRLEN",
  "k|f": "HMGET HDEL JSON.GET",
  "kfv|o": "JSON.SET",
  "|k|f": "JSON.MGET",
  "k|fv": "HSET HMSET HSETNX HINCRBY HINCRBYFLOAT",
  "n|o": "SINTERCARD ZINTER ZUNION ZDIFF ZINTERCARD LMPOP ZMPOP",
  "on|o": "BLMPOP BZMPOP",
  "kn|o": "ZINTERSTORE ZUNIONSTORE ZDIFFSTORE",
  "vn|v": "EVAL EVAL_RO",
  "pn|v": "EVALSHA EVALSHA_RO FCALL FCALL_RO",
  "ck|o": "OBJECT MEMORY XGROUP XINFO",
  "c|v": "CLIENT CLUSTER COMMAND SCRIPT FUNCTION PUBSUB MODULE LATENCY SLOWLOG",
};

const CACHE_USES: Readonly<Record<string, readonly [operation: string, hit: HitRule, ttl: TtlRule]>> = {
  GET: ["get", "value", "none"],
  GETEX: ["get", "value", "options"],
  GETDEL: ["get", "value", "none"],
  MGET: ["get", "values", "none"],
  HGET: ["get", "value", "none"],
  HMGET: ["get", "values", "none"],
  HGETALL: ["get", "map", "none"],
  "JSON.GET": ["get", "value", "none"],
  "JSON.MGET": ["get", "values", "none"],
  "JSON.SET": ["set", "none", "none"],
  EXISTS: ["exists", "count", "none"],
  HEXISTS: ["exists", "flag", "none"],
  SET: ["set", "set", "options"],
  GETSET: ["set", "value", "none"],
  SETNX: ["set", "none", "none"],
  SETEX: ["set", "none", "seconds"],
  PSETEX: ["set", "none", "millis"],
  MSET: ["set", "none", "none"],
  MSETNX: ["set", "none", "none"],
  HSET: ["set", "none", "none"],
  HMSET: ["set", "none", "none"],
  HSETNX: ["set", "none", "none"],
  EXPIRE: ["expire", "none", "seconds"],
  PEXPIRE: ["expire", "none", "millis"],
  EXPIREAT: ["expire", "none", "until"],
  PEXPIREAT: ["expire", "none", "untilMillis"],
  DEL: ["delete", "none", "none"],
  UNLINK: ["delete", "none", "none"],
  HDEL: ["delete", "none", "none"],
};

const ROLES: Readonly<Record<string, CommandRole>> = {
  PUBLISH: "publish",
  SPUBLISH: "publish",
  SUBSCRIBE: "subscribe",
  PSUBSCRIBE: "subscribe",
  SSUBSCRIBE: "subscribe",
  UNSUBSCRIBE: "unsubscribe",
  PUNSUBSCRIBE: "unsubscribe",
  SUNSUBSCRIBE: "unsubscribe",
  MULTI: "multi",
  EXEC: "exec",
  DISCARD: "exec",
  XADD: "send",
  XREAD: "receive",
  XREADGROUP: "receive",
  XACK: "ack",
  XRANGE: "entries",
  XREVRANGE: "entries",
  XCLAIM: "entries",
  XAUTOCLAIM: "entries",
};

const SET_UP = words(
  "AUTH HELLO SELECT CLIENT INFO READONLY READWRITE ASKING CLUSTER SENTINEL ROLE MONITOR QUIT PING SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE",
);
const STORED_PROCEDURES = words("EVALSHA EVALSHA_RO FCALL FCALL_RO");
const OPTIONS = words(
  "EX PX EXAT PXAT NX XX GT LT CH INCR GET KEEPTTL PERSIST WITHSCORES WITHSCORE WITHVALUES REV BYSCORE BYLEX LIMIT MATCH COUNT TYPE NOVALUES LEFT RIGHT BEFORE AFTER ASC DESC ALPHA BY STORE WEIGHTS AGGREGATE SUM MIN MAX REPLACE DB MAXLEN MINID BLOCK STREAMS GROUP NOACK ASYNC SYNC IDLE JUSTID FORCE BYTE BIT KEEPTTL ABSTTL RANK FIELDS",
);

const NAME = /^[\w.-]{1,40}$/;
const SUBCOMMAND = /^[A-Za-z-]{1,24}$/;
/** Also the forms ranges and streams have: "(5", "+inf", "1700000000000-0", "*", ">". */
const NUMBER = /^(?:\(?[-+]?(?:\d{1,20}(?:\.\d{1,10})?|inf)|\d{1,20}-\d{1,20}|[-+*>$])$/;

/** Arguments a text shows; commands with thousands exist. */
const MAX_ARGUMENTS = 16;
/** Items whose sizes are summed; beyond it there is no `cache.item_size`. */
const MAX_SIZED_ITEMS = 1000;
/** Names come from the application: past any sane number of them, descriptions are made but not kept. */
const MAX_COMMANDS = 1000;

const patterns = new Map<string, string>();
for (const [pattern, names] of Object.entries(ARGUMENTS)) for (const name of words(names)) patterns.set(name, pattern);

const commands = new Map<string, RedisCommand>();

/** The description of a command, whatever the case of its name. */
export function redisCommand(name: string): RedisCommand {
  let command = commands.get(name);
  if (command === undefined) {
    command = describe(NAME.test(name) ? name.toUpperCase() : "_OTHER");
    if (commands.size < MAX_COMMANDS) commands.set(name, command);
  }
  return command;
}

function describe(name: string): RedisCommand {
  const pattern = patterns.get(name) ?? "|v";
  const [lead = "", rest = "", last = ""] = pattern.split("|");
  const use = CACHE_USES[name];
  const operation = { [DB_OPERATION_NAME]: name, [CACHE_OPERATION]: use?.[0] };
  const command = {
    name,
    block: new AttributeBlock(operation),
    isLookup: lead === "k" && use?.[0] !== "set" && (use?.[2] ?? "none") === "none",
    keylessBlock: new AttributeBlock({ ...operation, [DB_QUERY_TEXT]: `${name} ?` }),
    lead,
    rest,
    last,
    cache: use === undefined ? undefined : { operation: use[0], hit: use[1], ttl: use[2] },
    role: ROLES[name],
    isSetUp: SET_UP.has(name),
    isStoredProcedure: STORED_PROCEDURES.has(name),
    hidesValues: false,
  };
  const hidden = { ...command, hidesValues: true } as { -readonly [K in keyof RedisCommand]: RedisCommand[K] };
  hidden.hidden = hidden;
  return { ...command, hidden };
}

/** What a key was last used for, and how that was told. */
interface KeyUse {
  readonly command: RedisCommand;
  /** For `describeReply`. */
  readonly described: RedisCommand;
  /** All that such a call says. Not before the second one: many keys are used once. */
  block: AttributeBlock | undefined;
}

/**
 * What a call says: operation, text, keys, time to live and the value it writes. `procedure`: the name the application gave a
 * script. Gives the command for `describeReply`: the twin that hides values where the key names a secret.
 */
export function describeCall(
  span: OperationSpan,
  command: RedisCommand,
  args: readonly RedisText[],
  capture: Capture,
  procedure?: string,
): RedisCommand {
  if (!command.isLookup || args.length !== 1) {
    span.attributeBlock(command.block);
    return describeArguments(span, command, args, capture, procedure);
  }
  if (!capture.cacheKeys && !capture.cacheValues) {
    span.attributeBlock(command.keylessBlock);
    return command;
  }
  const key = capture.cacheKey(shown(args[0] as RedisText));
  const use = key.note as KeyUse | undefined;
  if (use?.command === command) {
    span.attributeBlock((use.block ??= capture.cacheKeys ? lookupBlock(command, key) : command.keylessBlock));
    return use.described;
  }
  span.attributeBlock(command.block);
  const described = describeArguments(span, command, args, capture);
  key.note = { command, described, block: undefined } satisfies KeyUse;
  return described;
}

/** Whether `describeCall` can be asked later and will say the same: what lives until a time has less and less left of it. */
export function isDeferrable({ cache, isStoredProcedure }: RedisCommand, args: readonly RedisText[]): boolean {
  // The application may name its scripts meanwhile.
  if (isStoredProcedure || cache?.ttl === "until" || cache?.ttl === "untilMillis") return false;
  if (cache?.ttl === "options") {
    for (let index = 1; index < args.length - 1; index++) {
      const argument = args[index];
      if (typeof argument === "string" && argument.length === 4 && UNTIL.test(argument)) return false;
    }
  }
  return areConstant(args);
}

const UNTIL = /^[EP]XAT$/i;

function lookupBlock({ name, cache }: RedisCommand, { text }: CacheKey): AttributeBlock {
  return new AttributeBlock({
    [DB_OPERATION_NAME]: name,
    [CACHE_OPERATION]: cache?.operation,
    [DB_QUERY_TEXT]: `${name} ${text}`,
    [CACHE_KEY]: cache === undefined ? undefined : [text],
  });
}

function describeArguments(
  span: OperationSpan,
  command: RedisCommand,
  args: readonly RedisText[],
  capture: Capture,
  procedure?: string,
): RedisCommand {
  const { cache } = command;
  const keys: string[] = [];
  span.attribute(DB_QUERY_TEXT, queryText(command, args, capture, keys));
  if (command.isStoredProcedure && args.length > 0) {
    span.attribute(DB_STORED_PROCEDURE_NAME, capture.text(procedure ?? shown(args[0] as RedisText)));
  }
  if (cache === undefined) return command;
  if (capture.cacheKeys && keys.length > 0) span.attribute(CACHE_KEY, keys);
  if (cache.ttl !== "none") {
    const ttl = timeToLive(command, args);
    if (ttl !== undefined) span.attribute(CACHE_TTL, ttl);
  }
  const described = capture.cacheValues && isSecretCall(command, args, keys[0], capture) ? command.hidden : command;
  if (cache.operation === "set") describeWrite(span, described, args, capture);
  return described;
}

/** What a reply adds: hit or miss, and the value that was read. Strings may still be bytes; `text`: those, decoded, if they are. */
export function describeReply(
  span: OperationSpan,
  command: RedisCommand,
  args: readonly RedisText[],
  reply: unknown,
  capture: Capture,
  text?: string,
): void {
  const { cache } = command;
  if (cache === undefined || cache.hit === "none" || isQueued(reply)) return;
  const wanted = itemsWanted(command, args, reply);
  if (wanted === 0) return;
  addHits(span, itemsFound(command, reply), wanted);
  if (cache.operation === "get") describeRead(span, command, args, reply, capture, text);
}

const HIT = new AttributeBlock({ [CACHE_HIT]: true });
const MISS = new AttributeBlock({ [CACHE_HIT]: false });

/** `cache.hit` is true when nothing was missing; more than one item also has its counts. */
export function addHits(span: OperationSpan, hits: number, wanted: number): void {
  span.attributeBlock(hits >= wanted ? HIT : MISS);
  if (wanted === 1) return;
  span.attribute(TRACEKIT_CACHE_HITS, hits);
  span.attribute(TRACEKIT_CACHE_MISSES, wanted - hits);
}

/** Items a command looked for in a cache; 0 when it did not look. */
export function itemsWanted(command: RedisCommand, args: readonly RedisText[], reply: unknown): number {
  switch (command.cache?.hit) {
    case "value":
    case "map":
    case "flag":
      return isQueued(reply) ? 0 : 1;
    case "values":
      return Array.isArray(reply) ? reply.length : 0;
    case "count":
      return isQueued(reply) ? 0 : args.length;
    case "set":
      return hasOption(args, "GET", 2) && !isQueued(reply) ? 1 : 0;
    default:
      return 0;
  }
}

/** How many of them were there. An empty string was there. */
export function itemsFound(command: RedisCommand, reply: unknown): number {
  switch (command.cache?.hit) {
    case "values":
      return (reply as unknown[]).reduce<number>((found, item) => (isMissing(item) ? found : found + 1), 0);
    case "map":
      return mapSize(reply) > 0 ? 1 : 0;
    case "flag":
    case "count":
      return Number(reply);
    default:
      return isMissing(reply) ? 0 : 1;
  }
}

/** The command as `db.query.text`: keys, options and `?` for every value. Its keys, redacted, are added to `keys`. */
export function queryText(
  command: RedisCommand,
  args: readonly RedisText[],
  capture: Capture,
  keys?: string[],
): string {
  const { lead, rest, last } = command;
  let text = command.name;
  if (lead === "" && rest === "") return text;
  const count = args.length < MAX_ARGUMENTS ? args.length : MAX_ARGUMENTS;
  let keysLeft = 0;
  let restStart = lead.length;
  for (let index = 0; index < count; index++) {
    const argument = args[index] as RedisText;
    let kind: string | undefined;
    if (keysLeft > 0) {
      kind = "k";
      keysLeft--;
      restStart = index + 1;
    } else if (last !== "" && index === args.length - 1) kind = last;
    else if (index < lead.length) kind = lead[index];
    else if (rest !== "") kind = rest[(index - restStart) % rest.length];
    switch (kind) {
      case "k": {
        const key = capture.key(shown(argument));
        if (keys !== undefined) keys.push(key);
        text += ` ${capture.cacheKeys ? key : "?"}`;
        break;
      }
      case "f":
        text += ` ${capture.cacheKeys ? capture.key(shown(argument)) : "?"}`;
        break;
      case "n":
        keysLeft = Number(argument) || 0;
        text += ` ${optionText(argument)}`;
        break;
      case "o":
        text += ` ${optionText(argument)}`;
        break;
      case "c":
        text += ` ${typeof argument === "string" && SUBCOMMAND.test(argument) ? argument : "?"}`;
        break;
      case "p":
        text += ` ${capture.text(shown(argument))}`;
        break;
      default:
        text += " ?";
    }
  }
  return args.length > count ? `${text} ...` : text;
}

/** The prefix of an error reply ("WRONGTYPE", "NOAUTH", "MOVED"), or undefined when it has none. */
export function errorPrefix(message: string): string | undefined {
  return /^[A-Z][A-Z0-9_]{0,40}(?= |$)/.exec(message)?.[0];
}

/**
 * The text (or stack) of an error reply without the arguments the server repeats in it: those of an unknown command, and
 * any of a command that shows none.
 */
export function withoutArguments(message: string, command: RedisCommand | undefined): string {
  const firstLine = /^.*/.exec(message)?.[0] ?? "";
  const showsNone = command !== undefined && command.lead === "" && command.rest === "";
  const start = firstLine.search(showsNone ? /['"]/ : /, with args beginning with:/);
  return start === -1 ? message : message.slice(0, start) + message.slice(firstLine.length);
}

function optionText(argument: RedisText): string {
  const option = typeof argument === "string" ? argument : shown(argument);
  if (option.length > 42) return "?";
  return OPTIONS.has(option) || NUMBER.test(option) || OPTIONS.has(option.toUpperCase()) ? option : "?";
}

/** Whole seconds, rounded up; for a point in time, from now. */
function timeToLive({ cache, lead }: RedisCommand, args: readonly RedisText[]): number | undefined {
  switch (cache?.ttl) {
    case "seconds":
      return seconds(args[1], 1000, 0);
    case "millis":
      return seconds(args[1], 1, 0);
    case "until":
      return seconds(args[1], 1000, Date.now());
    case "untilMillis":
      return seconds(args[1], 1, Date.now());
    default:
      for (let index = lead.length; index < args.length - 1; index++) {
        const option = args[index];
        if (typeof option !== "string" || (option.length !== 2 && option.length !== 4)) continue;
        switch (option.toUpperCase()) {
          case "EX":
            return seconds(args[index + 1], 1000, 0);
          case "PX":
            return seconds(args[index + 1], 1, 0);
          case "EXAT":
            return seconds(args[index + 1], 1000, Date.now());
          case "PXAT":
            return seconds(args[index + 1], 1, Date.now());
        }
      }
      return undefined;
  }
}

function seconds(value: RedisText | undefined, unitMillis: number, sinceMillis: number): number | undefined {
  if (value === undefined) return undefined;
  const time = Number(typeof value === "string" ? value : shown(value));
  return Number.isFinite(time) ? Math.max(0, Math.ceil((time * unitMillis - sinceMillis) / 1000)) : undefined;
}

function hasOption(args: readonly RedisText[], option: string, from: number): boolean {
  for (let index = from; index < args.length; index++) {
    const argument = args[index];
    if (typeof argument === "string" && argument.length === option.length && argument.toUpperCase() === option) {
      return true;
    }
  }
  return false;
}

/** Inside MULTI a command's own reply only says that it waits. */
function isQueued(reply: unknown): boolean {
  if (typeof reply === "string") return reply === "QUEUED";
  return reply instanceof Uint8Array && reply.length === 6 && reply[0] === 81 && toUtf8(reply, 6) === "QUEUED";
}

function mapSize(reply: unknown): number {
  if (Array.isArray(reply)) return reply.length;
  if (reply instanceof Map) return reply.size;
  return typeof reply === "object" && reply !== null ? Object.keys(reply).length : 0;
}

function sizeOf(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  return value instanceof Uint8Array ? value.byteLength : 0;
}

function describeWrite(span: OperationSpan, command: RedisCommand, args: readonly RedisText[], capture: Capture): void {
  const { lead, rest } = command;
  const single = rest === "v" ? lead.length : lead.indexOf("v");
  if (single !== -1) {
    const value = args[single];
    if (value === undefined) return;
    span.attribute(CACHE_ITEM_SIZE, sizeOf(value));
    if (capture.cacheValues) addValue(span, command, value, capture);
    return;
  }
  // Pairs: MSET and the hashes.
  const start = lead.length;
  if (args.length <= start + 1 || args.length - start > 2 * MAX_SIZED_ITEMS) return;
  let size = 0;
  for (let index = start + 1; index < args.length; index += 2) size += sizeOf(args[index]);
  span.attribute(CACHE_ITEM_SIZE, size);
  if (!capture.cacheValues) return;
  const items = new CachedItems(capture, command.hidesValues);
  for (let index = start; index + 1 < args.length && !items.isFull; index += 2) {
    items.add(args[index] as RedisText, args[index + 1]);
  }
  span.attribute(TRACEKIT_CACHE_VALUE, items.text());
}

function describeRead(
  span: OperationSpan,
  command: RedisCommand,
  args: readonly RedisText[],
  reply: unknown,
  capture: Capture,
  text: string | undefined,
): void {
  if (typeof reply === "string" || reply instanceof Uint8Array) {
    span.attribute(CACHE_ITEM_SIZE, sizeOf(reply));
    if (capture.cacheValues) addValue(span, command, reply, capture, text);
    return;
  }
  if (typeof reply !== "object" || reply === null) return;
  // MGET and HMGET answer in the order of the names asked for, HGETALL with names and values.
  const names = command.cache?.hit === "values" ? args.slice(command.lead.length) : undefined;
  const pairs = pairsOf(reply, names);
  if (pairs.length === 0 || pairs.length > 2 * MAX_SIZED_ITEMS) return;
  let size = 0;
  for (let index = 1; index < pairs.length; index += 2) size += sizeOf(pairs[index]);
  span.attribute(CACHE_ITEM_SIZE, size);
  if (!capture.cacheValues) return;
  const items = new CachedItems(capture, command.hidesValues);
  for (let index = 0; index + 1 < pairs.length && !items.isFull; index += 2) {
    items.add(pairs[index] as RedisText, pairs[index + 1]);
  }
  span.attribute(TRACEKIT_CACHE_VALUE, items.text());
}

/** `[name, value, …]`. */
function pairsOf(reply: object, names: readonly RedisText[] | undefined): readonly unknown[] {
  if (names !== undefined) {
    return Array.isArray(reply) ? names.flatMap((name, index) => [name, reply[index] as unknown]) : [];
  }
  if (Array.isArray(reply)) return reply;
  return (reply instanceof Map ? [...reply] : Object.entries(reply)).flat(1);
}

function addValue(span: OperationSpan, command: RedisCommand, value: RedisText, capture: Capture, text?: string): void {
  const shownValue = command.hidesValues ? "REDACTED" : capture.payload(value, MAX_VALUE_BYTES, text);
  span.attribute(TRACEKIT_CACHE_VALUE, shownValue);
}

/** Whether the value of a command's one key (or of its one field) may be a secret. `key`: the first, redacted. */
function isSecretCall(
  { lead }: RedisCommand,
  args: readonly RedisText[],
  key: string | undefined,
  capture: Capture,
): boolean {
  // Several keys are judged one by one.
  if (lead === "" || key === undefined) return false;
  const name = shown(args[0] as RedisText);
  return key !== name || namesSecret(name, capture) || (lead === "kf" && isSecretName(args[1], capture));
}

function words(list: string): ReadonlySet<string> {
  return new Set(list.split(" "));
}
