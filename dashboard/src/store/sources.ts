import { createHash } from "node:crypto";
import type { Resource, Scope } from "../model/span.ts";
import type { Attributes } from "../model/attributes.ts";
import type { Driver } from "./driver.ts";

const MAX_REMEMBERED = 20_000;
/** How far ahead of a use `last_used` is written, so that a resource in steady use is not updated with every batch. */
const AHEAD = 1000;

interface Known {
  id: number;
  /** As in the row; scopes have none. */
  lastUsed: number;
}

/** Resources and scopes, each different one kept once. */
export class Sources {
  private readonly database: Driver;
  private readonly resourceIds: Map<string, Known> = new Map();
  private readonly scopeIds: Map<string, Known> = new Map();
  private readonly resources: Map<number, Resource> = new Map();
  private readonly scopes: Map<number, Scope> = new Map();
  /** What is known of objects that came by. Records of one request share them, and those of one scope follow each other. */
  private knownResources: WeakMap<Resource, Known> = new WeakMap();
  private knownScopes: WeakMap<Scope, Known> = new WeakMap();
  private lastResource: Resource | undefined;
  private lastKnownResource: Known | undefined;
  private lastScope: Scope | undefined;
  private lastKnownScope: Known | undefined;

  constructor(database: Driver) {
    this.database = database;
  }

  /** The resource's id. `era`: no trace or log of this write has a higher id. */
  resourceId(resource: Resource, era: number): number {
    let known = this.lastKnownResource;
    if (known === undefined || resource !== this.lastResource) {
      known = this.knownResources.get(resource) ?? this.findResource(resource, era);
      this.lastResource = resource;
      this.lastKnownResource = known;
    }
    if (known.lastUsed < era) {
      known.lastUsed = era + AHEAD;
      this.database.prepare("UPDATE resources SET last_used = ? WHERE id = ?").run([known.lastUsed, known.id]);
    }
    return known.id;
  }

  scopeId(scope: Scope): number {
    let known = this.lastKnownScope;
    if (known === undefined || scope !== this.lastScope) {
      known = this.knownScopes.get(scope) ?? this.findScope(scope);
      this.lastScope = scope;
      this.lastKnownScope = known;
    }
    return known.id;
  }

  resource(id: number): Resource {
    const known = this.resources.get(id);
    if (known !== undefined) return known;
    const [row] = this.database.prepare("SELECT content FROM resources WHERE id = ?").all([id]);
    const content = row === undefined ? ["unknown_service", {}] : JSON.parse(String(row["content"]));
    const [serviceName, attributes] = content as [string, Attributes];
    return remember(this.resources, id, { serviceName, attributes });
  }

  scope(id: number): Scope {
    const known = this.scopes.get(id);
    if (known !== undefined) return known;
    const [row] = this.database.prepare("SELECT content FROM scopes WHERE id = ?").all([id]);
    const [name, version] = (row === undefined ? ["", ""] : JSON.parse(String(row["content"]))) as [string, string];
    return remember(this.scopes, id, { name, version });
  }

  /** Those of the traces up to `id` that no later one is known to use. Inside of a transaction. */
  forgetUnused(id: number): void {
    const unused = this.database.prepare("DELETE FROM resources WHERE last_used <= ? RETURNING id").all([id]);
    if (unused.length > 0) this.reset();
  }

  /** Whatever was learned in a transaction that was rolled back, or deleted, is not to be trusted. */
  reset(): void {
    for (const known of [this.resourceIds, this.scopeIds, this.resources, this.scopes]) known.clear();
    this.knownResources = new WeakMap();
    this.knownScopes = new WeakMap();
    this.lastResource = this.lastKnownResource = undefined;
    this.lastScope = this.lastKnownScope = undefined;
  }

  private findResource(resource: Resource, era: number): Known {
    const content = JSON.stringify([resource.serviceName, resource.attributes]);
    const hash = createHash("sha1").update(content).digest("base64");
    let known = this.resourceIds.get(hash);
    if (known === undefined) {
      this.database
        .prepare("INSERT INTO resources (hash, last_used, content) VALUES (?, ?, ?) ON CONFLICT (hash) DO NOTHING")
        .run([hash, era + AHEAD, content]);
      const [row] = this.database.prepare("SELECT id, last_used FROM resources WHERE hash = ?").all([hash]);
      known = { id: Number(row?.["id"]), lastUsed: Number(row?.["last_used"]) };
      remember(this.resourceIds, hash, known);
    }
    this.knownResources.set(resource, known);
    return known;
  }

  private findScope(scope: Scope): Known {
    const content = JSON.stringify([scope.name, scope.version]);
    let known = this.scopeIds.get(content);
    if (known === undefined) {
      this.database.prepare("INSERT INTO scopes (content) VALUES (?) ON CONFLICT DO NOTHING").run([content]);
      const [row] = this.database.prepare("SELECT id FROM scopes WHERE content = ?").all([content]);
      known = { id: Number(row?.["id"]), lastUsed: Number.POSITIVE_INFINITY };
      remember(this.scopeIds, content, known);
    }
    this.knownScopes.set(scope, known);
    return known;
  }
}

function remember<Key, Value>(known: Map<Key, Value>, key: Key, value: Value): Value {
  if (known.size >= MAX_REMEMBERED) known.clear();
  known.set(key, value);
  return value;
}
