import type { ComponentChildren, JSX } from "preact";
import { ApiFailure } from "../api.ts";
import { Icon, type IconName } from "./icon.tsx";

/** What stands where there is nothing to show: what that means, and what to do about it. */
export function EmptyState(props: { title: string; icon?: IconName; children?: ComponentChildren }): JSX.Element {
  return (
    <section class="empty-state">
      {props.icon !== undefined && <Icon name={props.icon} size={24} />}
      <h2>{props.title}</h2>
      {props.children}
    </section>
  );
}

/** What stands where something could not be shown: why, and a way to try again. */
export function ErrorState(props: { title?: string; error: unknown; onRetry?: () => void }): JSX.Element {
  const { error } = props;
  const gone = error instanceof ApiFailure && error.code === "server_gone";
  const title = props.title ?? (gone ? "The dashboard's server is gone" : "This could not be loaded");
  return (
    <section class="empty-state empty-state-error" role="alert">
      <Icon name="error" size={24} />
      <h2>{title}</h2>
      <p>{error instanceof Error ? error.message : String(error)}</p>
      {gone && (
        <p>
          Start it again with <code>npx tracekit dashboard</code>; what was received is kept.
        </p>
      )}
      {props.onRetry !== undefined && (
        <button type="button" class="button" onClick={props.onRetry}>
          <Icon name="refresh" /> Try again
        </button>
      )}
    </section>
  );
}

/** Says that something is on its way, after a moment in which most things arrive. */
export function Loading({ label }: { label: string }): JSX.Element {
  return (
    <div class="loading" role="status">
      <Icon name="in-flight" /> {label}
    </div>
  );
}
