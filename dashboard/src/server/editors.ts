import { pathToFileURL } from "node:url";

type UrlOf = (path: string, line: number, column: number) => string;

const likeVsCode =
  (scheme: string): UrlOf =>
  (path, line, column) =>
    `${scheme}://file${urlPath(path)}:${line}:${column}`;
const likeIntelliJ =
  (scheme: string): UrlOf =>
  (path, line, column) =>
    `${scheme}://open?file=${encodeURIComponent(path)}&line=${line}&column=${column}`;
const byFileUrl =
  (scheme: string): UrlOf =>
  (path, line, column) =>
    `${scheme}://open?url=${encodeURIComponent(pathToFileURL(path).href)}&line=${line}&column=${column}`;

/** Editors that open a file by an address, with what its maker documents. */
const EDITORS: Readonly<Record<string, UrlOf>> = {
  cursor: likeVsCode("cursor"),
  idea: likeIntelliJ("idea"),
  phpstorm: likeIntelliJ("phpstorm"),
  pycharm: likeIntelliJ("pycharm"),
  sublime: byFileUrl("subl"),
  textmate: byFileUrl("txmt"),
  vscode: likeVsCode("vscode"),
  "vscode-insiders": likeVsCode("vscode-insiders"),
  vscodium: likeVsCode("vscodium"),
  webstorm: likeIntelliJ("webstorm"),
  windsurf: likeVsCode("windsurf"),
  zed: likeVsCode("zed"),
};

/** Names for `--editor`. */
export const EDITOR_NAMES: readonly string[] = Object.keys(EDITORS);

/** A pattern is an address with `{file}` and `{line}`, `{column}` if wanted; one that would run in the page is none. */
const PATTERN = /^(?!(?:javascript|data|vbscript|blob|https?|file):)[a-z][a-z0-9+.-]*:\S*\{file\}\S*$/i;

/** Throws for a name that is not in the table and is no pattern either; the message names those that are. `none`: no links. */
export function editorUrls(editor: string): UrlOf | undefined {
  if (editor === "none") return undefined;
  const known = Object.hasOwn(EDITORS, editor) ? EDITORS[editor] : undefined;
  if (known !== undefined) return known;
  if (!PATTERN.test(editor))
    throw new Error(`editor ${editor} is none of ${EDITOR_NAMES.join(", ")}, and no address with {file} and {line}.`);
  return (path, line, column) =>
    editor
      .replaceAll("{file}", () => urlPath(path))
      .replaceAll("{line}", String(line))
      .replaceAll("{column}", String(column));
}

/** `/home/me/my%20app/a.ts`, `/C:/app/a.ts`. */
function urlPath(path: string): string {
  return pathToFileURL(path).pathname;
}
