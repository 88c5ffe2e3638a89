import type { TraceState as ApiTraceState } from "@opentelemetry/api";

const MAX_MEMBERS = 32;
const MAX_LENGTH = 512;
const KEY = /^(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})$/;
const VALUE = /^[ -~]{0,255}[!-~]$/;

/** An immutable `tracestate` list. Source: W3C trace context level 2, §3.3. */
export class TraceState implements ApiTraceState {
  private readonly members: ReadonlyMap<string, string>;

  private constructor(members: ReadonlyMap<string, string>) {
    this.members = members;
  }

  /** Undefined when the header is empty or malformed: then the whole list is discarded (§3.3.1.4). At most 32 members and 512 characters are kept. */
  static parse(header: string): TraceState | undefined {
    const members = new Map<string, string>();
    let length = 0;
    for (const part of header.split(",", MAX_MEMBERS * 2)) {
      const member = part.trim();
      if (member === "") continue;
      const equals = member.indexOf("=");
      const key = member.slice(0, equals);
      const value = member.slice(equals + 1);
      if (equals <= 0 || !KEY.test(key) || !VALUE.test(value) || value.includes(",") || value.includes("="))
        return undefined;
      if (members.has(key)) return undefined;
      length += member.length + 1;
      if (members.size === MAX_MEMBERS || length > MAX_LENGTH + 1) break;
      members.set(key, value);
    }
    return members.size === 0 ? undefined : new TraceState(members);
  }

  get(key: string): string | undefined {
    return this.members.get(key);
  }

  /** The changed member moves to the front; an invalid key or value changes nothing. */
  set(key: string, value: string): TraceState {
    if (!KEY.test(key) || !VALUE.test(value) || value.includes(",") || value.includes("=")) return this;
    const members = new Map([[key, value]]);
    for (const [otherKey, otherValue] of this.members) {
      if (members.size < MAX_MEMBERS && otherKey !== key) members.set(otherKey, otherValue);
    }
    return new TraceState(members);
  }

  unset(key: string): TraceState {
    const members = new Map(this.members);
    members.delete(key);
    return new TraceState(members);
  }

  serialize(): string {
    return Array.from(this.members, ([key, value]) => `${key}=${value}`).join(",");
  }
}
