import { expect, test } from "vitest";
import { serverConnections } from "../../instrumentations/shared/server-connections.ts";
import {
  closeOnConnection,
  findServerRequest,
  openOnConnection,
  type ServerRequest,
} from "../../instrumentations/shared/server-request.ts";

/** A request and the connection that finds it for as long as it is open. */
function arrive(): { incoming: object; request: ServerRequest; end: () => void } {
  const request = { call: {} } as ServerRequest;
  const socket = {};
  const incoming = { socket };
  let isOpen = true;
  serverConnections.set(socket, { find: (asked) => (isOpen && asked === incoming ? request : undefined) });
  openOnConnection(incoming, request);
  const end = (): void => {
    isOpen = false;
    closeOnConnection(request);
  };
  return { incoming, request, end };
}

test("requests that are open together are each found until they end, whichever was asked for last", () => {
  const first = arrive();
  const second = arrive();
  for (const { incoming, request } of [first, second, first, first]) expect(findServerRequest(incoming)).toBe(request);
  second.end();
  expect(findServerRequest(second.incoming)).toBeUndefined();
  expect(findServerRequest(first.incoming)).toBe(first.request);
  first.end();
  expect(findServerRequest(first.incoming)).toBeUndefined();
});
