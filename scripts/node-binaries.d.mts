export const nodeVersions: readonly string[];
export function installNode(version: string): string;
export function npm(args: string[], cwd: string): string;
