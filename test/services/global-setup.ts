/** Starts what the tests need once for the whole run. */
export async function setup(): Promise<void> {}
