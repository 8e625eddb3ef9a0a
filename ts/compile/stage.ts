/**
 * Rules of one (datapath, table) to one stage, by OVN's rules for flows that collide.
 * Also which stages are trivial: those that all packets leave for the same next table.
 */
import { hash } from 'node:crypto';
import type { Buckets, Program, Rule, SetLookup, Stage, TupleShape, Unsupported }
  from './model.js';
import { SET_LOOKUPS } from '../abi/generated.js';
import { everything, overlap, termText, type Term } from './match.js';
import {
  bucketsText, isPunt, plainNext, programText, punt, shapeOf, shapeText,
} from './program.js';
import { lookupsOf, lookupText, withBits } from './sets.js';

/** What a flow says about the packets of one term. */
export interface Claim {
  readonly term: Term;
  readonly priority: number;
  readonly program: Program;
  readonly args: readonly number[];
  readonly buckets?: Buckets | undefined;
  readonly flow: string;
  /** From a flow whose actions are `drop;`. */
  readonly drop: boolean;
  /** Matches more than its flow does: whoever shares its priority and a packet abstains. */
  readonly widened: boolean;
}

/** A rule that may yet lose to another one with the same match. */
export interface Candidate extends Claim, Rule {}

export function candidate(
  { term, priority, program, args, buckets, flow, drop, widened }: Claim,
): Candidate {
  const shape = shapeOf(term);
  return { shape, key: term.values, priority, program, args, buckets, flow, term, drop, widened };
}

export interface BuiltStage { readonly stage: Stage; readonly unsupported: readonly Unsupported[] }

const abstain = punt('UNSUPPORTED_MATCH');

/** The candidate's effect as text; equal effects do not conflict. */
const effect = (c: Candidate): string => programText(c.program) + ':' + c.args.join()
  + bucketsText(c.buckets);

function abstaining(c: Candidate, program: Program, widened = c.widened): Candidate {
  const { term, priority, flow } = c;
  return candidate({ term, priority, flow, program, args: [], drop: false, widened });
}

/**
 * Two flows with the same match and priority: OVN installs one that is no drop before one
 * that is (controller/ofctrl.c, flow_is_preferred). Of two that are none, either may be
 * the one, so the packet is OVN's.
 */
function prefer(a: Candidate, b: Candidate, conflicts: Unsupported[]): Candidate {
  const [first, second] = a.flow <= b.flow ? [a, b] : [b, a];
  if (first.drop !== second.drop) return first.drop ? second : first;
  const same = effect(first) === effect(second);
  if (same || (isPunt(first.program) && isPunt(second.program))) {
    return second.widened && !first.widened ? abstaining(first, first.program, true) : first;
  }
  conflicts.push({ flow: first.flow, reason: 'UNSUPPORTED_ACTION',
    detail: `same match and priority as ${second.flow}, other actions` });
  return abstaining(first, punt('UNSUPPORTED_ACTION'), first.widened || second.widened);
}

/** One candidate a match and priority. */
function resolve(
  candidates: readonly Candidate[], conflicts: Unsupported[],
): readonly Candidate[] {
  if (candidates.length < 2) return candidates;
  const byMatch = new Map<string, Candidate>();
  for (const c of candidates) {
    const text = c.priority + ' ' + termText(c.term);
    const other = byMatch.get(text);
    byMatch.set(text, other ? prefer(other, c, conflicts) : c);
  }
  return [...byMatch.values()];
}

/** Rules that share priority and packets with a widened one abstain as it does. */
function contaminate(candidates: readonly Candidate[]): readonly Candidate[] {
  const widened = new Map<number, Candidate[]>();
  for (const c of candidates) {
    if (!c.widened) continue;
    const list = widened.get(c.priority);
    if (list) list.push(c); else widened.set(c.priority, [c]);
  }
  if (widened.size === 0) return candidates;
  return candidates.map((c) => {
    const others = isPunt(c.program) ? undefined : widened.get(c.priority);
    return others?.some((w) => overlap(w.term, c.term)) ? abstaining(c, abstain) : c;
  });
}

/** Rules that a packet can reach: none is below a rule that matches everything. */
function reachable(candidates: readonly Candidate[]): readonly Candidate[] {
  let floor = -1;
  for (const c of candidates) {
    if (c.term.words.length === 0) floor = Math.max(floor, c.priority);
  }
  return candidates.every((c) => c.priority >= floor) ? candidates
    : candidates.filter((c) => c.priority >= floor);
}

/** Falling priority; equal ones in the order in which a walk meets their tuples. */
function inWalkOrder(rules: readonly Candidate[]): readonly Candidate[] {
  if (rules.length < 2) return rules;
  const best = new Map<TupleShape, number>();
  for (const { shape, priority } of rules) {
    if (priority >= (best.get(shape) ?? 0)) best.set(shape, priority);
  }
  const byBest = [...best].sort(([a, x], [b, y]) => y - x || b.words.length - a.words.length
    || (shapeText(a) < shapeText(b) ? -1 : 1));
  const rank = new Map(byBest.map(([shape], i) => [shape, i]));
  return [...rules].sort((a, b) => b.priority - a.priority
    || rank.get(a.shape)! - rank.get(b.shape)!
    || (termText(a.term) < termText(b.term) ? -1 : 1));
}

/** Gives what is asked about sets its bits. A rule that asks for more than there are bits
 * abstains, and with it whoever may be its equal. */
function withLookups(candidates: readonly Candidate[], unsupported: Unsupported[]):
  { readonly candidates: readonly Candidate[]; readonly lookups: readonly SetLookup[] } {
  const all = lookupsOf(candidates.map(({ term }) => term));
  if (all.length === 0) return { candidates, lookups: all };
  const asked = new Map(all.map((lookup, bit) => [lookupText(lookup), bit]));
  const settled = candidates.map((c) => {
    const term = withBits(c.term, asked);
    if (term === c.term) return c;
    if (term) return candidate({ ...c, term });
    unsupported.push({ flow: c.flow, reason: 'UNSUPPORTED_MATCH',
      detail: `more than ${SET_LOOKUPS} address sets in one table` });
    return abstaining({ ...c, term: everything }, abstain, true);
  });
  return { candidates: settled, lookups: all.slice(0, SET_LOOKUPS) };
}

function digest(table: number, rules: readonly Candidate[], lookups: readonly SetLookup[]):
  string {
  let text = `${table}${lookups.map((lookup) => `\n${lookupText(lookup)}`).join('')}`;
  for (const { priority, term, program, args, buckets, flow } of rules) {
    text += `\n${priority} ${termText(term)} ${programText(program)} ${args.join()} ${flow}`
      + bucketsText(buckets);
  }
  return hash('sha1', text);
}

/** The stage of `table` for all flows of one datapath in it. */
export function buildStage(table: number, candidates: readonly Candidate[]): BuiltStage {
  let unsupported: Unsupported[] = [];
  let resolved = resolve(candidates, unsupported);
  if (unsupported.length > 0) {
    // Which of three conflicting flows is named depends on the order: give them one.
    unsupported = [];
    resolved = resolve([...candidates].sort((a, b) => (a.flow < b.flow ? -1 : 1)), unsupported);
  }
  const { candidates: settled, lookups } = withLookups(reachable(resolved), unsupported);
  const rules = inWalkOrder(reachable(contaminate(settled)));
  const stage = { digest: digest(table, rules, lookups), table, rules };
  return { stage: lookups.length > 0 ? { ...stage, lookups } : stage, unsupported };
}

/** The table that every packet of a stage goes to untouched, if there is one. */
export function onlyNext(stage: Stage): number | undefined {
  const last = stage.rules.at(-1);
  if (!last || last.shape.words.length > 0) return undefined;
  const next = plainNext(last.program);
  if (next === undefined) return undefined;
  return stage.rules.every((r) => plainNext(r.program) === next) ? next : undefined;
}
