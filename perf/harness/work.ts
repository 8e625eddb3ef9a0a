/**
 * What the dataplane does for a packet, counted: figures that are the same on every machine
 * and at every load, so that a regression can be told from noise.
 */
import { verdictKind, type Trace, type TraceStep } from '#ts/abi/generated.js';
import type { Desired, Rule } from '#ts/compile/model.js';
import type { Compiled } from './scenes.js';
import type { Tables } from '#ts/lab/tables.js';

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

/** The rule a step found: of its flow, or among those without one the best. */
function ruleOf(desired: Desired, tables: Tables, step: TraceStep): Rule | undefined {
  const uuid = tables.uuid(step.flow);
  const rules = desired.dispatch.get(`${step.datapath}/${step.table}`)?.rules ?? [];
  return rules.find(({ flow }) => flow === uuid);
}

const FLOW_NONE = 0xffffffff;

/** Of a walk that was traced in these tables. */
export function workOf(tables: Tables, { desired }: Compiled, traced: Trace): Work {
  const { verdict, nsteps, steps } = traced;
  const name = Object.entries(verdictKind).find(([, number]) => number === verdict)?.[0] ?? '';
  let [tests, lookups, ops] = [0, 0, 0];
  for (const step of steps.slice(0, nsteps)) {
    tests += step.tests;
    lookups += step.lookups;
    const rule = step.flow === FLOW_NONE ? undefined : ruleOf(desired, tables, step);
    ops += rule?.program.ops.length ?? 0;
  }
  return { verdict: name.replace('VERDICT_', '').toLowerCase(), steps: nsteps, tests, lookups,
    ops };
}
