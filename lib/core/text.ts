/**
 * The same text, in one piece of memory of its own. What is cut out of another text keeps all of that in memory; what is joined of
 * several is kept as these, and put together anew each time something is joined with it. Half of a surrogate pair becomes U+FFFD.
 */
export const ownText = (text: string): string => Buffer.from(text).toString();
