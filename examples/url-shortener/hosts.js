// What lines in /etc/hosts would do, had we root: HOSTS="analytics=127.0.0.1" gives names to this machine's services, as
// Docker Compose and Kubernetes do. Part of the demo, not of the application.
import dns from "node:dns";

const hosts = new Map((process.env.HOSTS ?? "").split(",").map((pair) => pair.split("=")));
const { lookup } = dns;

dns.lookup = (name, ...rest) => lookup(hosts.get(name) ?? name, ...rest);
