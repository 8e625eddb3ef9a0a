/** Which stage each entry of `dispatch` leads to, and so which stages nothing leads to. */
export class Uses {
  readonly #of = new Map<string, string>();
  readonly #counts = new Map<string, number>();

  constructor(entries: Iterable<readonly [string, string]> = []) {
    for (const [key, stage] of entries) this.set(key, stage);
  }

  has(stage: string): boolean { return this.#counts.has(stage); }

  /** `stage` undefined: the entry is gone. Returns the stage it led to before. */
  set(key: string, stage: string | undefined): string | undefined {
    const before = this.#of.get(key);
    if (before === stage) return before;
    if (stage === undefined) this.#of.delete(key);
    else {
      this.#of.set(key, stage);
      this.#counts.set(stage, (this.#counts.get(stage) ?? 0) + 1);
    }
    const left = before === undefined ? 0 : (this.#counts.get(before) ?? 0) - 1;
    if (before !== undefined) {
      if (left > 0) this.#counts.set(before, left); else this.#counts.delete(before);
    }
    return before;
  }
}
