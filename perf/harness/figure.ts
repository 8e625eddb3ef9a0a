/**
 * What a benchmark yields. Every figure is a ratio of two values that were measured in turn
 * in the same run: on a shared machine only such ratios mean anything.
 */
export interface Pair { readonly ours: number; readonly base: number }

export interface Target {
  /** `ratio`: of ours to base; `ours`: the value itself, which is this machine's. */
  readonly of: 'ratio' | 'ours';
  readonly is: 'at most' | 'at least';
  readonly value: number;
}

export interface Figure {
  readonly name: string;
  /** What is measured, and against what: "walk", "empty program". */
  readonly ours: string;
  readonly base: string;
  readonly unit: string;
  readonly pairs: readonly Pair[];
  readonly target?: Target;
  /** In a sweep: place on the horizontal axis. */
  readonly x?: number;
  /** In a sweep: which line it belongs to. */
  readonly series?: string;
}

export interface BenchResult {
  readonly bench: string;
  readonly about: string;
  readonly seconds: number;
  readonly figures: readonly Figure[];
  /** What could not be measured and why, and what a reader must know. */
  readonly notes: readonly string[];
  /** Where the time goes, when a target is missed. */
  readonly profile?: readonly string[];
  /** Label of the horizontal axis when figures have `x`. */
  readonly axis?: string;
}

export interface Spread {
  readonly median: number; readonly min: number; readonly max: number;
  readonly q1: number; readonly q3: number;
}

/** Value at `part` (0..1) of sorted values, between neighbours in proportion. */
export function quantile(sorted: readonly number[], part: number): number {
  const at = (sorted.length - 1) * part;
  const low = sorted[Math.floor(at)] ?? NaN, high = sorted[Math.ceil(at)] ?? NaN;
  return low + (high - low) * (at - Math.floor(at));
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const [min, q1, median, q3, max] = [0, 0.25, 0.5, 0.75, 1].map((p) => quantile(sorted, p)) as
    [number, number, number, number, number];
  return { median, min, max, q1, q3 };
}

export const ratios = ({ pairs }: Figure): number[] => pairs.map(({ ours, base }) => ours / base);
export const oursOf = ({ pairs }: Figure): number[] => pairs.map(({ ours }) => ours);
export const baseOf = ({ pairs }: Figure): number[] => pairs.map(({ base }) => base);

/** Whether the median reaches the target; undefined without one. */
export function reached(figure: Figure): boolean | undefined {
  const { target } = figure;
  if (target === undefined) return undefined;
  const { median } = spread(target.of === 'ratio' ? ratios(figure) : oursOf(figure));
  return target.is === 'at most' ? median <= target.value : median >= target.value;
}

/** Measures two things in turn, the one that goes first changing each round, so that drift
 * and warm caches favour neither. */
export async function inTurn(rounds: number, ours: () => number | Promise<number>,
  base: () => number | Promise<number>): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (let round = 0; round < rounds; round += 1) {
    if (round % 2 === 0) {
      const first = await ours();
      pairs.push({ ours: first, base: await base() });
    } else {
      const first = await base();
      pairs.push({ ours: await ours(), base: first });
    }
  }
  return pairs;
}
