export interface Totals {
  readonly passed: number; readonly failed: number; readonly skipped: number;
}

/**
 * uvu's summary of one process, made honest: a process that died, or ended badly although
 * every test it told of passed, counts one failure; one without a summary too.
 */
export function parseTotals(output: string, exitCode: number | null): Totals {
  const last = (name: string): number | undefined => {
    const found = [...output.matchAll(new RegExp(`^ {2}${name}: +(\\d+)$`, 'gm'))].at(-1);
    return found === undefined ? undefined : Number(found[1]);
  };
  const [total, passed, skipped] = [last('Total'), last('Passed'), last('Skipped')];
  if (total === undefined || passed === undefined || skipped === undefined) {
    return { passed: 0, failed: 1, skipped: 0 };
  }
  // uvu counts skipped tests apart from the total.
  const failed = total - passed;
  return { passed, skipped, failed: failed === 0 && (exitCode !== 0 || total === 0) ? 1 : failed };
}
