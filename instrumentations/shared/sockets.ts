import type { Socket } from "node:net";
import { sameShape } from "../../src/instrumentation/settlement.ts";

type Listener = (socket: Socket) => void;

let listeners: readonly Listener[] | undefined;

/** Calls `listener`, which must not throw, with every socket of the process that is about to connect. Loads node:net. */
export function onSocketConnect(listener: Listener): void {
  if (listeners === undefined) install();
  listeners = [...(listeners ?? []), listener];
}

/** Ends what `onSocketConnect` began. */
export function offSocketConnect(listener: Listener): void {
  listeners = listeners?.filter((each) => each !== listener);
}

function install(): void {
  const { prototype } = process.getBuiltinModule("node:net").Socket;
  const { connect: original } = prototype;
  const connect = function (this: Socket): Socket {
    for (const listener of listeners as readonly Listener[]) listener(this);
    return Reflect.apply(original, this, arguments);
  };
  prototype.connect = sameShape(connect, original as (...args: unknown[]) => unknown) as typeof original;
}
