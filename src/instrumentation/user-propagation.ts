import { Baggage } from "../trace/baggage.ts";
import type { TraceContext } from "../trace/context.ts";
import { USER_ID } from "../semconv/attributes.ts";

/** Decides where `user.id` travels as baggage. */
export class UserPropagation {
  private readonly allows: (host: string) => boolean;
  private readonly decisions = new Map<string, boolean>();

  /** `allows` answers for a host name or address without port. */
  constructor(allows: (host: string) => boolean) {
    this.allows = allows;
  }

  /** `context` as a request to `host` may carry it: with the user's id where it is allowed, without it elsewhere, even if it came from outside. */
  apply(context: TraceContext, host: string | undefined): TraceContext {
    const userId = context.request?.user?.id;
    const { baggage } = context;
    const carried = baggage?.getEntry(USER_ID);
    if (userId === undefined && carried === undefined) return context;
    if (host !== undefined && this.isAllowed(host)) {
      if (userId === undefined || carried?.value === userId) return context;
      return context.withBaggage((baggage ?? new Baggage(new Map())).setEntry(USER_ID, { value: userId }));
    }
    return carried === undefined ? context : context.withBaggage(baggage?.removeEntry(USER_ID));
  }

  private isAllowed(host: string): boolean {
    let decision = this.decisions.get(host);
    if (decision === undefined) {
      decision = this.allows(host);
      if (this.decisions.size < 1000) this.decisions.set(host, decision);
    }
    return decision;
  }
}
