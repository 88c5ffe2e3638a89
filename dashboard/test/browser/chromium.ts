import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Browser, chromium } from "playwright-core";
import { repositoryRoot } from "../../../test/support/built.ts";
import { withLock } from "../../../test/support/lock.ts";

const dashboard = join(import.meta.dirname, "../..");
const folder = join(repositoryRoot, "node_modules/.cache/tracekit-chromium");

/** Starts the Chromium that `@sparticuz/chromium` packs, with the libraries and fonts it packs too: nothing of it has to be on
 *  the machine. Unpacked once, below `node_modules/.cache`. */
export async function launchBrowser(): Promise<Browser> {
  await ensureUnpacked();
  return chromium.launch({
    executablePath: join(folder, "chromium"),
    // No sandbox: that needs rights a container seldom has. The pages are ours.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--font-render-hinting=none"],
    env: { LD_LIBRARY_PATH: join(folder, "al2023/lib"), FONTCONFIG_FILE: join(folder, "fonts.conf"), HOME: folder },
  });
}

async function ensureUnpacked(): Promise<void> {
  if (existsSync(folder)) return;
  await withLock(folder, async () => {
    if (existsSync(folder)) return;
    const cache = join(folder, "..");
    mkdirSync(cache, { recursive: true });
    const unfinished = mkdtempSync(join(cache, "unfinished-"));
    try {
      // It unpacks into the folder for temporary files, and its libraries only where it believes to be in their Linux.
      const env = { PATH: process.env["PATH"], TMPDIR: unfinished, AWS_EXECUTION_ENV: "AWS_Lambda_nodejs20.x" };
      const unpack = `import chromium from "@sparticuz/chromium"; await chromium.executablePath();`;
      await promisify(execFile)(process.execPath, ["--input-type=module", "-e", unpack], { cwd: dashboard, env });
      // This machine's fonts, and the packed ones where it has none.
      const fonts = `<include ignore_missing="yes">/etc/fonts/fonts.conf</include><dir>${join(folder, "fonts/fonts")}</dir>`;
      writeFileSync(join(unfinished, "fonts.conf"), `<fontconfig>${fonts}</fontconfig>`);
      renameSync(unfinished, folder);
    } finally {
      rmSync(unfinished, { recursive: true, force: true });
    }
  });
}
