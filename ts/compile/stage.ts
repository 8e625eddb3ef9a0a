/**
 * Rules of one (datapath, table) to one stage, by OVN's rules for flows that collide.
 * Also which stages are trivial: those that all packets leave for the same next table.
 */
import { hash } from 'node:crypto';
import type { Program, Rule, Stage, TupleShape, Unsupported } from './model.js';
import { overlap, termText, type Term } from './match.js';
import { isPunt, plainNext, programText, punt, shapeOf, shapeText } from './program.js';

/** A rule that may yet lose to another one with the same match. */
export interface Candidate {
  readonly term: Term;
  readonly priority: number;
  readonly program: Program;
  readonly args: readonly number[];
  readonly flow: string;
  /** From a flow whose actions are `drop;`. */
  readonly drop: boolean;
  /** Matches more than its flow does: whoever shares its priority and a packet abstains. */
  readonly widened: boolean;
}

export interface BuiltStage { readonly stage: Stage; readonly unsupported: readonly Unsupported[] }

const abstain = punt('UNSUPPORTED_MATCH');

/** The candidate's effect as text; equal effects do not conflict. */
const effect = (c: Candidate): string => programText(c.program) + ':' + c.args.join();

/**
 * Two flows with the same match and priority: OVN installs one that is no drop before one
 * that is (controller/ofctrl.c, flow_is_preferred). Of two that are none, either may be
 * the one, so the packet is OVN's.
 */
function prefer(a: Candidate, b: Candidate, conflicts: Unsupported[]): Candidate {
  const [first, second] = a.flow <= b.flow ? [a, b] : [b, a];
  const widened = first.widened || second.widened;
  if (first.drop !== second.drop) return first.drop ? second : first;
  if (effect(first) === effect(second)) return { ...first, widened };
  if (isPunt(first.program) && isPunt(second.program)) return { ...first, widened };
  conflicts.push({ flow: first.flow, stage: '', reason: 'UNSUPPORTED_ACTION',
    detail: `same match and priority as ${second.flow}, other actions` });
  return { ...first, program: punt('UNSUPPORTED_ACTION'), args: [], widened };
}

/** Rules that share priority and packets with a widened one abstain as it does. */
function contaminate(candidates: Candidate[]): Candidate[] {
  const widened = new Map<number, Candidate[]>();
  for (const c of candidates) {
    if (!c.widened) continue;
    const list = widened.get(c.priority);
    if (list) list.push(c); else widened.set(c.priority, [c]);
  }
  if (widened.size === 0) return candidates;
  return candidates.map((c) => {
    const others = isPunt(c.program) ? undefined : widened.get(c.priority);
    if (!others?.some((w) => overlap(w.term, c.term))) return c;
    return { ...c, program: abstain, args: [] };
  });
}

/** Rules that a packet can reach: none is below a rule that matches everything. */
function reachable(candidates: readonly Candidate[]): Candidate[] {
  let floor = -1;
  for (const c of candidates) {
    if (c.term.words.length === 0) floor = Math.max(floor, c.priority);
  }
  return candidates.filter((c) => c.priority >= floor);
}

/** Falling priority; equal ones in the order in which a walk meets their tuples. */
function inWalkOrder(candidates: readonly Candidate[]): Rule[] {
  const best = new Map<TupleShape, number>();
  const rules = candidates.map((c): Rule & { readonly text: string } => {
    const shape = shapeOf(c.term);
    best.set(shape, Math.max(best.get(shape) ?? 0, c.priority));
    return { shape, key: c.term.values, priority: c.priority, program: c.program,
      args: c.args, flow: c.flow, text: termText(c.term) };
  });
  const byBest = [...best].sort(([a, x], [b, y]) =>
    y - x || b.words.length - a.words.length || (shapeText(a) < shapeText(b) ? -1 : 1));
  const rank = new Map(byBest.map(([shape], i) => [shape, i]));
  rules.sort((a, b) => b.priority - a.priority || rank.get(a.shape)! - rank.get(b.shape)!
    || (a.text < b.text ? -1 : 1));
  return rules.map(({ text: _, ...rule }) => rule);
}

function digest(table: number, rules: readonly Rule[]): string {
  const lines = rules.map((r) => `${r.priority} ${shapeText(r.shape)} ${r.key.join()} `
    + `${programText(r.program)} ${r.args.join()} ${r.flow}`);
  return hash('sha1', `${table}\n${lines.join('\n')}`);
}

/** The stage of `table` for all flows of one datapath in it. */
export function buildStage(table: number, candidates: readonly Candidate[]): BuiltStage {
  const unsupported: Unsupported[] = [];
  const byMatch = new Map<string, Candidate>();
  for (const c of [...candidates].sort((a, b) => (a.flow < b.flow ? -1 : +(a.flow > b.flow)))) {
    const text = c.priority + ' ' + termText(c.term);
    const other = byMatch.get(text);
    byMatch.set(text, other ? prefer(other, c, unsupported) : c);
  }
  const rules = inWalkOrder(reachable(contaminate([...byMatch.values()])));
  return { stage: { digest: digest(table, rules), table, rules }, unsupported };
}

/** The table that every packet of a stage goes to untouched, if there is one. */
export function onlyNext(stage: Stage): number | undefined {
  const last = stage.rules.at(-1);
  if (!last || last.shape.words.length > 0) return undefined;
  const next = plainNext(last.program);
  return stage.rules.every((r) => plainNext(r.program) === next) ? next : undefined;
}
