import type { Kit } from "../../src/instrumentation/kit.ts";
import type { OperationCall } from "../../src/instrumentation/trace-operation.ts";
import type { TraceContext } from "../../src/trace/context.ts";

/*
 * Messages that an application takes from an async iterator: `for await (const message of subscription) { … }`.
 *
 * A message's span begins when the loop looks at it and ends when the loop asks for the next one, breaks or throws. The body
 * runs in the message's context. It cannot be entered where the iterator's promise settles, because an `await` comes back to
 * the context it left. But the loop reads `value` from the result after that, in its own frame with nobody else's below it,
 * right before its body: the context is entered there, by a getter, and left again where the loop reads `done`, or calls
 * `return` because of a `break` or an error. Code after the loop, and code that started it, run where they would have run.
 */

/** Begins the processing of a value; undefined for what is no message or not to be traced. Must not throw. */
type BeginProcessing<T> = (value: T) => OperationCall | undefined;

/** Makes `iterator` (an async generator, or what a compiler made of one) trace what is taken from it; changed in place. */
export function traceIteration<T, I extends AsyncIterator<T>>(iterator: I, begin: BeginProcessing<T>, kit: Kit): I {
  const iteration = new Iteration<T>(iterator, begin, kit);
  hide(iterator, "next", (...args) => iteration.next(args));
  if (iterator.return !== undefined) hide(iterator, "return", iteration.leaving(iterator.return));
  if (iterator.throw !== undefined) hide(iterator, "throw", iteration.leaving(iterator.throw));
  return iterator;
}

function hide(target: object, key: string, value: (...args: any[]) => unknown): void {
  Object.defineProperty(target, key, { value, configurable: true, writable: true });
}

class Iteration<T> {
  private readonly iterator: AsyncIterator<T>;
  private readonly pull: AsyncIterator<T>["next"];
  private readonly begin: BeginProcessing<T>;
  private readonly kit: Kit;
  /** Where the loop was started. */
  private readonly outer: TraceContext;
  /** The message the loop's body is at work on. */
  private call: OperationCall | undefined = undefined;
  private entered: TraceContext | undefined = undefined;

  constructor(iterator: AsyncIterator<T>, begin: BeginProcessing<T>, kit: Kit) {
    this.iterator = iterator;
    this.pull = iterator.next;
    this.begin = begin;
    this.kit = kit;
    this.outer = kit.tracing.active();
  }

  next(args: unknown[]): Promise<IteratorResult<T>> {
    this.finishMessage();
    // What the library does for the next message is not the last one's.
    const pulled = this.kit.tracing.run(this.outer, this.pull, this.iterator, args as []);
    return pulled.then((result) => this.observed(result));
  }

  /** `return` and `throw`: the loop is over. */
  leaving(original: (value?: any) => unknown): (...args: any[]) => unknown {
    return (...args) => {
      this.finishMessage();
      this.restore();
      return Reflect.apply(original, this.iterator, args);
    };
  }

  private finishMessage(): void {
    this.call?.succeed();
    this.call = undefined;
  }

  private observed(result: IteratorResult<T>): IteratorResult<T> {
    try {
      if (result.done === true) onFirstRead(result, "done", () => this.restore());
      else onFirstRead(result, "value", (value) => this.enter(value as T));
    } catch (error) {
      this.kit.owner.disable("iteration", error);
    }
    return result;
  }

  private enter(value: T): void {
    // A loop that asks for several at once has done with one when it looks at the next.
    this.finishMessage();
    const call = this.begin(value);
    if (call === undefined) return this.restore();
    this.call = call;
    this.entered = call.context;
    this.kit.tracing.enter(call.context);
  }

  /** Not where somebody else's context is active: a generator can be left from anywhere. */
  private restore(): void {
    if (this.entered === undefined || this.kit.tracing.active() !== this.entered) return;
    this.entered = undefined;
    this.kit.tracing.enter(this.outer);
  }
}

/** Calls `action` when `target[key]` is read for the first time; from then on it is what it was. */
function onFirstRead(target: object, key: string, action: (value: unknown) => void): void {
  const descriptor = Object.getOwnPropertyDescriptor(target, key);
  if (descriptor?.configurable !== true || !("value" in descriptor)) return;
  Object.defineProperty(target, key, {
    configurable: true,
    enumerable: descriptor.enumerable ?? true,
    get() {
      Object.defineProperty(target, key, descriptor);
      action(descriptor.value);
      return descriptor.value as unknown;
    },
    set(value: unknown) {
      Object.defineProperty(target, key, { ...descriptor, value });
    },
  });
}
