import type { AttributeValue, Baggage } from "@opentelemetry/api";
import { AttributeBlock } from "./attributes.ts";
import { USER_EMAIL, USER_ID, USER_NAME, USER_ROLES } from "../semconv/attributes.ts";

/** UTF-16 units: what comes from outside is bounded. */
const MAX_USER_ID = 256;

/** Who is calling. Source: OpenTelemetry semantic conventions, `user.*`. */
export interface User {
  readonly id: string;
  readonly name?: string | undefined;
  readonly email?: string | undefined;
  readonly roles?: readonly string[] | undefined;
}

/** As much of a span as is needed to say who its request is for. */
interface Identifiable {
  setAttribute(key: string, value: AttributeValue): unknown;
}

/**
 * What is learnt about a request while it is being handled: shared by all its contexts in this process, because the code
 * that learns it (an auth check, deep inside) runs in a context below the one later spans start from.
 */
export class RequestScope {
  /** The request's own span while it is open. Dropped at its end: contexts outlive requests, spans must not. */
  span: Identifiable | undefined;
  user: User | undefined;
  /** `user.id` for every later span of the request. */
  userBlock: AttributeBlock | undefined;

  constructor(span: Identifiable | undefined) {
    this.span = span;
    this.user = undefined;
    this.userBlock = undefined;
  }

  /** A user another of our services has identified and sent along. */
  adoptUser(baggage: Baggage | undefined): void {
    const id = baggage?.getEntry(USER_ID)?.value;
    if (id !== undefined && id !== "" && id.length <= MAX_USER_ID) this.setUser({ id });
  }

  /** The whole identity goes on the request's span, its id on every span that starts after this. */
  setUser(user: User): void {
    this.user = user;
    this.userBlock = new AttributeBlock({ [USER_ID]: user.id });
    const span = this.span;
    if (span === undefined) return;
    span.setAttribute(USER_ID, user.id);
    if (user.name !== undefined) span.setAttribute(USER_NAME, user.name);
    if (user.email !== undefined) span.setAttribute(USER_EMAIL, user.email);
    if (user.roles !== undefined) span.setAttribute(USER_ROLES, [...user.roles]);
  }
}
