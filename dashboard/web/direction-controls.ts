import { options, type VNode } from "preact";

/** Embeddings, overrides and isolates of writing direction. Source: Unicode Standard Annex #9, 2.1 to 2.5. Marks (U+200E and the
 *  like) stay: right-to-left text is written with them, and they move nothing. */
const CONTROLS = /[\u202a-\u202e\u2066-\u2069]/g;
const CONTROL = new RegExp(CONTROLS.source);

/** The text with characters that turn the order of those after them, and so can make one thing look like another, written
 *  out: `[U+202E]`. */
export function withVisibleControls(text: string): string {
  if (!CONTROL.test(text)) return text;
  return text.replace(CONTROLS, (control) => `[U+${control.charCodeAt(0).toString(16).toUpperCase()}]`);
}

/** Attributes that are shown or read out. */
const NAMES = ["title", "aria-label"] as const;

/** From now on does that to whatever is rendered, and to names and titles: what was captured may hold anything, and is shown in very many
 *  places. Values of fields and what is copied by a button stay as they are. */
export function showDirectionControls(): void {
  const next = options.vnode;
  options.vnode = (vnode) => {
    const props = vnode.props as Record<string, unknown>;
    if (props["children"] !== undefined) props["children"] = shown(props["children"]);
    for (const name of NAMES) {
      const text = props[name];
      if (typeof text === "string") props[name] = withVisibleControls(text);
    }
    next?.(vnode as VNode);
  };
}

function shown(children: unknown): unknown {
  if (typeof children === "string") return withVisibleControls(children);
  if (!Array.isArray(children)) return children;
  // A list may be somebody's own and is not changed.
  let copy: unknown[] | undefined;
  for (let index = 0; index < children.length; index++) {
    const child: unknown = children[index];
    const replaced = typeof child === "string" || Array.isArray(child) ? shown(child) : child;
    if (replaced !== child) (copy ??= [...(children as unknown[])])[index] = replaced;
  }
  return copy ?? children;
}
