/** Rows beyond the edges that are drawn too, so that a quick scroll does not show the ground. */
const MARGIN = 8;

/** Which rows of equal height to draw: from `first` up to, not including, `end`. Lengths in pixels. */
export function visibleRows(
  scrollTop: number,
  viewHeight: number,
  rowHeight: number,
  count: number,
): { first: number; end: number } {
  const last = Math.max(0, count - 1);
  const first = Math.min(last, Math.max(0, Math.floor(scrollTop / rowHeight) - MARGIN));
  const end = Math.min(count, Math.ceil((scrollTop + viewHeight) / rowHeight) + MARGIN);
  return { first, end: Math.max(end, first) };
}
