import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./icon.tsx";

interface PopoverProps {
  /** Text of the button, or its name for screen readers where there is only an icon. */
  label: string;
  /** What the button shows instead of the label. */
  face?: ComponentChildren;
  buttonClass?: string;
  title?: string;
  /** Which edges of button and popover meet; default `start`. */
  align?: "start" | "end";
  /** Role of the popup; default `dialog`. */
  role?: "dialog" | "menu";
  popupClass?: string;
  /** Called each time it has opened or closed. */
  onToggle?: (open: boolean) => void;
  /** Rendered only while open. `close` gives the focus back to the button. */
  children: (close: () => void) => ComponentChildren;
}

/** A button and what opens below it, above everything else on the page; Escape and clicks elsewhere close it. */
export function Popover(props: PopoverProps): JSX.Element {
  const button = useRef<HTMLButtonElement>(null);
  const popup = useRef<HTMLDivElement>(null);
  const id = useId();
  const [isOpen, setOpen] = useState(false);

  useEffect(() => {
    const element = popup.current;
    if (element === null) return;
    const toggled = (event: Event): void => {
      const open = (event as ToggleEvent).newState === "open";
      setOpen(open);
      // What had the focus may be gone with the popup, or was taken out of it by a choice.
      const focused = document.activeElement;
      if (!open && (focused === document.body || element.contains(focused))) button.current?.focus();
      props.onToggle?.(open);
    };
    element.addEventListener("toggle", toggled);
    return () => element.removeEventListener("toggle", toggled);
  });

  useEffect(() => {
    const element = popup.current;
    if (!isOpen || element === null || button.current === null) return;
    place(element, button.current, props.align ?? "start");
    const first = element.querySelector<HTMLElement>("[autofocus], [role=menuitem], input, select, button, a[href]");
    first?.focus();
    const close = (): void => element.hidePopover();
    addEventListener("resize", close);
    return () => removeEventListener("resize", close);
  }, [isOpen]);

  const close = (): void => {
    popup.current?.hidePopover();
    button.current?.focus();
  };
  return (
    <>
      <button
        ref={button}
        type="button"
        class={props.buttonClass ?? "button"}
        popovertarget={id}
        aria-haspopup={props.role ?? "dialog"}
        aria-expanded={isOpen}
        aria-label={props.face === undefined ? undefined : props.label}
        title={props.title}
      >
        {props.face ?? props.label}
      </button>
      <div
        ref={popup}
        id={id}
        popover="auto"
        class={`popover ${props.popupClass ?? ""}`}
        role={props.role ?? "dialog"}
        aria-label={props.label}
        onKeyDown={(event) => {
          if (props.role === "menu") moveInMenu(event);
          // Keys meant for the popover are not shortcuts of the page below.
          if (event.key !== "Escape") event.stopPropagation();
          else if (!event.defaultPrevented) {
            event.preventDefault();
            close();
          }
        }}
      >
        {isOpen && props.children(close)}
      </div>
    </>
  );
}

export interface MenuItem {
  label: string;
  icon?: IconName;
  /** What is done; an address where it is a link or a download instead. */
  action: (() => void) | { href: string; download?: string };
  /** Of a choice: whether it is the one. */
  checked?: boolean;
  danger?: boolean;
  disabled?: boolean;
  /** Keys that do the same. */
  keys?: string;
}

/** A button that opens a menu; arrows, Home, End and first letters move in it. */
export function Menu(props: Omit<PopoverProps, "children" | "role"> & { items: readonly MenuItem[] }): JSX.Element {
  const { items, ...rest } = props;
  return (
    <Popover {...rest} role="menu" popupClass="menu">
      {(close) =>
        items.map((item) => {
          const content = (
            <>
              {item.checked === undefined ? (
                item.icon !== undefined && <Icon name={item.icon} />
              ) : (
                <span class="menu-check">{item.checked && <Icon name="check" />}</span>
              )}
              <span class="menu-label">{item.label}</span>
              {item.checked !== undefined && item.icon !== undefined && <Icon name={item.icon} />}
              {item.keys !== undefined && <kbd>{item.keys}</kbd>}
            </>
          );
          const common = {
            class: item.danger === true ? "menu-item menu-item-danger" : "menu-item",
            role: item.checked === undefined ? "menuitem" : "menuitemradio",
            "aria-checked": item.checked,
            tabIndex: -1,
          } as const;
          const { action } = item;
          if (typeof action === "object" && item.disabled !== true)
            return (
              <a key={item.label} {...common} href={action.href} download={action.download} onClick={close}>
                {content}
              </a>
            );
          return (
            <button
              key={item.label}
              type="button"
              {...common}
              aria-disabled={item.disabled === true ? "true" : undefined}
              onClick={() => {
                if (item.disabled === true || typeof action === "object") return;
                close();
                action();
              }}
            >
              {content}
            </button>
          );
        })
      }
    </Popover>
  );
}

function moveInMenu(event: KeyboardEvent & { currentTarget: HTMLElement }): void {
  const items = [...event.currentTarget.querySelectorAll<HTMLElement>(".menu-item")];
  const current = items.indexOf(document.activeElement as HTMLElement);
  let next: number;
  if (event.key === "ArrowDown") next = (current + 1) % items.length;
  else if (event.key === "ArrowUp") next = (current - 1 + items.length) % items.length;
  else if (event.key === "Home") next = 0;
  else if (event.key === "End") next = items.length - 1;
  else if (/^\p{L}$/u.test(event.key)) {
    const following = [...items.slice(current + 1), ...items.slice(0, current + 1)];
    const found = following.find((item) => item.textContent.trim().toLowerCase().startsWith(event.key.toLowerCase()));
    next = found === undefined ? -1 : items.indexOf(found);
  } else return;
  event.preventDefault();
  items[next]?.focus();
}

const GAP = 4;
const MARGIN = 8;

function place(popup: HTMLElement, button: HTMLElement, align: "start" | "end"): void {
  const anchor = button.getBoundingClientRect();
  const { width, height } = popup.getBoundingClientRect();
  const wanted = align === "start" ? anchor.left : anchor.right - width;
  const left = Math.max(MARGIN, Math.min(wanted, innerWidth - width - MARGIN));
  const below = anchor.bottom + GAP;
  const top =
    below + height <= innerHeight - MARGIN ? below : Math.max(MARGIN, Math.min(below, anchor.top - GAP - height));
  popup.style.left = `${left}px`;
  popup.style.top = `${top}px`;
  popup.style.maxHeight = `${innerHeight - top - MARGIN}px`;
}
