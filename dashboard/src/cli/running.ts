import type { ApiError, Status } from "../model/api.ts";

/** Who answers at an address. */
export type Listener =
  | { who: "nobody" }
  /** Without a status it wants a token, or another one. */
  | { who: "dashboard"; status?: Status }
  | { who: "stranger" };

/** Asks `<url>/api/status`. Waits two seconds at most; never throws. */
export async function whoListens(url: string, token?: string): Promise<Listener> {
  try {
    const response = await fetch(`${url}/api/status`, {
      headers: authorization(token),
      redirect: "manual",
      signal: AbortSignal.timeout(2000),
    });
    const body = (await response.json()) as Partial<Status & ApiError>;
    if (response.ok && body.version !== undefined && body.received !== undefined)
      return { who: "dashboard", status: body as Status };
    return body.error?.code === "unauthorized" ? { who: "dashboard" } : { who: "stranger" };
  } catch (error) {
    return isRefused(error) ? { who: "nobody" } : { who: "stranger" };
  }
}

/** The headers that show the token; none where there is no token. */
export function authorization(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

/** Whether `fetch` failed because nobody listens there. */
export function isRefused(error: unknown): boolean {
  const cause = (error as Error).cause as (Error & { code?: string; errors?: { code?: string }[] }) | undefined;
  const codes = cause?.errors?.map(({ code }) => code) ?? [cause?.code];
  return codes.every((code) => code === "ECONNREFUSED" || code === "EADDRNOTAVAIL");
}
