import { signal } from "@preact/signals";
import type { FunctionComponent } from "preact";
import { useLayoutEffect } from "preact/hooks";
import { ErrorState, Loading } from "./states.tsx";

export interface LazyComponent<Props> extends FunctionComponent<Props> {
  /** Asks for the script, if that was not done yet. */
  load(): Promise<void>;
}

/** A component with a script of its own, for what the list does without. */
export function lazy<Props extends object>(
  label: string,
  load: () => Promise<FunctionComponent<Props>>,
): LazyComponent<Props> {
  const loaded = signal<FunctionComponent<Props> | undefined>(undefined);
  const failure = signal<unknown>(undefined);
  let loading: Promise<void> | undefined;
  const start = async (): Promise<void> => {
    try {
      loaded.value = await load();
    } catch (error) {
      failure.value = error;
    }
  };
  function Lazy(props: Props): ReturnType<FunctionComponent<Props>> {
    const Loaded = loaded.value;
    useLayoutEffect(() => void Lazy.load(), []);
    if (Loaded !== undefined) return <Loaded {...props} />;
    // A script that could not be had is not asked for again by the same document.
    if (failure.value !== undefined) return <ErrorState error={failure.value} onRetry={() => location.reload()} />;
    return <Loading label={label} />;
  }
  Lazy.load = () => (loading ??= start());
  return Lazy;
}
