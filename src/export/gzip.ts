/**
 * Compresses on libuv's threads, at level 1: spans repeat themselves so much that higher levels only cost time. `done` gets the
 * compressed body; it is called later, and not at all if zlib fails, which leaves the request to its time-out.
 */
export function gzip(body: readonly Uint8Array[], done: (zipped: Buffer) => void): void {
  const zlib = process.getBuiltinModule("node:zlib");
  zlib.gzip(Buffer.concat(body), { level: 1 }, (error, zipped) => {
    if (error === null) done(zipped);
  });
}
