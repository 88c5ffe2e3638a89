import type { JSX } from "preact";
import { useId, useState } from "preact/hooks";
import { formatCount } from "../format.ts";

export interface Suggestion {
  value: string;
  count?: number;
}

const SHOWN = 50;

/** A field for text with what is known below it; arrows move through those, Enter takes one. Anything may be typed. */
export function SuggestField(props: {
  label: string;
  value: string;
  onInput: (value: string) => void;
  /** A suggestion was chosen, or Enter pressed in the field. */
  onChoose: (value: string) => void;
  suggestions: readonly Suggestion[];
  placeholder?: string;
  autofocus?: boolean;
  mono?: boolean;
}): JSX.Element {
  const id = useId();
  const [active, setActive] = useState(-1);
  const typed = props.value.trim().toLowerCase();
  const shown = props.suggestions.filter(({ value }) => value.toLowerCase().includes(typed)).slice(0, SHOWN);
  const optionId = (index: number): string => `${id}-${index}`;
  const move = (to: number): void => {
    setActive(to);
    document.getElementById(optionId(to))?.scrollIntoView({ block: "nearest" });
  };
  return (
    <div class="suggest">
      <label class="field">
        <span class="field-label">{props.label}</span>
        <input
          class={props.mono === true ? "input mono" : "input"}
          type="text"
          role="combobox"
          autocomplete="off"
          spellcheck={false}
          autofocus={props.autofocus}
          placeholder={props.placeholder}
          value={props.value}
          aria-autocomplete="list"
          aria-expanded={shown.length > 0}
          aria-controls={`${id}-list`}
          aria-activedescendant={active >= 0 && active < shown.length ? optionId(active) : undefined}
          onInput={(event) => {
            setActive(-1);
            props.onInput(event.currentTarget.value);
          }}
          onKeyDown={(event) => {
            if (event.key === "ArrowDown") move(Math.min(shown.length - 1, active + 1));
            else if (event.key === "ArrowUp") move(Math.max(-1, active - 1));
            else if (event.key === "Enter" && !event.isComposing)
              props.onChoose(shown[active]?.value ?? props.value.trim());
            else return;
            event.preventDefault();
          }}
        />
      </label>
      <ul class="suggest-list" id={`${id}-list`} role="listbox" aria-label={`Known: ${props.label}`}>
        {shown.map(({ value, count }, index) => (
          <li
            key={value}
            id={optionId(index)}
            role="option"
            aria-selected={index === active}
            class="suggest-option"
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => props.onChoose(value)}
          >
            <span class="truncate" title={value}>
              {value}
            </span>
            {count !== undefined && <span class="numeric faint">{formatCount(count)}</span>}
          </li>
        ))}
      </ul>
    </div>
  );
}
