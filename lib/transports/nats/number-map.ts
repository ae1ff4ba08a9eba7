interface Entry<T> {
  readonly key: number;
  value: T;
  /** In its bucket. */
  below: Entry<T> | undefined;
  /** In the order in which they were set. */
  previous: Entry<T> | undefined;
  next: Entry<T> | undefined;
}

const LEAST_BUCKETS = 256;

/**
 * A `Map` from integers for what comes and goes by the thousand. The engine makes the table of its own `Map` anew every few hundred
 * changes, and each old table refers to the next: as soon as one has grown old enough for the old generation, all that was in
 * a later one is taken for alive, and moved there too, until the next full collection. In a process that had been idle once, that
 * was a quarter of its time. Here what is deleted is referred to by nothing.
 */
export class NumberMap<T> {
  #buckets = emptyBuckets<T>(LEAST_BUCKETS);
  #first: Entry<T> | undefined = undefined;
  #last: Entry<T> | undefined = undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: number): T | undefined {
    return this.#entry(key)?.value;
  }

  set(key: number, value: T): void {
    const known = this.#entry(key);
    if (known !== undefined) {
      known.value = value;
      return;
    }
    if (this.#size >= this.#buckets.length) this.#grow();
    const bucket = this.#bucketOf(key);
    const last = this.#last;
    const entry: Entry<T> = {
      key,
      value,
      below: this.#buckets[bucket],
      previous: last,
      next: undefined,
    };
    this.#buckets[bucket] = entry;
    if (last === undefined) this.#first = entry;
    else last.next = entry;
    this.#last = entry;
    this.#size++;
  }

  /** @returns whether it was there */
  delete(key: number): boolean {
    const bucket = this.#bucketOf(key);
    let above: Entry<T> | undefined;
    let entry = this.#buckets[bucket];
    while (entry !== undefined && entry.key !== key) {
      above = entry;
      entry = entry.below;
    }
    if (entry === undefined) return false;
    if (above === undefined) this.#buckets[bucket] = entry.below;
    else above.below = entry.below;
    this.#unlink(entry);
    this.#size--;
    return true;
  }

  clear(): void {
    for (let entry = this.#first; entry !== undefined; entry = this.#first) this.delete(entry.key);
  }

  /** Those of this moment, in the order in which they were set. */
  values(): T[] {
    const values: T[] = [];
    for (let entry = this.#first; entry !== undefined; entry = entry.next) values.push(entry.value);
    return values;
  }

  #entry(key: number): Entry<T> | undefined {
    let entry = this.#buckets[this.#bucketOf(key)];
    while (entry !== undefined && entry.key !== key) entry = entry.below;
    return entry;
  }

  /** There are two to a power of them; numbers that follow each other are in different ones. */
  #bucketOf(key: number): number {
    return key & (this.#buckets.length - 1);
  }

  #unlink(entry: Entry<T>): void {
    const { previous, next } = entry;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    // An old one must not keep younger ones alive.
    entry.below = undefined;
    entry.previous = undefined;
    entry.next = undefined;
  }

  #grow(): void {
    this.#buckets = emptyBuckets(2 * this.#buckets.length);
    for (let entry = this.#first; entry !== undefined; entry = entry.next) {
      const bucket = this.#bucketOf(entry.key);
      entry.below = this.#buckets[bucket];
      this.#buckets[bucket] = entry;
    }
  }
}

const emptyBuckets = <T>(count: number): (Entry<T> | undefined)[] =>
  new Array<Entry<T> | undefined>(count).fill(undefined);
