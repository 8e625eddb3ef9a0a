/** Instructions per packet: arithmetic, and the comparison with what is checked in. Pure. */
export interface Cost { readonly name: string; readonly instructions: number }

export type Say = (line: string) => void;
/** Whether the cost of that name is wanted. */
export type Wanted = (name: string) => boolean;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (low === undefined || high === undefined) throw new Error('the median of nothing');
  return (low + high) / 2;
}

/** What one more packet takes, between two counts; what starting takes falls out. */
export function slope(take: (count: number) => number, few: number, many: number): number {
  const first = take(few);
  return (take(many) - first) / (many - few);
}
