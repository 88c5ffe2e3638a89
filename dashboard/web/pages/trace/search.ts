import { isFailed, spanIdOf, type TraceModel } from "./model.ts";

/** A span of one of the traces on the page. */
export interface Place {
  model: TraceModel;
  node: number;
}

/** 1 for each node whose name, service, detail or id holds all the words, in any case of letters. */
export function findMatches(model: TraceModel, query: string): Uint8Array {
  const { detail, tree } = model;
  const { spans, strings } = detail;
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = new Uint8Array(tree.nodeCount);
  if (words.length === 0) return found;
  // Texts stand once however many spans share them.
  const holds = words.map((word) => Uint8Array.from(strings, (text) => (text.toLowerCase().includes(word) ? 1 : 0)));
  for (let node = 0; node < tree.spanCount; node++) {
    const isMatch = words.every((word, index) => {
      const texts = holds[index]!;
      return (
        texts[spans.name[node]!] === 1 ||
        texts[spans.service[node]!] === 1 ||
        texts[spans.detail[node]!] === 1 ||
        spanIdOf(model, node).startsWith(word)
      );
    });
    if (isMatch) found[node] = 1;
  }
  return found;
}

/** 1 for each span that failed. */
export function findFailed(model: TraceModel): Uint8Array {
  return Uint8Array.from({ length: model.tree.nodeCount }, (_, node) => (isFailed(model, node) ? 1 : 0));
}

/** The next (or, with -1, previous) of those found after a place, around the end if need be, in the order of the waterfall. */
export function nextPlace(
  models: readonly TraceModel[],
  found: (model: TraceModel) => Uint8Array,
  from: Place | undefined,
  direction: 1 | -1,
): Place | undefined {
  const places = models.flatMap((model) => {
    const mask = found(model);
    return Array.from(
      model.tree.order.filter((node) => mask[node] === 1),
      (node): Place => ({ model, node }),
    );
  });
  if (places.length === 0) return undefined;
  const rank = ({ model, node }: Place): number => models.indexOf(model) * 1e9 + model.tree.position[node]!;
  const here = from === undefined ? (direction === 1 ? -1 : Infinity) : rank(from);
  if (direction === 1) return places.find((place) => rank(place) > here) ?? places[0];
  return places.findLast((place) => rank(place) < here) ?? places.at(-1);
}
