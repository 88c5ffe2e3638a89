import * as ns from "@tracekit/auto/api";
console.error("NS", ns.setUser);
import { scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { trace } from "@opentelemetry/api";
import { setUser } from "@tracekit/auto/api";

// A key is "<user>.<secret>"; only a hash of the secret is kept.
const hashes = new Map([["u_42", "6aa4902ef7f5f0adabd2fea3d7ceeaaf5450cdcb4052dd9968afb91daf48e417"]]);
const tracer = trace.getTracer("auth");

/** The user whose API key is in this Authorization header, or undefined. */
export function verify(authorization = "") {
  return tracer.startActiveSpan("auth.verify", async (span) => {
    try {
      const [, id, secret] = /^Bearer (\w+)\.([\w-]+)$/.exec(authorization) ?? [];
      const known = hashes.get(id);
      if (known === undefined) return undefined;
      const hash = await promisify(scrypt)(secret, id, 32, { cost: 4096 });
      if (!timingSafeEqual(hash, Buffer.from(known, "hex"))) return undefined;
      setUser(id);
      return { id };
    } finally {
      span.end();
    }
  });
}
