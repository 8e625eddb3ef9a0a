/**
 * What the dataplane does for a packet, counted: figures that are the same on every machine
 * and at every load, so that a regression can be told from noise.
 */
import { verdictKind, type Trace } from '#ts/abi/generated.js';

export interface Work {
  readonly verdict: string;
  /** Stages entered, and returns from subroutines. */
  readonly steps: number;
  /** Comparisons of a view's nodes. */
  readonly tests: number;
  /** Tuples looked up: each is two array lookups and one of a hash. */
  readonly lookups: number;
  /** Ops of the programs that ran. */
  readonly ops: number;
}

/** Of a walk that was traced. */
export function workOf(traced: Trace): Work {
  const { verdict, nsteps, steps } = traced;
  const name = Object.entries(verdictKind).find(([, number]) => number === verdict)?.[0] ?? '';
  let [tests, lookups, ops] = [0, 0, 0];
  for (const step of steps.slice(0, nsteps)) {
    tests += step.tests;
    lookups += step.lookups;
    ops += step.ops;
  }
  return { verdict: name.replace('VERDICT_', '').toLowerCase(), steps: nsteps, tests, lookups,
    ops };
}
