import type { Baggage as ApiBaggage, BaggageEntry } from "@opentelemetry/api";

/** W3C baggage §3.3.2: what every implementation must carry; we carry no more. */
const MAX_MEMBERS = 180;
const MAX_BYTES = 8192;
const KEY = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** An immutable set of baggage members. Source: W3C baggage; OpenTelemetry API, "Baggage". */
export class Baggage implements ApiBaggage {
  private readonly members: ReadonlyMap<string, BaggageEntry>;

  constructor(members: ReadonlyMap<string, BaggageEntry>) {
    this.members = members;
  }

  /** Undefined when no member is valid; malformed members are skipped (§3.3.1). */
  static parse(header: string): Baggage | undefined {
    const members = new Map<string, BaggageEntry>();
    for (const part of header.slice(0, MAX_BYTES).split(",", MAX_MEMBERS)) {
      const semicolon = part.indexOf(";");
      const member = semicolon === -1 ? part : part.slice(0, semicolon);
      const equals = member.indexOf("=");
      const key = decode(member.slice(0, Math.max(equals, 0)).trim());
      const value = equals === -1 ? undefined : decode(member.slice(equals + 1).trim());
      if (key === undefined || value === undefined || !KEY.test(key)) continue;
      const metadata = semicolon === -1 ? "" : part.slice(semicolon + 1).trim();
      members.set(key, metadata === "" ? { value } : { value, metadata: toMetadata(metadata) });
    }
    return members.size === 0 ? undefined : new Baggage(members);
  }

  getEntry(key: string): BaggageEntry | undefined {
    return this.members.get(key);
  }
  getAllEntries(): Array<[string, BaggageEntry]> {
    return [...this.members];
  }
  setEntry(key: string, entry: BaggageEntry): Baggage {
    return new Baggage(new Map(this.members).set(key, entry));
  }
  removeEntry(key: string): Baggage {
    return this.removeEntries(key);
  }
  removeEntries(...keys: string[]): Baggage {
    const members = new Map(this.members);
    for (const key of keys) members.delete(key);
    return new Baggage(members);
  }
  clear(): Baggage {
    return new Baggage(new Map());
  }
}

/** The `baggage` header of any implementation's baggage; "" when nothing of it fits. */
export function serializeBaggage(baggage: ApiBaggage): string {
  let header = "";
  let count = 0;
  for (const [key, { value, metadata }] of baggage.getAllEntries()) {
    if (!KEY.test(key)) continue;
    const member = `${key}=${encodeURIComponent(value)}${metadata === undefined ? "" : `;${metadata.toString()}`}`;
    if (count === MAX_MEMBERS || header.length + member.length + 1 > MAX_BYTES) break;
    header += count === 0 ? member : `,${member}`;
    count++;
  }
  return header;
}

/** The API brands metadata with this symbol (`baggageEntryMetadataFromString`). */
const METADATA = Symbol.for("BaggageEntryMetadata");

function toMetadata(text: string): NonNullable<BaggageEntry["metadata"]> {
  return { __TYPE__: METADATA, toString: () => text } as unknown as NonNullable<BaggageEntry["metadata"]>;
}

function decode(text: string): string | undefined {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
