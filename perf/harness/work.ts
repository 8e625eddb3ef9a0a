/**
 * What the dataplane does for a packet, counted: figures that are the same on every machine
 * and at every load, so that a regression can be told from noise.
 */
import { stage as stageCodec, verdictKind, type StageTuple, type TraceStep }
  from '#ts/abi/generated.js';
import type { Desired, Rule } from '#ts/compile/model.js';
import { u32Bytes } from '#ts/libbpf/mod.js';
import { decodeUuid } from '#ts/sync/wire.js';
import type { Compiled, Packet } from './scenes.js';
import type { Tables } from './tables.js';

export interface Work {
  readonly verdict: string;
  /** Stages entered, and returns from subroutines. */
  readonly steps: number;
  /** Tuples looked up: each is two array lookups and one of a hash. */
  readonly tuples: number;
  /** Ops of the programs that ran. */
  readonly ops: number;
}

/** The tuples of a stage in the order of a walk, over all of its slots. */
function tuplesOf(tables: Tables, slot: number): StageTuple[] {
  const list: StageTuple[] = [];
  for (let at = slot; at !== 0;) {
    const bytes = tables.map('stages')?.lookup(u32Bytes(at));
    if (bytes === undefined) throw new Error(`no stage in slot ${at}`);
    const { ntuples, tuples, more } = stageCodec.fromBytes(bytes);
    list.push(...tuples.slice(0, ntuples));
    at = more;
  }
  return list;
}

/** The rule a step found: of its flow, or among those without one the best. */
function ruleOf(desired: Desired, tables: Tables, step: TraceStep): Rule | undefined {
  const uuid = decodeUuid(tables.map('flow_uuids')?.lookup(u32Bytes(step.flow)) ??
    new Uint8Array(16));
  const rules = desired.dispatch.get(`${step.datapath}/${step.table}`)?.rules ?? [];
  return rules.find(({ flow }) => flow === uuid);
}

const FLOW_NONE = 0xffffffff;

/** A scan ends when no tuple that is left can beat the rule it has. */
function looked(tuples: readonly StageTuple[], step: TraceStep, priority: number): number {
  const found = tuples.findIndex(({ tuple }) => tuple === step.tuple);
  const end = tuples.findIndex(({ max_priority }, i) => i > found && max_priority <= priority);
  return end < 0 ? tuples.length : end;
}

export function workOf(tables: Tables, { desired, rows }: Compiled, packet: Packet): Work {
  tables.enter(packet.from === 'uplink' ? 'uplink' : `tap${packet.from}`);
  const { verdict, nsteps, steps } = tables.trace(packet.frame('first', rows));
  const name = Object.entries(verdictKind).find(([, number]) => number === verdict)?.[0] ?? '';
  let [tuples, ops] = [0, 0];
  for (const step of steps.slice(0, nsteps)) {
    if (step.stage === 0) continue;
    const list = tuplesOf(tables, step.stage);
    const rule = step.flow === FLOW_NONE ? undefined : ruleOf(desired, tables, step);
    tuples += rule === undefined ? list.length : looked(list, step, rule.priority);
    ops += rule?.program.ops.length ?? 0;
  }
  return { verdict: name.replace('VERDICT_', '').toLowerCase(), steps: nsteps, tuples, ops };
}
