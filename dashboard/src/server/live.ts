import type { ServerResponse } from "node:http";
import type { Status } from "../model/api.ts";
import type { TraceFilter } from "../model/filter.ts";
import type { Store, WatchEvent } from "../store/store.ts";
import type { Limits } from "./limits.ts";

/** How often pages are told the counts, where they changed. */
const STATUS_MILLIS = 1000;

/** Pages that watch: each gets what its filter lets through, as server-sent events. */
export class Live {
  readonly #store: Store;
  readonly #status: () => Promise<Status>;
  readonly #limits: Limits;
  readonly #watchers = new Set<Watcher>();
  #timer: NodeJS.Timeout | undefined;

  constructor(store: Store, status: () => Promise<Status>, limits: Limits) {
    this.#store = store;
    this.#status = status;
    this.#limits = limits;
  }

  get watcherCount(): number {
    return this.#watchers.size;
  }

  /** Keeps the response open until its page leaves, takes nothing any more, or everything ends. `recent`: see `Store.watch`. */
  add(filter: TraceFilter, recent: boolean, response: ServerResponse): void {
    response.writeHead(200, {
      "cache-control": "no-store",
      "content-type": "text/event-stream; charset=utf-8",
      "x-accel-buffering": "no",
    });
    const watcher = new Watcher(response, this.#limits);
    this.#watchers.add(watcher);
    const tell = (event: WatchEvent): void => {
      if (event.type === "traces") watcher.send("traces", event.traces);
      else watcher.send("cleared", {});
    };
    const stop = this.#store.watch(filter, tell, { recent });
    response.on("close", () => {
      stop();
      watcher.end();
      this.#watchers.delete(watcher);
      if (this.#watchers.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    });
    response.on("error", () => response.destroy());
    this.#timer ??= setInterval(() => void this.#tellStatus(), STATUS_MILLIS);
    void this.#tellStatus();
  }

  close(): void {
    clearInterval(this.#timer);
    for (const watcher of this.#watchers) watcher.end();
  }

  async #tellStatus(): Promise<void> {
    try {
      const status = JSON.stringify(await this.#status());
      for (const watcher of this.#watchers) watcher.sendStatus(status);
    } catch {
      // The store is closing, or failing: requests will tell.
    }
  }
}

class Watcher {
  readonly #response: ServerResponse;
  readonly #limits: Limits;
  readonly #heartbeat: NodeJS.Timeout;
  /** Since when nothing is sent, because what was is still waiting. */
  #behindSince: number | undefined;
  #lastStatus = "";

  constructor(response: ServerResponse, limits: Limits) {
    this.#response = response;
    this.#limits = limits;
    // Browsers wait 3 s otherwise, which is long when the dashboard has only been restarted.
    this.#write("retry: 1000\n\n");
    this.#heartbeat = setInterval(() => this.#beat(), limits.heartbeatMillis);
    response.on("drain", () => this.#caughtUp());
  }

  send(event: string, data: unknown): void {
    if (this.#isBehind()) return;
    this.#write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  /** `status` as JSON; only sent when it is not the one before. */
  sendStatus(status: string): void {
    if (status === this.#lastStatus || this.#isBehind()) return;
    this.#lastStatus = status;
    this.#write(`event: status\ndata: ${status}\n\n`);
  }

  end(): void {
    clearInterval(this.#heartbeat);
    this.#response.end();
  }

  #beat(): void {
    const isStalled = this.#behindSince !== undefined && Date.now() - this.#behindSince >= this.#limits.liveStallMillis;
    if (isStalled) this.#response.destroy();
    else if (this.#behindSince === undefined) this.#write(": still here\n\n");
  }

  #isBehind(): boolean {
    if (this.#behindSince === undefined && this.#response.writableLength > this.#limits.maxLiveBytes)
      this.#behindSince = Date.now();
    return this.#behindSince !== undefined;
  }

  #caughtUp(): void {
    if (this.#behindSince === undefined) return;
    this.#behindSince = undefined;
    this.#lastStatus = "";
    this.send("resync", {});
  }

  #write(text: string): void {
    if (!this.#response.writableEnded && !this.#response.destroyed) this.#response.write(text);
  }
}
