import { ownText } from './text';

const MAX_TEXTS = 1000;

/** Remembers what was made of texts, a thousand of them: ones that are made up as they go must not fill the memory. */
export class TextMemo<T> {
  readonly #values = new Map<string, T>();

  get(text: string): T | undefined {
    return this.#values.get(text);
  }

  /** @returns the value */
  set(text: string, value: T): T {
    if (this.#values.size >= MAX_TEXTS) this.#values.clear();
    this.#values.set(ownText(text), value);
    return value;
  }
}
