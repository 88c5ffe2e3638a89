import type { JSX } from "preact";
import { Icon, type IconName } from "./icon.tsx";

/** One choice of a few, side by side. Arrow keys move between them as in any group of radio buttons. */
export function Segmented<Value extends string>(props: {
  /** Of the group, for screen readers. */
  label: string;
  name: string;
  value: Value;
  options: readonly { value: Value; label: string; icon?: IconName; iconOnly?: boolean }[];
  onChange: (value: Value) => void;
}): JSX.Element {
  return (
    <fieldset class="segmented" aria-label={props.label}>
      {props.options.map(({ value, label, icon, iconOnly }) => (
        <label key={value} class="segment" title={iconOnly === true ? label : undefined}>
          <input
            class="visually-hidden"
            type="radio"
            name={props.name}
            value={value}
            checked={value === props.value}
            onChange={() => props.onChange(value)}
          />
          {icon !== undefined && <Icon name={icon} size={14} />}
          <span class={iconOnly === true ? "visually-hidden" : undefined}>{label}</span>
        </label>
      ))}
    </fieldset>
  );
}
