import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

const METADATA = 3;

/**
 * A way to librdkafka's mock cluster of one broker through which clients find its controller. The cluster says that broker 0 is
 * the controller, and its brokers count from 1: a client that begins a transaction looks for broker 0 and finds none. Everything
 * else passes as it is. `address` is the broker's "host:port".
 */
export async function proxyController(address: string): Promise<{ address: string; close(): void }> {
  const [host = "", port] = address.split(":");
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const broker = connect(Number(port), host);
    const versions = new Map<number, number>();
    for (const socket of [client, broker]) {
      sockets.add(socket.setNoDelay());
      // The other side sees the end of the connection, whatever it was.
      socket
        .on("error", () => {})
        .on("close", () => {
          sockets.delete(socket);
          (socket === client ? broker : client).destroy();
        });
    }
    eachFrame(client, (request) => {
      if (request.readInt16BE(4) === METADATA) versions.set(request.readInt32BE(8), request.readInt16BE(6));
      broker.write(request);
    });
    eachFrame(broker, (response) => {
      const correlation = response.readInt32BE(4);
      const version = versions.get(correlation);
      if (version !== undefined) nameController(response, version, (server.address() as AddressInfo).port);
      versions.delete(correlation);
      client.write(response);
    });
  });
  await once(server.listen(0, host), "listening");
  return {
    address: `${host}:${(server.address() as AddressInfo).port}`,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** A frame begins with the length of what follows: four bytes. */
function eachFrame(socket: Socket, handle: (frame: Buffer) => void): void {
  let rest = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const length = 4 + rest.readInt32BE(0);
      handle(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
  });
}

/**
 * Makes the only broker the controller, and `port` its port. The response: correlation, throttling (from 3), brokers (id, host,
 * port, rack from 1), id of the cluster (from 2), controller (from 1), topics. From 9 it is written otherwise, and left alone:
 * kafkajs goes up to 6, this cluster up to 2.
 */
function nameController(response: Buffer, version: number, port: number): void {
  if (version > 8) return;
  let at = version >= 3 ? 12 : 8;
  if (response.readInt32BE(at) !== 1) return;
  const id = response.readInt32BE(at + 4);
  at = afterText(response, at + 8);
  response.writeInt32BE(port, at);
  at += 4;
  if (version >= 1) at = afterText(response, at);
  if (version >= 2) at = afterText(response, at);
  if (version >= 1) response.writeInt32BE(id, at);
}

/** Two bytes of length, -1 for none, and the text. */
function afterText(response: Buffer, at: number): number {
  return at + 2 + Math.max(0, response.readInt16BE(at));
}
