import { signal, type ReadonlySignal } from "@preact/signals";
import type { Status } from "../src/model/api.ts";
import type { TraceFilter } from "../src/model/filter.ts";
import { api, type ConnectionState, type LiveHandlers } from "./api.ts";

export interface Connection {
  state: ConnectionState;
  /** Unix milliseconds, where it is lost. */
  nextAttemptAt?: number;
}

const currentConnection = signal<Connection>({ state: "connecting" });
const currentStatus = signal<Status | undefined>(undefined);

/** Whether the server is there. */
export const connection: ReadonlySignal<Connection> = currentConnection;

/** What the server last said of itself; undefined until it did. */
export const serverStatus: ReadonlySignal<Status | undefined> = currentStatus;

export interface Follower extends Required<Pick<LiveHandlers, "traces" | "cleared">> {
  /** There was no stream for a while, and something may have happened meanwhile. */
  missed(): void;
}

/** Follows the server for the whole page: one stream carries traces, the status and the state of the connection. Whoever follows
 *  asks for what there is at once; what comes after that is told. */
export function follow(filter: TraceFilter, handlers: Follower): () => void {
  // Nothing is told to a tab that is not seen.
  let mayHaveMissed = document.visibilityState === "hidden";
  return api.live(filter, {
    traces: (traces) => handlers.traces(traces),
    cleared: () => handlers.cleared(),
    status: (status) => (currentStatus.value = status),
    connection: (state, nextAttemptAt) => {
      // Changing the filter opens the stream anew, which is nothing to tell.
      if (state === "connecting" && currentConnection.peek().state === "open") return;
      currentConnection.value = nextAttemptAt === undefined ? { state } : { state, nextAttemptAt };
      if (state === "lost") mayHaveMissed = true;
      if (state !== "open") return;
      if (mayHaveMissed) handlers.missed();
      mayHaveMissed = true;
    },
  });
}

/** Asks for the status now instead of waiting for the next one. */
export async function refreshStatus(): Promise<void> {
  try {
    currentStatus.value = await api.status();
  } catch {
    // the state of the connection tells
  }
}
