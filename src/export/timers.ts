/** Node's own, taken at start: a test that replaces the global timers of its process does not stop the export. */
export const startTimer: typeof setTimeout = setTimeout;
export const stopTimer: typeof clearTimeout = clearTimeout;
