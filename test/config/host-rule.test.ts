import { describe, expect, test } from "vitest";
import { defineHostRule } from "../../src/config/host-rule.ts";

const allows = (entries: string, host: string): boolean => defineHostRule(entries.split(",")).rule(host);

describe("private", () => {
  test.each([
    "localhost",
    "LOCALHOST",
    "app.localhost",
    "127.0.0.1",
    "127.255.255.254",
    "::1",
    "[::1]",
    "10.0.0.0",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "::ffff:10.1.2.3",
    "fc00::1",
    "[fdff::1]",
    "analytics",
    "redis_1",
    "url.default.svc",
    "url.default.svc.cluster.local",
    "url.default.svc.cluster.local.",
    "ip-10-0-0-1.ec2.internal",
  ])("is %s", (host) => {
    expect(allows("private", host)).toBe(true);
  });

  test.each([
    "",
    "example.com",
    "api.mixpanel.com",
    "9.255.255.255",
    "11.0.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.167.255.255",
    "192.169.0.1",
    "169.254.169.254",
    "8.8.8.8",
    "::ffff:8.8.8.8",
    "::",
    "fe80::1",
    "fc::1",
    "2001:db8::1",
    // What a resolver reads as 8.8.8.8 and 8.0.0.1.
    "134744072",
    "0x8080808",
    "010.0.0.1",
    // Names that only look inside.
    "10.0.0.1.nip.io",
    "localhost.example.com",
    "svc.attacker.com",
    "notlocal.com",
    "x.localx",
  ])("is not %j", (host) => {
    expect(allows("private", host)).toBe(false);
  });
});

describe("patterns", () => {
  test.each([
    ["*.example.com", "a.example.com", true],
    ["*.example.com", "a.b.example.com", true],
    ["*.example.com", "example.com", false],
    ["*.example.com", "a.example.com.evil.net", false],
    ["*.example.com", "aexample.com", false],
    ["example.com", "exampleXcom", false],
    ["example.com", "Example.COM", true],
    ["100.64.*", "100.64.3.4", true],
    ["2001:db8::1", "[2001:db8::1]", true],
    ["[2001:db8::1]", "2001:db8::1", true],
    ["*.example.com", "analytics", false],
    ["private,*.example.com", "analytics", true],
    ["all", "8.8.8.8", true],
    ["none", "localhost", false],
    ["none,all,localhost", "localhost", false],
  ])("%j and the host %j: %s", (entries, host, expected) => {
    expect(allows(entries, host)).toBe(expected);
  });

  test.each(["https://example.com", "example.com:8080", "a b", "exa(mple"])("%j is refused by name", (entry) => {
    const { rule, invalid } = defineHostRule([entry, "ok.example"]);
    expect(invalid).toEqual([entry]);
    expect(rule("ok.example")).toBe(true);
    expect(rule("example.com")).toBe(false);
  });
});
