/** OTEL_SDK_DISABLED, asked alone and before anything else is loaded. Only "true", in any case, is true (OpenTelemetry SDK variables). */
export function isDisabled(): boolean {
  return process.env["OTEL_SDK_DISABLED"]?.trim().toLowerCase() === "true";
}
