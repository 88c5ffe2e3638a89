/** Some more than V8 takes to give the function below its inline cache (about ten, Node 20 to 26). */
const READS = 50;

/**
 * Keeps methods of strings fast, in the whole process. V8 holds the properties of an object in a table from when a class is
 * made to extend it until somebody reads through it, and a method found in a table is looked up at every call: 130
 * instructions, where otherwise none remain. Through `String.prototype` nobody reads, strings being no objects, so a
 * library with `class VerbatimString extends String` (ioredis 6, redis from 5) leaves it there. Once some `String` objects have
 * been read, it is never put there again.
 */
export function keepStringMethodsFast(): void {
  const texts = [Object(""), Object.create(String.prototype), Object.assign(Object(""), { text: true })];
  for (let index = 0; index < READS; index++) readMethod(texts[index % texts.length]);
}

function readMethod(text: { readonly charCodeAt: unknown }): unknown {
  return text.charCodeAt;
}
