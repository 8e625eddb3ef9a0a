/** Repeatable choices: the same seed gives the same frames on every machine. */
export class Random {
  private state: number;

  constructor(readonly seed: number) { this.state = seed >>> 0; }

  /** 32 uniform bits (a Weyl sequence through a 32-bit finalizer of murmur3's kind). */
  bits(): number {
    this.state = (this.state + 0x9e3779b9) >>> 0;
    let z = this.state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  }

  /** 0 <= result < n. */
  below(n: number): number { return Math.floor(this.bits() / 0x1_0000_0000 * n); }
  chance(probability: number): boolean { return this.bits() / 0x1_0000_0000 < probability; }

  pick<T>(choices: readonly T[]): T {
    if (choices.length === 0) throw new Error('pick() of nothing');
    return choices[this.below(choices.length)] as T;
  }

  /** Picks by weight: [[3, 'often'], [1, 'seldom']]. */
  weighted<T>(choices: readonly (readonly [number, T])[]): T {
    let point = this.below(choices.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, choice] of choices) {
      if (point < weight) return choice;
      point -= weight;
    }
    throw new Error('weighted() of nothing');
  }

  bytes(n: number): Uint8Array { return Uint8Array.from({ length: n }, () => this.below(256)); }
}
