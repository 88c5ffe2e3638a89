import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import type { IncomingMessage, ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".webmanifest": "application/manifest+json",
  ".woff2": "font/woff2",
};

interface Asset {
  body: Buffer;
  /** Undefined where it would not be smaller. */
  gzipped: Buffer | undefined;
  type: string;
  etag: string;
}

/** The built page. Its files are read once, and a path is only ever looked up among them: there is no way to any other. */
export class Assets {
  readonly #files = new Map<string, Asset>();

  /** A folder that is not there is one without files. */
  constructor(folder: string) {
    if (!existsSync(folder)) return;
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const file = join(entry.parentPath, entry.name);
      const path = file.slice(folder.length).replaceAll("\\", "/").replace(/^\/*/, "/");
      this.#files.set(path, load(file));
    }
  }

  /** False when there is no such file. `path` is as it stands in the request, not decoded. */
  answer(path: string, request: IncomingMessage, response: ServerResponse): boolean {
    const asset = this.#files.get(path);
    if (asset === undefined) return false;
    const headers: Record<string, string | number> = {
      "cache-control": "no-cache",
      "content-type": asset.type,
      etag: asset.etag,
      vary: "accept-encoding",
    };
    if (request.headers["if-none-match"]?.includes(asset.etag)) {
      response.writeHead(304, headers).end();
      return true;
    }
    let body = asset.body;
    if (asset.gzipped !== undefined && /\bgzip\b/.test(String(request.headers["accept-encoding"]))) {
      body = asset.gzipped;
      headers["content-encoding"] = "gzip";
    }
    response.writeHead(200, { ...headers, "content-length": body.length });
    response.end(request.method === "HEAD" ? undefined : body);
    return true;
  }
}

function load(file: string): Asset {
  const body = readFileSync(file);
  const gzipped = gzipSync(body, { level: 9 });
  return {
    body,
    gzipped: gzipped.length < body.length ? gzipped : undefined,
    type: TYPES[extname(file)] ?? "application/octet-stream",
    etag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`,
  };
}
