// One run of the daemon, step by step: whatever it asks of the disk or the kernel waits here until it is its turn, in
// any order. When the run has ended, by a crash at any step, nothing that it still waits for ever comes back.

interface Waiting {
  readonly label: string;
  readonly go: () => void;
}

export class Steps {
  readonly #waiting: Waiting[] = [];
  readonly #say: (line: string) => void;
  /** So many steps until the run ends; -1: none. */
  crashAfter = -1;
  dead = false;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  get pending(): number {
    return this.#waiting.length;
  }

  step(label: string): Promise<void> {
    if (this.dead) return new Promise(() => {});
    return new Promise((go) => this.#waiting.push({ label, go }));
  }

  /** Lets one of those that wait go on, any or the newest. False when there is none, or the run ends with it. */
  async next(random: (limit: number) => number, newest = false): Promise<boolean> {
    await settle();
    if (this.dead || this.#waiting.length === 0) return false;
    if (this.crashAfter === 0) {
      this.end();
      return false;
    }
    if (this.crashAfter > 0) this.crashAfter--;
    const [{ label, go }] = this.#waiting.splice(newest ? -1 : random(this.#waiting.length), 1);
    this.#say(`    ${label}`);
    go();
    await settle();
    return true;
  }

  end(): void {
    this.dead = true;
    this.#waiting.length = 0;
  }
}

/** Until every promise that can has gone on. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
