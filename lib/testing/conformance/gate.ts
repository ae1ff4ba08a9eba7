/** Holds handlers until the test lets them go on. */
export class Gate {
  readonly opened: Promise<void>;
  readonly open: () => void;

  constructor() {
    let release = (): void => {};
    this.opened = new Promise((resolve) => (release = resolve));
    this.open = release;
  }
}
