/**
 * The entry of `--import @tracekit/auto` and `--require @tracekit/auto`, and the only file that does something by being
 * loaded. Under OTEL_SDK_DISABLED=true that something is nothing: no other file of ours is read.
 */
import { isDisabled } from "./config/disabled.ts";
import { start } from "./index.ts";

export * from "./index.ts";

if (!isDisabled()) start();
