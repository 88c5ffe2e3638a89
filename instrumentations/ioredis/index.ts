import { defineInstrumentation, type Instrumentation } from "../../src/instrumentation/instrumentation.ts";
import type { Kit } from "../../src/instrumentation/kit.ts";
import { clusterWrappers, dataHandlerWrappers, pipelineWrappers, redisWrappers } from "./commands.ts";

/*
 * ioredis: one span a command, one a pipeline or transaction, one a published and one a processed message, streams as messages.
 *
 * - A command is traced where it is sent and ends where ioredis settles it, so promises and callbacks are the library's own.
 *   Sent again (offline queue, reconnect, cluster redirection) it keeps its span.
 * - Commands that set up a connection (AUTH, HELLO, SELECT, CLIENT, INFO, SUBSCRIBE, …) have a span only inside a trace:
 *   ioredis sends them by itself, on connecting and reconnecting.
 * - A pipeline of one command is that command. Auto-pipelined commands are spans of their own, under their own callers.
 * - MULTI without a pipeline (`multi({ pipeline: false })`) is a span for each of its commands.
 * - A cluster's pipeline does not name its node.
 * - Context travels with a message through a companion channel, `__tracekit__:<channel>:context`; see `pub-sub.ts`. It does
 *   not with SPUBLISH, with PUBLISH inside a script, inside `multi({ pipeline: false })` or in a cluster's pipeline, not when
 *   publisher or subscriber is not traced, when the server's ACL forbids the companion channel, or in the first round trip
 *   after subscribing. Such a message starts a new trace.
 * - Entries of streams are messages: see `shared/redis-streams.ts`. Context in an entry is not taken out again where it is read
 *   inside a transaction.
 * - The span of a message lasts until async listeners are done. Of a listener that is no async function and returns a
 *   promise, only the synchronous part is seen: watching a promise others may hold could hide or invent a rejection.
 */

const VERSIONS = ">=4.11 <7";

const ioredis: Instrumentation = defineInstrumentation({
  name: "ioredis",
  modules: [
    { name: "ioredis", versions: ">=4.11 <5", file: "built/redis/index.js", patch: patchRedis },
    { name: "ioredis", versions: ">=4.11 <5", file: "built/pipeline.js", patch: patchPipeline },
    { name: "ioredis", versions: ">=5 <7", file: "built/Redis.js", patch: patchRedis },
    { name: "ioredis", versions: ">=5 <7", file: "built/Pipeline.js", patch: patchPipeline },
    { name: "ioredis", versions: VERSIONS, file: "built/cluster/index.js", patch: patchCluster },
    { name: "ioredis", versions: VERSIONS, file: "built/DataHandler.js", patch: patchDataHandler },
  ],
});
export default ioredis;

interface ExportedClass {
  readonly default: { readonly prototype: object };
}

function patchRedis(exports: ExportedClass, kit: Kit): void {
  const methods = ["sendCommand", "handleReconnection", "emit"] as const;
  kit.wrapLater(exports.default.prototype, methods, () => redisWrappers(kit));
}

function patchCluster(exports: ExportedClass, kit: Kit): void {
  const methods = ["sendCommand", "delayUntilReady", "emit"] as const;
  kit.wrapLater(exports.default.prototype, methods, () => clusterWrappers(kit));
}

function patchPipeline(exports: ExportedClass, kit: Kit): void {
  kit.wrapLater(exports.default.prototype, ["sendCommand", "exec"], () => pipelineWrappers(kit));
}

function patchDataHandler(exports: ExportedClass, kit: Kit): void {
  kit.wrapLater(exports.default.prototype, ["handleSubscriberReply"], () => dataHandlerWrappers(kit));
}
