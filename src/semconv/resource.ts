/** Resource attribute names. Source: OpenTelemetry semantic conventions 1.45. */

export const CONTAINER_ID = "container.id";
export const HOST_ARCH = "host.arch";
export const HOST_NAME = "host.name";
export const OS_TYPE = "os.type";
export const OS_VERSION = "os.version";
export const PROCESS_COMMAND = "process.command";
export const PROCESS_EXECUTABLE_NAME = "process.executable.name";
export const PROCESS_EXECUTABLE_PATH = "process.executable.path";
export const PROCESS_PID = "process.pid";
export const PROCESS_RUNTIME_DESCRIPTION = "process.runtime.description";
export const PROCESS_RUNTIME_NAME = "process.runtime.name";
export const PROCESS_RUNTIME_VERSION = "process.runtime.version";
export const SERVICE_INSTANCE_ID = "service.instance.id";
export const SERVICE_NAME = "service.name";
export const SERVICE_VERSION = "service.version";
export const TELEMETRY_DISTRO_NAME = "telemetry.distro.name";
export const TELEMETRY_DISTRO_VERSION = "telemetry.distro.version";
export const TELEMETRY_SDK_LANGUAGE = "telemetry.sdk.language";
export const TELEMETRY_SDK_NAME = "telemetry.sdk.name";
export const TELEMETRY_SDK_VERSION = "telemetry.sdk.version";
