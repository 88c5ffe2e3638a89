import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import ownPackage from "../../package.json";
import { detectResource, toContainerId } from "../../src/config/resource.ts";
import type { Resource, ResourceDetector } from "../../src/config/resource.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "resource-"));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function write(path: string, content: unknown): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), typeof content === "string" ? content : JSON.stringify(content));
}

const detect = (mainScript: string | undefined, cwd = "elsewhere"): Resource =>
  detectResource({ mainScript: mainScript && join(root, mainScript), cwd: join(root, cwd) }, ["all"]);

const nameOf = (...origin: Parameters<typeof detect>): unknown => detect(...origin)["service.name"];

describe("service.name", () => {
  test("is that of the package.json nearest to the main script", () => {
    write("package.json", { name: "monorepo" });
    write("apps/url/package.json", { name: "@acme/url", version: "1.2.3" });
    expect(nameOf("apps/url/src/server.js")).toBe("@acme/url");
  });

  test("skips a package.json that has no name, is broken, or is not an object", () => {
    write("package.json", { name: "app" });
    write("dist/package.json", { type: "module" });
    write("dist/a/package.json", "{ broken");
    write("dist/a/b/package.json", "null");
    write("dist/a/b/c/package.json", { name: 7 });
    expect(nameOf("dist/a/b/c/server.js")).toBe("app");
  });

  test("is found when the main script is a folder (`node .`)", () => {
    write("package.json", { name: "outer" });
    write("app/package.json", { name: "inner" });
    expect(nameOf("app")).toBe("inner");
  });

  test.each(["node_modules/next/dist/bin/next", "node_modules/.bin/next", "node_modules/a/node_modules/b/worker.js"])(
    "is the application's, not the runner's, for %s",
    (script) => {
      write("app/package.json", { name: "app" });
      write(`app/${dirname(script)}/package.json`, { name: "runner" });
      expect(nameOf(`app/${script}`)).toBe("app");
    },
  );

  test("comes from the working directory when a runner is installed elsewhere, and when there is no script", () => {
    write("lib/node_modules/pm2/package.json", { name: "pm2" });
    write("app/package.json", { name: "app" });
    expect(nameOf("lib/node_modules/pm2/ProcessContainerFork.js", "app")).toBe("app");
    expect(nameOf(undefined, "app/src")).toBe("app");
  });

  test("is unknown_service:node where nothing names it", () => {
    expect(nameOf("server.js")).toBe("unknown_service:node");
  });
});

describe("service.version", () => {
  const commit = "0123456789abcdef0123456789abcdef01234567";

  test("is that of the same package.json, before any commit", () => {
    write("package.json", { name: "app", version: "1.2.3" });
    write(".git/HEAD", commit);
    expect(detect("server.js")["service.version"]).toBe("1.2.3");
  });

  test("is absent where neither a version nor a commit is known", () => {
    write("package.json", { name: "app" });
    expect(detect("server.js")).not.toHaveProperty("service.version");
  });

  test.each([
    ["a detached head", { ".git/HEAD": `${commit}\n` }],
    ["a branch", { ".git/HEAD": "ref: refs/heads/a/b\n", ".git/refs/heads/a/b": `${commit}\n` }],
    [
      "a packed branch",
      {
        ".git/HEAD": "ref: refs/heads/main\n",
        ".git/packed-refs": `# pack-refs with: peeled\n${"f".repeat(40)} refs/heads/not/refs/heads/main2\n${commit} refs/heads/main\n`,
      },
    ],
    [
      "a worktree",
      {
        ".git": "gitdir: store/.git/worktrees/w\n",
        "store/.git/worktrees/w/HEAD": "ref: refs/heads/w\n",
        "store/.git/worktrees/w/commondir": "../..\n",
        "store/.git/refs/heads/w": commit,
      },
    ],
  ])("is the commit of %s otherwise", (_what, files) => {
    write("services/url/package.json", { name: "app" });
    for (const [path, content] of Object.entries(files)) write(path, content);
    expect(detect("services/url/server.js")["service.version"]).toBe(commit);
  });

  // A source archive can be tested where there is no git; a clone, and CI, cannot do without it.
  const hasGit = spawnSync("git", ["--version"]).status === 0;
  test.skipIf(!hasGit && process.env["CI"] === undefined)("agrees with git itself", () => {
    const git = (...args: string[]): string =>
      execFileSync(
        "git",
        ["-c", "init.defaultRefFormat=files", "-c", "user.name=t", "-c", "user.email=t@example.com", ...args],
        {
          cwd: root,
          encoding: "utf8",
        },
      ).trim();
    git("init", "--quiet");
    git("commit", "--quiet", "--allow-empty", "--message", "x");
    expect(detect("server.js")["service.version"]).toBe(git("rev-parse", "HEAD"));
    git("pack-refs", "--all");
    expect(detect("server.js")["service.version"]).toBe(git("rev-parse", "HEAD"));
  });

  test.each([
    ["a branch without a commit", "ref: refs/heads/new"],
    ["a head that is not one", "nonsense"],
  ])("is absent for %s", (_what, head) => {
    write(".git/HEAD", head);
    expect(detect("server.js")).not.toHaveProperty("service.version");
  });
});

describe("container.id", () => {
  const id = "a1b2c3d4".repeat(8);

  test.each([
    ["docker, cgroup v1", `12:pids:/docker/${id}\n11:cpu:/docker/${id}\n`],
    ["docker through systemd", `0::/system.slice/docker-${id}.scope\n`],
    ["kubernetes", `1:name=systemd:/kubepods/burstable/pod1234-5678/${id}\n`],
    ["containerd", `0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-${id}.scope`],
    ["podman", `0::/machine.slice/libpod-${id}.scope/container`],
  ])("is read from the cgroup of %s", (_what, cgroup) => {
    expect(toContainerId(cgroup, "")).toBe(id);
  });

  test("has its own form on Fargate", () => {
    const fargate = "0123456789abcdef0123456789abcdef-1234567890";
    expect(toContainerId(`9:cpu:/ecs/0123456789abcdef0123456789abcdef/${fargate}\n`, "")).toBe(fargate);
  });

  test.each([
    ["docker", `678 655 254:1 /var/lib/docker/containers/${id}/hostname /etc/hostname rw - ext4 /dev/vda1 rw`],
    ["podman", `983 95 0:42 /user/storage/overlay-containers/${id}/userdata/hostname /etc/hostname rw - tmpfs`],
  ])("is read from the mounts of %s, cgroup v2", (_what, mounts) => {
    expect(toContainerId("0::/\n", `1 2 0:1 / / rw\n${mounts}\n`)).toBe(id);
  });

  test.each([
    ["a machine that runs containers", `100 30 0:50 / /var/lib/docker/containers/${id}/mounts/shm rw - tmpfs shm rw`],
    [
      "a pod's sandbox",
      `100 30 0:50 /var/lib/containerd/sandboxes/${id}/hostname /etc/hostname rw - ext4 /dev/vda1 rw`,
    ],
    ["no container", "22 28 0:20 / /sys rw - sysfs sysfs rw"],
  ])("is not invented for %s", (_what, mounts) => {
    expect(toContainerId("0::/user.slice/user-1000.slice/session-1.scope\n", mounts)).toBeUndefined();
  });
});

describe("detectors", () => {
  const groups: Readonly<Record<string, readonly string[]>> = {
    env: ["team"],
    host: ["host.name", "host.arch"],
    os: ["os.type", "os.version"],
    process: [
      "process.pid",
      "process.executable.name",
      "process.executable.path",
      "process.command",
      "process.runtime.name",
      "process.runtime.version",
      "process.runtime.description",
    ],
    serviceinstance: ["service.instance.id"],
    container: [],
  };
  const always = [
    "service.name",
    "telemetry.distro.name",
    "telemetry.distro.version",
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
  ];
  const names = (detectors: readonly ResourceDetector[]): string[] =>
    Object.keys(detectResource({ mainScript: join(root, "a.js"), cwd: root }, detectors, { team: "x" }))
      .filter((name) => name !== "container.id")
      .sort();

  test.each(Object.keys(groups))("%s adds its group and no other", (detector) => {
    expect(names([detector as ResourceDetector])).toEqual([...always, ...(groups[detector] ?? [])].sort());
  });

  test("none leaves the service and the SDK", () => {
    expect(names([])).toEqual(always);
  });

  test("all is every group", () => {
    expect(names(["all"])).toEqual([...always, ...Object.values(groups).flat()].sort());
  });
});

describe("values", () => {
  test("are those of this process", () => {
    expect(detect("server.js")).toMatchObject({
      "host.name": hostname(),
      "process.pid": process.pid,
      "process.executable.path": process.execPath,
      "process.command": join(root, "server.js"),
      "process.runtime.name": "nodejs",
      "process.runtime.version": process.versions.node,
      "telemetry.sdk.language": "nodejs",
      "telemetry.sdk.version": ownPackage.version,
      "telemetry.distro.name": ownPackage.name,
      "telemetry.distro.version": ownPackage.version,
    });
  });

  test("service.instance.id is a version 4 UUID, another one each time", () => {
    const ids = Array.from({ length: 50 }, () => detect("server.js")["service.instance.id"]);
    expect(new Set(ids).size).toBe(50);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test("command line arguments are not among them", () => {
    process.argv.push("--password=hunter2");
    try {
      expect(JSON.stringify(detect("server.js"))).not.toContain("hunter2");
    } finally {
      process.argv.pop();
    }
  });

  test("declared attributes win over detected ones", () => {
    const resource = detectResource({ mainScript: undefined, cwd: root }, ["all"], { "host.name": "declared" });
    expect(resource["host.name"]).toBe("declared");
  });
});
