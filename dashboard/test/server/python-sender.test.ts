import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { aptLibraries, ensureAptRoot } from "../../../test/services/apt-root.ts";
import { startServer, type RunningServer } from "../../src/server/server.ts";
import type { Store } from "../../src/store/store.ts";
import { openStore } from "../../src/store/worker-store.ts";
import { send } from "../support/http.ts";

let store: Store;
let server: RunningServer;
beforeAll(async () => {
  store = await openStore({ memory: true, maxBytes: 100_000_000 });
  server = await startServer({ store, port: 0, host: "localhost", assets: "/nowhere", version: "1" });
});
afterAll(async () => {
  await server.close();
  await store.close();
});

test("what an application in Python sends with Debian's aiozipkin is listed, and told in detail", async () => {
  const port = Number(new URL(server.urls[0] as string).port);
  await runPython("python-sender.py", `http://127.0.0.1:${port}/api/v2/spans`);

  const { traces } = (await send(port, "/api/traces?service=pricing")).json;
  expect(traces).toMatchObject([
    {
      operation: "get /prices",
      kind: 2,
      httpStatusCode: 200,
      spanCount: 2,
      queryCount: 1,
      errorCount: 1,
      hasRoot: true,
    },
  ]);
  const [{ traceId }] = traces;
  const { spans } = (await send(port, `/api/traces/${traceId}`)).json;
  expect(spans.parentSpanId).toEqual([-1, spans.spanId[0]]);
  const [request, query] = await Promise.all(
    spans.ids.map(async (id: string) => (await send(port, `/api/traces/${traceId}/spans/${id}`)).json),
  );
  expect(request.span.events).toMatchObject([{ name: "prices are looked up" }]);
  expect(query).toMatchObject({
    category: "database",
    span: { name: "select prices", kind: 3, status: { code: 2 } },
    sql: { text: "SELECT * FROM prices" },
  });
}, 240_000);

/** Debian's Python: its library is compiled for that one. */
async function runPython(file: string, ...args: string[]): Promise<void> {
  const root = await ensureAptRoot(["python3-aiozipkin"]);
  const isThere = existsSync("/usr/bin/python3");
  const env = {
    PYTHONPATH: join(root, "usr/lib/python3/dist-packages"),
    ...(!isThere && { PYTHONHOME: join(root, "usr"), ...aptLibraries(root) }),
  };
  const python = isThere ? "/usr/bin/python3" : join(root, "usr/bin/python3");
  await promisify(execFile)(python, [join(import.meta.dirname, file), ...args], { env });
}
