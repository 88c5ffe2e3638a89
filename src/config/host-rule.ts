/** May something go to this host? Takes a host name or address without port, in any case, IPv6 with or without
 *  brackets. A few hundred nanoseconds: callers on a hot path keep the answer beside their connection or origin. */
export type HostRule = (host: string) => boolean;

// Not node:net's isIPv4: importing it costs milliseconds at start. Strict like it: "010.0.0.1" is 8.0.0.1 to a resolver.
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const IPV6 = /^[0-9a-f:]*:[0-9a-f:]*$/;
// RFC 1918, RFC 4193, loopback. Link-local is left out: 169.254.169.254 is the cloud's metadata server, not a service of ours.
const PRIVATE_V4 = /^(127|10|192\.168|172\.(1[6-9]|2\d|3[01]))\./;
const PRIVATE_V6 = /^(::1$|f[cd][0-9a-f]{2}:)/;
// A first letter, because the resolver reads "134744072" and "0x8080808" as 8.8.8.8.
const SINGLE_LABEL = /^[a-z_][a-z0-9_-]*$/;
// RFC 6761, RFC 6762, ICANN's private-use TLD, and Kubernetes' short form.
const INTERNAL_SUFFIX = /\.(localhost|local|internal|svc)\.?$/;

/** Loopback, private address ranges, single-label names (`analytics`, `localhost`) and names that only resolve
 *  inside (`*.local`, which has `*.svc.cluster.local`; `*.internal`, `*.svc`, `*.localhost`). */
function isPrivate(host: string): boolean {
  const address = host.replace(/^::ffff:(?=\d+\.)/, "");
  if (IPV4.test(address)) return PRIVATE_V4.test(address);
  return PRIVATE_V6.test(host) || SINGLE_LABEL.test(host) || INTERNAL_SUFFIX.test(host);
}

const withoutBrackets = (host: string): string => (host.startsWith("[") ? host.slice(1, -1) : host);

/** Reads `private`, `all`, `none`, host names, addresses and patterns in which `*` stands for any characters, all in
 *  lower case. Entries that are none of these come back as `invalid` and allow nothing. */
export function defineHostRule(entries: readonly string[]): {
  rule: HostRule;
  invalid: readonly string[];
} {
  const patterns = entries.filter((entry) => !["private", "all", "none"].includes(entry)).map(withoutBrackets);
  const isValid = (pattern: string): boolean => /^[a-z0-9._*-]+$/.test(pattern) || IPV6.test(pattern);
  const allowed = patterns
    .filter(isValid)
    .map((pattern) => new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", ".*")}$`));
  const all = entries.includes("all");
  const privateToo = entries.includes("private");
  const none = entries.includes("none");
  return {
    rule: (anyHost) => {
      if (none || all) return !none;
      const host = withoutBrackets(anyHost.toLowerCase());
      return (privateToo && isPrivate(host)) || allowed.some((pattern) => pattern.test(host));
    },
    invalid: patterns.filter((pattern) => !isValid(pattern)),
  };
}
