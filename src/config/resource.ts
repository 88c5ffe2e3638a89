import { existsSync, readFileSync, statSync } from "node:fs";
import { arch, hostname, platform, release } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { version } from "../../package.json";
import * as names from "../semconv/resource.ts";

/** What describes this process on every span it sends. */
export type Resource = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/** Which groups to detect. Source: OTEL_NODE_RESOURCE_DETECTORS. */
export type ResourceDetector = "env" | "host" | "os" | "process" | "serviceinstance" | "container" | "all";

/** Where this process was started: `mainScript` is its process.argv[1]. */
export interface Origin {
  readonly mainScript: string | undefined;
  readonly cwd: string;
}

/** Detects the resource of this process. `attributes` (OTEL_RESOURCE_ATTRIBUTES) win over what is detected, and
 *  `serviceName` over both. Reads a few small files and starts nothing; what cannot be read is left out.
 *
 *  Left out on purpose: process.command_args (arguments carry secrets), process.owner (may ask a directory server),
 *  host.id (machine-id(5): "must not be exposed in untrusted environments"). */
export function detectResource(
  origin: Origin,
  detectors: readonly ResourceDetector[],
  attributes: Readonly<Record<string, string>> = {},
  serviceName?: string,
): Resource {
  const wants = (detector: ResourceDetector): boolean => detectors.includes("all") || detectors.includes(detector);
  const declared = wants("env") ? attributes : {};
  const service = findService(origin);
  const serviceVersion = service.version ?? readGitCommit(service.folder);

  const detected: Record<string, string | number> = {
    [names.SERVICE_NAME]: service.name ?? "unknown_service:node",
    [names.TELEMETRY_SDK_NAME]: "opentelemetry",
    [names.TELEMETRY_SDK_LANGUAGE]: "nodejs",
    [names.TELEMETRY_SDK_VERSION]: version,
    [names.TELEMETRY_DISTRO_NAME]: "@tracekit/auto",
    [names.TELEMETRY_DISTRO_VERSION]: version,
  };
  if (serviceVersion !== undefined) detected[names.SERVICE_VERSION] = serviceVersion;
  if (wants("serviceinstance")) detected[names.SERVICE_INSTANCE_ID] = randomUuid();
  if (wants("host")) {
    detected[names.HOST_NAME] = hostname();
    detected[names.HOST_ARCH] = toHostArch(arch());
  }
  if (wants("os")) {
    detected[names.OS_TYPE] = toOsType(platform());
    detected[names.OS_VERSION] = release();
  }
  if (wants("process")) {
    detected[names.PROCESS_PID] = process.pid;
    detected[names.PROCESS_EXECUTABLE_NAME] = basename(process.execPath);
    detected[names.PROCESS_EXECUTABLE_PATH] = process.execPath;
    detected[names.PROCESS_RUNTIME_NAME] = "nodejs";
    detected[names.PROCESS_RUNTIME_VERSION] = process.versions.node;
    detected[names.PROCESS_RUNTIME_DESCRIPTION] = "Node.js";
    if (origin.mainScript !== undefined) detected[names.PROCESS_COMMAND] = origin.mainScript;
  }
  if (wants("container") && process.platform === "linux") {
    const id = toContainerId(read("/proc/self/cgroup"), read("/proc/self/mountinfo"));
    if (id !== undefined) detected[names.CONTAINER_ID] = id;
  }
  return {
    ...detected,
    ...declared,
    ...(serviceName !== undefined && { [names.SERVICE_NAME]: serviceName }),
  };
}

function read(path: string): string {
  try {
    // Most paths tried do not exist, and an exception costs ten times the question.
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  } catch {
    return "";
  }
}

/** `folder`, its parent, and so on to the root. */
function* upwards(folder: string): Generator<string> {
  for (let previous = ""; folder !== previous; folder = dirname(folder)) {
    yield folder;
    previous = folder;
  }
}

interface Service {
  readonly name?: string;
  readonly version?: string;
  /** Where the search for a git commit starts. */
  readonly folder: string;
}

/** The nearest package.json with a name (a `dist/package.json` often holds nothing but its module type), first above
 *  the main script, then above the working directory. A script in node_modules is a runner (next, pm2) or a library's
 *  worker, so the search starts outside of it. */
function findService({ mainScript, cwd }: Origin): Service {
  const script = resolve(cwd, mainScript ?? ".");
  const start = script.split(/[\\/]node_modules(?:[\\/]|$)/, 1)[0] || cwd;
  for (const from of start === cwd ? [cwd] : [start, cwd]) {
    // The script itself first: `node .` names a folder.
    for (const folder of upwards(from)) {
      const manifest = parseManifest(read(join(folder, "package.json")));
      if (manifest !== undefined) return { ...manifest, folder };
    }
  }
  return { folder: start };
}

function parseManifest(text: string): { name: string; version?: string } | undefined {
  try {
    const manifest: unknown = text === "" ? undefined : JSON.parse(text);
    if (typeof manifest !== "object" || manifest === null) return undefined;
    const { name, version: itsVersion } = manifest as { name?: unknown; version?: unknown };
    if (typeof name !== "string" || name === "") return undefined;
    return typeof itsVersion === "string" && itsVersion !== "" ? { name, version: itsVersion } : { name };
  } catch {
    return undefined;
  }
}

/** The commit checked out above `folder`, from git's own files: spawning git would cost more than all the rest. */
function readGitCommit(folder: string): string | undefined {
  for (const parent of upwards(folder)) {
    const dotGit = join(parent, ".git");
    // In a worktree or submodule .git is a file that names the folder, and the refs are in the folder `commondir` names.
    const link = /^gitdir: (.+)/.exec(read(dotGit))?.[1];
    const gitFolder = link === undefined ? dotGit : resolve(parent, link);
    const head = read(join(gitFolder, "HEAD")).trim();
    if (head === "") continue;
    const ref = /^ref: (.+)/.exec(head)?.[1];
    const commonFolder = resolve(gitFolder, read(join(gitFolder, "commondir")).trim());
    const commit = ref === undefined ? head : read(join(commonFolder, ref)).trim() || readPackedRef(commonFolder, ref);
    return commit !== undefined && /^[0-9a-f]{40,64}$/.test(commit) ? commit : undefined;
  }
  return undefined;
}

/** A large repository has megabytes of packed refs; reading those would be felt at start. */
const MAX_PACKED_REFS_BYTES = 256 * 1024;

function readPackedRef(folder: string, ref: string): string | undefined {
  const path = join(folder, "packed-refs");
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? Infinity) > MAX_PACKED_REFS_BYTES) return undefined;
  return read(path)
    .split("\n")
    .find((line) => line.endsWith(` ${ref}`))
    ?.split(" ")[0];
}

/** The id of the container, from the text of /proc/self/cgroup (cgroup v1; 64 hex digits, or ECS's form) or
 *  /proc/self/mountinfo (v2). In mountinfo only the mount of /etc/hostname counts: the mounts of a Docker *host* name
 *  its containers too, and containerd's "sandboxes/<id>" is the pod's id. */
export function toContainerId(cgroup: string, mountinfo: string): string | undefined {
  return (/[/:-]([0-9a-f]{64}|[0-9a-f]{32}-\d+)(?:\.scope)?(?:\/container)?$/m.exec(cgroup) ??
    /containers\/([0-9a-f]{64})\/(?:userdata\/)?hostname \/etc\/hostname /.exec(mountinfo))?.[1];
}

/** A random UUID (version 4) from Math.random, which V8 seeds from the system's entropy: it has to be unique, not
 *  secret, and node:crypto alone would double the time of reading the configuration. */
function randomUuid(): string {
  return "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx".replace(/[xy]/g, (place) => {
    const digit = Math.trunc(Math.random() * 16);
    return (place === "x" ? digit : 8 + (digit & 3)).toString(16);
  });
}

const toHostArch = (name: string): string => ({ x64: "amd64", ia32: "x86", arm: "arm32", ppc: "ppc32" })[name] ?? name;

const toOsType = (name: string): string => ({ win32: "windows", sunos: "solaris" })[name] ?? name;
