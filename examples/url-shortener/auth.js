import { scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { trace } from "@opentelemetry/api";
import { setUser } from "@tracekit/auto/api";

// A key is "<user>.<secret>"; only a hash of the secret is kept.
const hashes = new Map([["u_42", "43c4e44547a01166986c04c5045eb14f3f74d09a91e91caaca2456ff06a86143"]]);
const tracer = trace.getTracer("auth");

/** The user whose API key is in this Authorization header, or undefined. */
export function verify(authorization = "") {
  return tracer.startActiveSpan("auth.verify", async (span) => {
    try {
      const [, id, secret] = /^Bearer (\w+)\.([\w-]+)$/.exec(authorization) ?? [];
      const known = hashes.get(id);
      if (known === undefined) return undefined;
      const hash = await promisify(scrypt)(secret, id, 32);
      if (!timingSafeEqual(hash, Buffer.from(known, "hex"))) return undefined;
      setUser(id);
      return { id };
    } finally {
      span.end();
    }
  });
}
