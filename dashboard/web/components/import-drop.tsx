import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { importFiles } from "../import-file.ts";
import { Icon } from "./icon.tsx";

const isOver = signal(false);

/** Takes files that are dropped anywhere on the page. */
export function ImportDrop(): JSX.Element | null {
  useEffect(() => {
    const listening = new AbortController();
    const { signal: stopped } = listening;
    const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") === true;
    document.addEventListener(
      "dragover",
      (event) => {
        if (!hasFiles(event)) return;
        event.preventDefault();
        isOver.value = true;
      },
      { signal: stopped },
    );
    document.addEventListener(
      "dragleave",
      (event) => {
        // Out of the window, not merely from one element to the next.
        if (event.relatedTarget === null) isOver.value = false;
      },
      { signal: stopped },
    );
    document.addEventListener(
      "drop",
      (event) => {
        isOver.value = false;
        if (!hasFiles(event)) return;
        event.preventDefault();
        void importFiles([...(event.dataTransfer?.files ?? [])]);
      },
      { signal: stopped },
    );
    return () => listening.abort();
  }, []);
  if (!isOver.value) return null;
  return (
    <div class="import-drop">
      <p>
        <Icon name="download" size={20} /> Drop OTLP, Jaeger or Zipkin JSON to import it
      </p>
    </div>
  );
}
