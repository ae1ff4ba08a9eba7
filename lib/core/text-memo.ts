import { ownText } from './text';

/** Remembers what was made of texts, of so many at most: ones that are made up as they go must not fill the memory. */
export class TextMemo<T> {
  readonly #max: number;
  readonly #values = new Map<string, T>();

  /** @param max when there are as many, all are forgotten. Default: 1,000 */
  constructor(max = 1000) {
    this.#max = max;
  }

  get(text: string): T | undefined {
    return this.#values.get(text);
  }

  /** @returns the value */
  set(text: string, value: T): T {
    if (this.#values.size >= this.#max) this.#values.clear();
    this.#values.set(ownText(text), value);
    return value;
  }
}
