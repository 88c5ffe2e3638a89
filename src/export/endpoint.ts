import { readFileSync } from "node:fs";
import { version } from "../../package.json";
import type { OtlpConfig } from "../config/config.ts";
import { diag } from "../diag/diag.ts";
import type { Endpoint } from "./exchange.ts";

/** Names exporter, language and version, as the OTLP exporter specification asks ("User Agent"). */
export const USER_AGENT: string = `Tracekit-OTLP-Exporter-JavaScript/${version}`;

const CONTENT_TYPES = {
  "http/protobuf": "application/x-protobuf",
  "http/json": "application/json",
  grpc: "application/grpc",
} as const;

/** Reads the certificate files: not before there is something to send. A file that is of no use is left out, and said. */
export function createEndpoint(otlp: OtlpConfig): Endpoint {
  const ca = readPem(otlp.certificateFile, "OTEL_EXPORTER_OTLP_CERTIFICATE");
  const cert = readPem(otlp.clientCertificateFile, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE");
  const key = readPem(otlp.clientKeyFile, "OTEL_EXPORTER_OTLP_CLIENT_KEY");
  if ((cert === undefined) !== (key === undefined)) {
    diag.warnOnce("client-certificate", "a client certificate and its key are only of use together: sending without");
  }
  const hasBoth = cert !== undefined && key !== undefined;
  return {
    url: otlp.url,
    protocol: otlp.protocol === "grpc" ? "grpc" : "http",
    headers: { ...otlp.headers, "content-type": CONTENT_TYPES[otlp.protocol], "user-agent": USER_AGENT },
    compression: otlp.compression,
    ca,
    cert: hasBoth ? cert : undefined,
    key: hasBoth ? key : undefined,
  };
}

function readPem(file: string | undefined, variable: string): string | undefined {
  if (file === undefined) return undefined;
  try {
    const text = readFileSync(file, "utf8");
    // What Node makes of another text is an exception at every connection.
    if (text.includes("-----BEGIN ")) return text;
    diag.warnOnce(variable, `${variable}: ${file} is not a PEM file: sending without it`);
  } catch (error) {
    diag.warnOnce(variable, `${variable}: ${file} cannot be read (${(error as Error).message}): sending without it`);
  }
  return undefined;
}
