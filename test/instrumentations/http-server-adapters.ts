/* What the applications of the HTTP server contract begin and end with. */

export const SERVER_HEAD: string = `const { readFileSync } = require("node:fs");
const { announce, listener, ROUTES, streamListener, toExchange } = require("./http-server-app.cjs");
const tls = () => ({ key: readFileSync(process.env.KEY), cert: readFileSync(process.env.CERT) });
`;

export const LISTEN: string = `server.listen(0, "localhost", () => announce(server.address()));`;
