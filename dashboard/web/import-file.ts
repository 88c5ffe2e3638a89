import { api } from "./api.ts";
import { toast } from "./components/toast.tsx";
import { plural } from "./format.ts";
import { refreshStatus } from "./live.ts";

/** Lets a person pick files to import. */
export function chooseFile(): void {
  const input = document.createElement("input");
  input.type = "file";
  input.accept = ".json,application/json";
  input.multiple = true;
  input.addEventListener("change", () => void importFiles(input.files ?? []));
  input.click();
}

/** Sends them to the server one by one, and says what came of each. */
export async function importFiles(files: Iterable<File>): Promise<void> {
  for (const file of files) {
    try {
      const { traces, spans, rejectedSpans } = await api.importFile(file);
      const rejected = rejectedSpans === 0 ? "" : `; ${plural(rejectedSpans, "span")} could not be read`;
      toast(`${file.name}: ${plural(traces, "trace")} with ${plural(spans, "span")} imported${rejected}.`);
    } catch (error) {
      toast(`${file.name}: ${error instanceof Error ? error.message : String(error)}`, "error");
    }
  }
  void refreshStatus();
}
