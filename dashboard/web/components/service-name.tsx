import type { JSX } from "preact";
import { serviceColour } from "../service-colour.ts";

/** A service's name with its colour beside it. */
export function ServiceName({ service }: { service: string }): JSX.Element {
  return (
    <span class="service-name" title={service}>
      <span class="service-swatch" style={{ "--service": serviceColour(service) }} aria-hidden="true" />
      <span class="service-label">{service}</span>
    </span>
  );
}
