import { readFileSync } from "node:fs";

/** What is counted of a function, in this order. */
export const EVENTS = ["instructions", "instruction cache misses", "data cache misses", "1 MB cache misses"] as const;

/** By function: EVENTS a request. */
export type Costs = Map<string, number[]>;

/** Of V8's code: where it lies, and whose it is. */
interface Symbols {
  readonly starts: readonly number[];
  readonly sizes: ReadonlyMap<number, readonly [size: number, name: string]>;
}

/**
 * A dump of callgrind (its "Callgrind Format Specification"; events as `--cache-sim=yes` has them: Ir Dr Dw I1mr D1mr D1mw ILmr
 * DLmr DLmw) with the functions V8 compiled named after `mapFile` (`--perf-basic-prof`). Where code has replaced other
 * code, the later name counts. Throws when a file cannot be read.
 */
export function readCosts(dumpFile: string, mapFile: string, requests: number): Costs {
  const symbols = readSymbols(mapFile);
  const names = new Map<string, string>();
  const costs: Costs = new Map();
  let name = "";
  let address = 0;
  let isCall = false;
  for (const line of readFileSync(dumpFile, "latin1").split("\n")) {
    if (/^[0+*-]/.test(line)) {
      const [position = "", , ...counts] = line.split(" ");
      address = toAddress(position, address);
      // The line after "calls=" is what the called function cost, which has its own.
      if (!isCall) add(costs, isUnknown(name) ? nameAt(symbols, address) : name, counts.map(Number), requests);
      isCall = false;
    } else if (line.startsWith("calls=")) isCall = true;
    else {
      const [, kind, id = "", text] = /^(c?fn)=\((\d+)\)(?: (.*))?$/.exec(line) ?? [];
      if (kind === undefined) continue;
      if (text !== undefined) names.set(id, text);
      if (kind === "fn") name = names.get(id) ?? "";
    }
  }
  return costs;
}

function add(costs: Costs, name: string, counts: number[], requests: number): void {
  let sums = costs.get(name);
  if (sums === undefined) costs.set(name, (sums = EVENTS.map(() => 0)));
  const [ir = 0, , , i1mr = 0, d1mr = 0, d1mw = 0, ilmr = 0, dlmr = 0, dlmw = 0] = counts;
  [ir, i1mr, d1mr + d1mw, ilmr + dlmr + dlmw].forEach((count, event) => (sums[event]! += count / requests));
}

/** Positions are addresses, or distances from the one before. */
function toAddress(position: string, last: number): number {
  if (position.startsWith("+")) return last + Number(position.slice(1));
  if (position.startsWith("-")) return last - Number(position.slice(1));
  return position === "*" ? last : Number(position);
}

/** Code without a file has no name but its address. */
function isUnknown(name: string): boolean {
  return name === "???" || name.startsWith("0x");
}

function readSymbols(file: string): Symbols {
  const sizes = new Map<number, readonly [number, string]>();
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const [, address, size, name] = /^([0-9a-f]+) ([0-9a-f]+) (.*)$/.exec(line) ?? [];
    if (address !== undefined) sizes.set(parseInt(address, 16), [parseInt(size!, 16), toShown(name!)]);
  }
  return { starts: [...sizes.keys()].toSorted((a, b) => a - b), sizes };
}

function nameAt({ starts, sizes }: Symbols, address: number): string {
  let [low, high] = [0, starts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle]! <= address) low = middle + 1;
    else high = middle;
  }
  const start = starts[low - 1];
  const [size, name] = (start === undefined ? undefined : sizes.get(start)) ?? [0, ""];
  return start !== undefined && address < start + size ? name : "(other code of V8)";
}

/** Without what V8 says of how a function is compiled, and without the folders above its package. */
function toShown(name: string): string {
  return name.replace(/^\w+:[*+^~]?'?/, "").replace(/ (?:file:\/\/)?\/\S*\/node_modules\//, " ");
}
