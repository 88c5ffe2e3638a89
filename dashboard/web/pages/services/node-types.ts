import type { ServiceNode } from "../../../src/model/api.ts";
import type { IconName } from "../../components/icon.tsx";

/** How a kind of node is called and drawn. */
export const NODE_TYPES: Readonly<Record<ServiceNode["type"], { label: string; icon: IconName }>> = {
  service: { label: "Service", icon: "service" },
  database: { label: "Database", icon: "database" },
  cache: { label: "Cache", icon: "cache" },
  topic: { label: "Topic", icon: "messaging" },
  host: { label: "Third party", icon: "http" },
};
