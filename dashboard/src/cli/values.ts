import { parseDuration } from "../model/filter.ts";
import { UsageError } from "./command.ts";

const UNITS: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** Bytes of `512MB`, `2GB`, `1.5 GiB` or a bare number; a KB is 1024 bytes. Throws a `UsageError` for anything else. */
export function parseSize(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim());
  if (match === null) throw new UsageError(`--${option} ${text} is not a size like 512MB or 2GB.`);
  return Math.round(Number(match[1]) * (UNITS[(match[2] ?? "").toLowerCase()] ?? 1));
}

/** A port number; 0 is any free one. Throws a `UsageError` for anything else. */
export function parsePort(option: string, text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
    throw new UsageError(`--${option} ${text} is not a port: 0 to 65535.`);
  return Number(text);
}

/** Milliseconds of `7d` or `12h`; undefined for `forever`. Throws a `UsageError` for anything else. */
export function parseRetention(option: string, text: string): number | undefined {
  if (text === "forever") return undefined;
  const millis = parseDuration(text);
  // A bare number is milliseconds elsewhere, and nobody means that here.
  if (millis === undefined || millis <= 0 || /^[\d.]+$/.test(text))
    throw new UsageError(`--${option} ${text} is not a duration like 7d or 12h, nor forever.`);
  return millis;
}
