import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** PEM texts, and the same as files (tests hand paths to a child process). */
export interface TestCertificates {
  ca: string;
  server: { key: string; cert: string };
  client: { key: string; cert: string };
  files: {
    ca: string;
    serverKey: string;
    serverCert: string;
    clientKey: string;
    clientCert: string;
  };
  /** Deletes the files. */
  remove(): void;
}

/** A throwaway certificate authority with a server certificate for 127.0.0.1 and localhost, and a client certificate.
 *  Throws when the `openssl` program is missing. */
export function createTestCertificates(): TestCertificates {
  const folder = mkdtempSync(join(tmpdir(), "tracekit-tls-"));
  const path = (name: string): string => join(folder, name);
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    openssl([
      "req",
      "-x509",
      ...key,
      "-days",
      "2",
      "-subj",
      "/CN=Tracekit test CA",
      "-keyout",
      path("ca.key"),
      "-out",
      path("ca.pem"),
    ]);
    for (const [name, extensions] of [
      ["server", "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n"],
      ["client", "extendedKeyUsage=clientAuth\n"],
    ] as const) {
      writeFileSync(path(`${name}.ext`), extensions);
      openssl([
        "req",
        ...key,
        "-subj",
        `/CN=Tracekit test ${name}`,
        "-keyout",
        path(`${name}.key`),
        "-out",
        path(`${name}.csr`),
      ]);
      openssl([
        "x509",
        "-req",
        "-in",
        path(`${name}.csr`),
        "-CA",
        path("ca.pem"),
        "-CAkey",
        path("ca.key"),
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        path(`${name}.ext`),
        "-out",
        path(`${name}.pem`),
      ]);
    }
    const text = (name: string): string => readFileSync(path(name), "utf8");
    return {
      ca: text("ca.pem"),
      server: { key: text("server.key"), cert: text("server.pem") },
      client: { key: text("client.key"), cert: text("client.pem") },
      files: {
        ca: path("ca.pem"),
        serverKey: path("server.key"),
        serverCert: path("server.pem"),
        clientKey: path("client.key"),
        clientCert: path("client.pem"),
      },
      remove,
    };
  } catch (error) {
    remove();
    throw error;
  }
}

function openssl(args: string[]): void {
  try {
    execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new Error("the TLS tests need the openssl program: apt-get install openssl", {
        cause: error,
      });
    }
    throw error;
  }
}
