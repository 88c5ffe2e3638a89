import type { ServiceNode } from "../../../src/model/api.ts";
import { toSearch } from "../../route.ts";

/** The list of the traces that went there. Only services can be asked for by name; for the rest an attribute says it. */
export function tracesHref({ type, name }: ServiceNode, range: string): string {
  const words = new URLSearchParams();
  if (type === "service") words.set("service", name);
  else if (type === "topic") words.set("attr", `messaging.destination.name=${name}`);
  else if (type === "host") words.set("attr", `server.address=${name.replace(/:\d+$/, "")}`);
  else {
    // `postgresql/app`: the system, and its database.
    const [system = name, namespace] = name.split(/\/(.*)/s);
    words.append("attr", `db.system.name=${system}`);
    if (type === "database" && namespace) words.append("attr", `db.namespace=${namespace}`);
  }
  if (range !== "all") words.set("since", `-${range}`);
  return `/${toSearch(words)}`;
}
