import { expect } from "vitest";
import { installLibraries } from "./library.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "./otlp-receiver.ts";
import { type App, startApp } from "./run-app.ts";

/** A server's application that runs twice: with the preload, and without. */
export interface ComparedApp {
  readonly traced: App;
  readonly plain: App;
  readonly receiver: OtlpReceiver;
  /** The one span of a request, which both have answered alike. */
  spanOf(path: string, init?: RequestInit): Promise<ReceivedSpan>;
  close(): Promise<void>;
}

/** Starts it; `versions` are installed for it. It says `listening <port>` once it does. */
export async function startComparedApp(
  code: string,
  type: "cjs" | "esm",
  versions: Record<string, string>,
): Promise<ComparedApp> {
  const receiver = await startOtlpReceiver();
  const libraries = await installLibraries(versions);
  const options = { code, type, libraries };
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_BSP_SCHEDULE_DELAY: "50" };
  const traced = startApp({ ...options, env });
  const plain = startApp({ ...options, preload: "none" });
  await Promise.all([traced.port(), plain.port()]);
  return {
    traced,
    plain,
    receiver,
    async spanOf(path, init) {
      receiver.reset();
      const [answer, plainAnswer] = await Promise.all([ask(traced, path, init), ask(plain, path, init)]);
      expect(answer).toEqual(plainAnswer);
      await receiver.waitForSpans(1);
      expect(receiver.spans).toHaveLength(1);
      return receiver.spans[0] as ReceivedSpan;
    },
    async close() {
      await traced.kill();
      await plain.kill();
      await receiver.close();
    },
  };
}

/** What an application answers, without the stack of an error: one of our frames may be in it. */
export async function ask(app: App, path: string, init?: RequestInit): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${await app.port()}${path}`, init);
  const text = await response.text().catch(() => "cut off");
  return { status: response.status, text: text.replace(/(?:<br>|\n) .*/s, "") };
}
