// Runs in the page whose times are taken.

Object.assign(globalThis, { openFromList, openedDirectly, scrollThrough });

function rows() {
  return document.querySelectorAll('[aria-label="Spans"] [role="row"]');
}

/** When the first frame with rows of the waterfall has been drawn. */
function painted() {
  return new Promise((resolve) => {
    (function look() {
      // The next frame begins after this one was drawn.
      if (rows().length > 2) requestAnimationFrame(() => resolve(performance.mark("rows drawn").startTime));
      else requestAnimationFrame(look);
    })();
  });
}

/** Clicks on the trace; milliseconds to that frame from then, and from the last byte of the trace. */
async function openFromList(traceId) {
  const link = document.querySelector(`a[href^="/trace/${traceId}"]`);
  const clickedAt = performance.now();
  link.click();
  const paintedAt = await painted();
  const answer = performance.getEntriesByType("resource").find(({ name }) => name.endsWith(`/api/traces/${traceId}`));
  return { sinceClick: paintedAt - clickedAt, sinceLastByte: paintedAt - answer.responseEnd };
}

/** Milliseconds to that frame since the page's address was opened, with nothing in the browser's cache. */
function openedDirectly() {
  return painted();
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
