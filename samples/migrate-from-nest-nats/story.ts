const PATIENCE_MS = 20_000;

/** Prints what the services do. They run side by side: what they do for one order is printed by service. */
export class Story {
  readonly #heard: { who: string; what: string }[] = [];
  #changed = () => {};

  heading(text: string): void {
    console.log(`\n${text}`);
  }

  line(text: string): void {
    console.log(`  ${text}`);
  }

  /** Called by the services. */
  tell(who: string, what: string): void {
    this.#heard.push({ who, what });
    this.#changed();
  }

  /** Resolves when the services have told so many things about the orders, and prints them. */
  async hear(count: number): Promise<void> {
    const late = AbortSignal.timeout(PATIENCE_MS);
    while (this.#heard.length < count) {
      await new Promise<void>((resolve, reject) => {
        this.#changed = resolve;
        late.onabort = () => reject(new Error(`heard ${this.#heard.length} of ${count} things`));
      });
    }
    const byService = this.#heard.splice(0).sort((a, b) => a.who.localeCompare(b.who));
    for (const { who, what } of byService) this.line(`  ${who}: ${what}`);
  }
}

export const story = new Story();
