// Runs in the page whose times are taken.

/** When the first frame with rows of the waterfall had been drawn. */
const painted = new Promise((resolve) => {
  (function look() {
    // The next frame begins after this one was drawn.
    if (rows().length > 2) requestAnimationFrame(() => resolve(performance.mark("rows drawn").startTime));
    else requestAnimationFrame(look);
  })();
});
Object.assign(globalThis, { paintMillis, scrollThrough });

function rows() {
  return document.querySelectorAll('[role="treegrid"] [role="row"]');
}

/** Milliseconds from the last byte of the answer to that frame. */
async function paintMillis(path) {
  const paintedAt = await painted;
  const fetched = performance.getEntriesByType("resource").find(({ name }) => name.endsWith(path));
  return paintedAt - fetched.responseEnd;
}

/** The times between 120 frames, each of which scrolls by ten rows. */
async function scrollThrough() {
  const scroller = [...document.querySelectorAll("*")].findLast(
    (element) => element.contains(rows()[2]) && element.scrollHeight > element.clientHeight + 50,
  );
  if (scroller === undefined) throw new Error("nothing scrolls");
  const frames = [];
  let last = performance.now();
  for (let index = 0; index < 120; index++) {
    scroller.scrollBy(0, 240);
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    frames.push(now - last);
    last = now;
  }
  return frames;
}
