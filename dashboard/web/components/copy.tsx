import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Icon, type IconName } from "./icon.tsx";
import { toast } from "./toast.tsx";

/** Whether it worked. The old way is for pages that are not on a secure origin: another machine's address over http. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    const before = document.activeElement;
    (document.querySelector("dialog:modal") ?? document.body).append(area);
    area.select();
    // Deprecated, and the only way without the clipboard API.
    const done = document.execCommand("copy");
    area.remove();
    if (before instanceof HTMLElement) before.focus();
    return done;
  }
}

/** Copies `text` (worked out on click where it is a function) and says so. Without `children` it is an icon alone. */
export function CopyButton(props: {
  text: string | (() => string);
  /** `Copy link`; name and tooltip of the button. */
  label: string;
  icon?: IconName;
  class?: string;
  children?: string;
}): JSX.Element {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async (): Promise<void> => {
    const done = await copyText(typeof props.text === "string" ? props.text : props.text());
    if (done) setCopied(true);
    else toast("The browser did not let the page copy.", "error");
  };
  return (
    <button
      type="button"
      class={props.class ?? (props.children === undefined ? "icon-button" : "button button-quiet")}
      aria-label={props.children === undefined ? props.label : undefined}
      title={copied ? "Copied" : props.label}
      onClick={() => void copy()}
    >
      <Icon name={copied ? "check" : (props.icon ?? "copy")} />
      {props.children}
      <span class="visually-hidden" role="status">
        {copied ? "Copied" : ""}
      </span>
    </button>
  );
}
