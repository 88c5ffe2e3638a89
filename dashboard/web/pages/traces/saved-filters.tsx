import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { SavedFilter } from "../../../src/model/api.ts";
import { parseFilter } from "../../../src/model/filter.ts";
import { api } from "../../api.ts";
import { Dialog } from "../../components/dialog.tsx";
import { Icon } from "../../components/icon.tsx";
import { Popover } from "../../components/popover.tsx";
import { toast } from "../../components/toast.tsx";
import { filterChips } from "./filter-chips.ts";
import { filterQuery, showQuery } from "./trace-list.ts";

const saved = signal<readonly SavedFilter[]>([]);

/** Filters that were given a name: apply, delete, and give the present one a name. */
export function SavedFilters(): JSX.Element {
  const [isNaming, setNaming] = useState(false);
  return (
    <>
      <Popover
        label="Saved filters"
        title="Saved filters"
        align="end"
        face={
          <>
            <Icon name="bookmark" size={14} />
            <span class="wide-only">Saved</span>
          </>
        }
      >
        {(close) => (
          <SavedList
            close={close}
            onSave={() => {
              close();
              setNaming(true);
            }}
          />
        )}
      </Popover>
      {isNaming && <NameDialog onClose={() => setNaming(false)} />}
    </>
  );
}

function SavedList({ close, onSave }: { close: () => void; onSave: () => void }): JSX.Element {
  useEffect(() => {
    api.savedFilters().then((filters) => (saved.value = filters), complain);
  }, []);
  return (
    <div class="choice saved-filters">
      {saved.value.length === 0 && <p class="muted">Filters you come back to can have a name here.</p>}
      <ul class="check-list">
        {saved.value.map(({ name, query }) => (
          <li key={name} class="saved-filter">
            <button
              type="button"
              class="menu-item"
              aria-current={query === filterQuery.value ? "true" : undefined}
              title={describe(query)}
              onClick={() => {
                showQuery(new URLSearchParams(query));
                close();
              }}
            >
              <span class="menu-check">{query === filterQuery.value && <Icon name="check" />}</span>
              <span class="menu-label truncate">{name}</span>
            </button>
            <button
              type="button"
              class="icon-button"
              aria-label={`Delete the filter ${name}`}
              title="Delete"
              onClick={() => {
                api.deleteFilter(name).then((filters) => (saved.value = filters), complain);
              }}
            >
              <Icon name="trash" size={14} />
            </button>
          </li>
        ))}
      </ul>
      <div class="choice-buttons">
        <button type="button" class="button" disabled={filterQuery.value === ""} onClick={onSave}>
          <Icon name="plus" size={14} /> Save this filter
        </button>
      </div>
    </div>
  );
}

function NameDialog({ onClose }: { onClose: () => void }): JSX.Element {
  const [name, setName] = useState("");
  const query = filterQuery.value;
  const isTaken = saved.value.some((other) => other.name === name.trim());
  const save = async (): Promise<void> => {
    if (name.trim() === "") return;
    try {
      saved.value = await api.saveFilter({ name: name.trim(), query });
      onClose();
      toast(`Saved as ${name.trim()}.`);
    } catch (error) {
      complain(error);
    }
  };
  return (
    <Dialog
      title="Save this filter"
      onClose={onClose}
      footer={
        <>
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="button" class="button button-primary" disabled={name.trim() === ""} onClick={() => void save()}>
            {isTaken ? "Replace" : "Save"}
          </button>
        </>
      }
    >
      <p class="muted">{describe(query)}</p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <label class="field">
          <span class="field-label">Name</span>
          <input
            class="input"
            type="text"
            autofocus
            maxLength={80}
            placeholder="Slow checkouts"
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        {isTaken && <p class="field-problem">There is one of this name; it will be replaced.</p>}
      </form>
    </Dialog>
  );
}

function describe(query: string): string {
  const chips = filterChips(parseFilter(new URLSearchParams(query)).filter);
  return chips.map(({ name, value }) => `${name}: ${value}`).join(", ");
}

function complain(error: unknown): void {
  toast(error instanceof Error ? error.message : String(error), "error");
}
