/**
 * Stages as packets of one class see them (bpf/abi.h, "Views"). For each class what is known
 * is carried through the pipelines of a datapath, by every way that programs can take, until
 * nothing changes. A rule that contradicts it can match no packet there; a word of which all
 * is known needs no comparison; a stage of which only `next` is left is skipped; a small sub-table
 * stands in the view that calls it (inline.ts).
 *
 * A view and its stage find the same rule for every packet that the knowledge holds for
 * (views.test.ts). Flows count drops only, so a skipped `next` loses no counter.
 */
import {
  flowWord as fw, NODE_WORDS, packetClass as classes, ROW_TABLES, TABLE_EGRESS,
  TABLE_IN_PORT_SEC,
} from '../abi/generated.js';
import type { Steps } from '../base/slices.js';
import { callOf, inlined } from './inline.js';
import { atEgress, atIngress, follow, fromTunnel, isKnownOp, Known } from './known.js';
import type { Program, Rule, Stage, TupleShape, View, ViewNode, Views } from './model.js';
import { plainNext, programText } from './program.js';
import { needed } from './sets.js';

/** A tuple with no more rules than this is compared rule by rule: some 5 ns each, where a
 * lookup takes 40. */
const SINGLE_RULES = 6;
/** Words that are compared for one rule, two nodes; a lookup does not care. */
const SINGLE_WORDS = 2 * NODE_WORDS;
/** Arguments of one program that are looked at one by one. */
const EFFECTS = 16;
/** Knowledge that a stage is kept for. */
const STATES = 64;
/** Datapaths that waited for views and get them in one state, 30 ms each: a change waits for that,
 * and a state that has one has the views of one more at most. */
const WAITING = 4;

/** Rules of one tuple, in the order of the stage. */
interface Group { readonly shape: TupleShape; readonly rank: number; readonly rules: Rule[] }

const groupsOf = remember((stage: Stage): readonly Group[] => {
  const groups = new Map<TupleShape, Group>();
  for (const rule of stage.rules) {
    const group = groups.get(rule.shape);
    if (group) group.rules.push(rule);
    else groups.set(rule.shape, { shape: rule.shape, rank: groups.size, rules: [rule] });
  }
  return [...groups.values()];
});

function remember<V>(what: (stage: Stage) => V): (stage: Stage) => V {
  const known = new WeakMap<Stage, { readonly value: V }>();
  return (stage) => {
    let found = known.get(stage);
    if (!found) known.set(stage, found = { value: what(stage) });
    return found.value;
  };
}

/** As bpf/abi.h, node.order. */
const orderOf = ({ priority }: Rule, { rank }: Group): number => priority * 0x10000 + 0xffff - rank;

/** The rules of a group that `known` does not contradict. */
function left({ shape, rules }: Group, known: Known): readonly Rule[] {
  const told = shape.words.flatMap((word, i) =>
    ((shape.masks[i]! & known.masks[word]!) === 0 ? [] : [i]));
  if (told.length === 0) return rules;
  return rules.filter(({ key }) => told.every((i) => {
    const word = shape.words[i]!;
    return ((key[i]! ^ known.values[word]!) & shape.masks[i]! & known.masks[word]!) === 0;
  }));
}

/** Of a rule by what is known: a few, which classes and datapaths share. */
const singles = new WeakMap<Rule, ViewNode[]>();

/** A rule with what there is to compare yet; the same object where that is the same. */
function single(rule: Rule, order: number, known: Known): ViewNode {
  const words: number[] = [], masks: number[] = [], values: number[] = [];
  rule.shape.words.forEach((word, i) => {
    const mask = (rule.shape.masks[i]! & ~known.masks[word]!) >>> 0;
    if (mask === 0) return;
    words.push(word);
    masks.push(mask);
    values.push((rule.key[i]! & mask) >>> 0);
  });
  const others = singles.get(rule) ?? [];
  const same = others.find((other) => other.order === order && other.words.length === words.length
    && other.words.every((word, i) => word === words[i] && other.masks[i] === masks[i]));
  if (same) return same;
  const made = { order, words, masks, values, rule };
  singles.set(rule, [...others, made]);
  return made;
}
const isDecided = ({ words, masks }: TupleShape, known: Known): boolean =>
  words.every((word, i) => (masks[i]! & ~known.masks[word]!) === 0);

/** A stage under some knowledge. */
interface Seen {
  readonly view: View;
  /** The table that everybody goes to untouched. */
  readonly next: number | undefined;
  readonly effects: readonly Effect[];
}

function look(stage: Stage, known: Known): Seen {
  const groups = groupsOf(stage);
  const sure = groups.filter(({ shape }) => isDecided(shape, known))
    .flatMap((group) => left(group, known).map((rule) =>
      single(rule, orderOf(rule, group), known)));
  // A rule that matches everybody ends the stage.
  const last = sure.sort((a, b) => b.order - a.order)[0];
  const nodes: ViewNode[] = last ? [last] : [];
  const reached: Rule[] = last?.rule ? [last.rule] : [];
  for (const group of groups) {
    if (isDecided(group.shape, known)) continue;
    const rules = left(group, known).filter((rule) => orderOf(rule, group) > (last?.order ?? -1));
    const [first] = rules;
    if (!first) continue;
    for (const rule of rules) reached.push(rule);
    const ones = rules.length > SINGLE_RULES ? undefined
      : rules.map((rule) => single(rule, orderOf(rule, group), known));
    if (ones?.every(({ words }) => words.length <= SINGLE_WORDS)) nodes.push(...ones);
    else nodes.push({ order: orderOf(first, group), words: [], masks: [], values: [],
      shape: group.shape });
  }
  nodes.sort((a, b) => b.order - a.order);
  const kept = withoutEnd(nodes);
  const lookups = needed(stage.lookups, kept.map(({ shape, ...node }) => shape ?? node));
  return { view: { stage, nodes: kept, ...lookups.length > 0 ? { lookups } : {} },
    next: onlyNext(reached, last?.rule), effects: distinct(reached) };
}

/** Rules above the last one that do as it does need no comparison, if all they do is `next`. */
function withoutEnd(nodes: readonly ViewNode[]): readonly ViewNode[] {
  const last = nodes.at(-1);
  const next = last?.rule && last.words.length === 0 ? plainNext(last.rule.program) : undefined;
  if (!last || next === undefined) return nodes;
  let end = nodes.length - 1;
  while (end > 0 && nodes[end - 1]?.rule && plainNext(nodes[end - 1]!.rule!.program) === next) {
    end -= 1;
  }
  return [...nodes.slice(0, end), last];
}

function onlyNext(rules: readonly Rule[], last: Rule | undefined): number | undefined {
  const next = last && plainNext(last.program);
  return rules.every(({ program }) => plainNext(program) === next) ? next : undefined;
}

/** What a program does with these arguments; undefined: with any. */
interface Effect { readonly program: Program; readonly args: readonly number[] | undefined }

/** What rules do, each different thing once or so. */
function distinct(rules: readonly Rule[]): readonly Effect[] {
  const seen = new Map<Program, Rule[]>();
  for (const rule of rules) {
    const list = seen.get(rule.program);
    if (!list) seen.set(rule.program, [rule]);
    else if (list.length <= EFFECTS && !sameArgs(list.at(-1)!, rule)) list.push(rule);
  }
  return [...seen].flatMap(([program, list]): readonly Effect[] =>
    (list.length > EFFECTS ? [{ program, args: undefined }] : list));
}
const effectsOf = remember((stage: Stage) => distinct(stage.rules));
const sameArgs = ({ args: a }: Rule, { args: b }: Rule): boolean =>
  a === b || (a.length === b.length && a.every((arg, i) => arg === b[i]));

const seenBy = remember(() => new Map<Known, Seen>());
/** `known` as Known.once() gives it. */
function seen(stage: Stage, known: Known): Seen {
  const states = seenBy(stage);
  let found = states.get(known);
  if (!found) {
    if (states.size >= STATES) states.clear();
    states.set(known, found = look(stage, known));
  }
  return found;
}

/** Whether a stage sends packets of which `known` is known the same ways as another one. */
function leavesAlike(a: Stage, b: Stage, known: Known): boolean {
  const textOf = (stage: Stage): string => seen(stage, known).effects.map(({ program, args }) =>
    `${programText(program)} ${args?.join() ?? ''}`).sort().join();
  return textOf(a) === textOf(b);
}

/** Something that is not known is done to packets: no views. */
class Opaque extends Error {}

type Stages = ReadonlyMap<number, Stage>;

/** What is known at each table of a datapath, for one class. */
class Flow {
  private readonly at: Map<number, Known>;
  private readonly dirty = new Set<number>();

  /** `at`: what is known already; all then is. */
  private constructor(private readonly stages: Stages, at?: Map<number, Known>) {
    this.at = at ?? new Map<number, Known>();
  }

  static of(stages: Stages, of: number): Flow {
    const flow = new Flow(stages), { at, dirty } = flow;
    flow.reach(0, atIngress(of));
    flow.reach(TABLE_EGRESS, fromTunnel(of));
    while (dirty.size > 0) {
      const table = Math.min(...dirty), known = at.get(table)!.once();
      dirty.delete(table);
      at.set(table, known);
      flow.leave(table, stages.get(table)!, known);
    }
    return flow;
  }

  /** The same of stages that differ in these tables, when packets leave those as before: then
   * nothing else is known anywhere. Undefined: they do not, or it is not sure. */
  after(stages: Stages, changed: readonly number[]): Flow | undefined {
    const alike = changed.every((table) => {
      const was = this.stages.get(table), is = stages.get(table), known = this.at.get(table);
      return was && is && table < TABLE_IN_PORT_SEC && (!known || leavesAlike(was, is, known));
    });
    return alike ? new Flow(stages, this.at) : undefined;
  }

  get tables(): Iterable<number> { return this.at.keys(); }

  private reach(table: number, known: Known): void {
    if (!this.stages.has(table)) return;
    const there = this.at.get(table);
    const after = known.copy();
    // Scratch words of the program that was; what a stage asks about sets goes there.
    for (let word = fw.FW_TMP; word < fw.FW_WORDS; word++) after.forget(word);
    if (there && !there.exceeds(after)) return;
    const less = !there ? after : there.isFixed ? there.copy() : there;
    if (there) less.join(after);
    this.at.set(table, less);
    this.dirty.add(table);
  }

  private leave(table: number, stage: Stage, known: Known): void {
    for (const effect of seen(stage, known).effects) this.run(effect, known.copy(), table);
  }

  private run({ program, args }: Effect, known: Known, table: number): void {
    const where = follow(program, args, known);
    if (where === 'opaque') throw new Opaque();
    if (!where) return;
    if ('returned' in where) return;
    if ('next' in where) return this.reach(where.next, known);
    if ('output' in where) {
      if (table < TABLE_EGRESS) this.reach(TABLE_EGRESS, atEgress(known));
      return;
    }
    this.reach(where.call, known);
    const after = this.called(where.call, known);
    if (after) this.run({ program: where.then, args }, after, table);
  }

  /** What is known when a sub-table returns; undefined: it does not. */
  private called(table: number, known: Known): Known | undefined {
    const stage = this.stages.get(table);
    let after: Known | undefined;
    for (const { program, args } of stage ? effectsOf(stage) : []) {
      const way = known.copy(), where = follow(program, args, way);
      if (!where) continue;
      if (where === 'opaque' || !('returned' in where)) throw new Opaque();
      way.learn(fw.FW_RESULT, 0xffffffff, where.returned);
      if (after) after.join(way);
      else after = way;
    }
    return after;
  }

  /** The first view from `table` on that does more than go on. */
  view(table: number): View | undefined {
    for (let at = table; ;) {
      const known = this.at.get(at), stage = this.stages.get(at);
      if (!known || !stage) return undefined;
      const { view, next } = seen(stage, known);
      const inside = next !== undefined && next > stage.table && this.stages.has(next)
        && (next < TABLE_EGRESS) === (at < TABLE_EGRESS);
      if (!inside) return this.withCall(view, known);
      at = next;
    }
  }

  /** The view with the sub-table that it calls, where that can be. */
  private withCall(view: View, known: Known): View {
    const call = callOf(view);
    const sub = call && this.stages.get(call.table), at = call && this.at.get(call.table);
    return sub && at
      ? inlined(view, call, seen(sub, at).view, known, { stages: this.stages, only }) : view;
  }
}

/** The rule of a stage that all packets find of which `known` is known. */
function only(stage: Stage, known: Known): Rule | undefined {
  const [node, ...others] = look(stage, known).view.nodes;
  return node?.words.length === 0 && others.length === 0 ? node.rule : undefined;
}

const isOpaque = remember(({ rules }) => rules.some(({ program }) =>
  program.ops.some(({ code }) => !isKnownOp(code))));

/** What is known in one datapath, by class, and so what its packets see. */
class Knowledge {
  private constructor(private readonly stages: Stages, private readonly flows: readonly Flow[]) {}

  /** None when a program does what is not known. `before`: of the same datapath. How many classes
   * had to be looked at anew is added to `work`. */
  static of(stages: Stages, before: Knowledge | undefined, work: { classes: number }): Knowledge {
    if ([...stages.values()].some(isOpaque)) return new Knowledge(stages, []);
    const changed = before && [...new Set([...stages.keys(), ...before.stages.keys()])]
      .filter((table) => stages.get(table) !== before.stages.get(table));
    const flows: Flow[] = [];
    try {
      for (let of = 1; of < classes.PACKET_CLASSES; of++) {
        const same = changed && before.flows[of - 1]?.after(stages, changed);
        if (!same) work.classes += 1;
        flows.push(same ?? Flow.of(stages, of));
      }
    } catch (error) {
      if (!(error instanceof Opaque)) throw error;
      return new Knowledge(stages, []);
    }
    return new Knowledge(stages, flows);
  }

  views(): Views {
    const views = new Map<number, View>();
    for (const [i, flow] of this.flows.entries()) {
      for (const table of flow.tables) {
        const view = flow.view(table);
        if (view) views.set(i * ROW_TABLES + table, view);
      }
    }
    return views;
  }
}

/** Views by cell of struct row, of a datapath whose tables lead to `stages`. None when a
 * program does what is not known. */
export const viewsOf = (stages: Stages): Views =>
  Knowledge.of(stages, undefined, { classes: 0 }).views();

/** Views of all datapaths, from state to state. */
export class AllViews {
  readonly now = new Map<number, Views>();
  /** Those that will differ. */
  private readonly pending = new Map<number, Seeing | undefined>();
  private readonly known = new Map<number, Seeing>();
  /** Datapaths whose views are yet to be made: packets go by the stages meanwhile. */
  private waiting = new Set<number>();

  /** `limit`: of so many datapaths at most are views made for one state. `work` counts how often
   * what is known of a class of packets in a datapath was found out. */
  constructor(private readonly limit: number, private readonly work: { classes: number }) {}

  get complete(): boolean { return this.waiting.size === 0; }

  begin(): void { this.pending.clear(); }
  clear(): void {
    this.now.clear();
    this.known.clear();
    this.waiting.clear();
  }

  /** Of the datapaths whose tables differ once `changes` of `dispatch` are made, and of those that
   * wait. */
  *look(dispatch: ReadonlyMap<string, Stage>, changes: ReadonlyMap<string, Stage | undefined>):
    Steps<void> {
    const changed = new Map<number, [number, Stage | undefined][]>();
    for (const [key, stage] of changes) {
      if (dispatch.get(key) === stage) continue;
      const [datapath = 0, table = 0] = key.split('/').map(Number);
      const list = changed.get(datapath);
      if (list) list.push([table, stage]); else changed.set(datapath, [[table, stage]]);
    }
    const datapaths = new Set([...changed.keys(), ...this.waiting]);
    // The first state is not kept waiting for views, unless they are few.
    let left = datapaths.size > this.limit && changed.size === datapaths.size ? 0 : this.limit;
    let extra = Math.min(this.limit, changed.size > 0 ? 1 : WAITING);
    const later = new Set<number>();
    for (const datapath of datapaths) {
      const mine = changed.has(datapath);
      if ((mine ? left : extra) === 0) {
        later.add(datapath);
        if (this.now.has(datapath)) this.pending.set(datapath, undefined);
        continue;
      }
      if (mine) left -= 1; else extra -= 1;
      const before = this.known.get(datapath);
      const stages = before ? new Map(before.stages) : stagesOf(datapath, dispatch);
      for (const [table, stage] of changed.get(datapath) ?? []) {
        if (stage) stages.set(table, stage); else stages.delete(table);
      }
      const knowledge = Knowledge.of(stages, before?.knowledge, this.work);
      this.pending.set(datapath, stages.size === 0 ? undefined
        : { stages, knowledge, views: knowledge.views() });
      yield;
    }
    this.waiting = later;
  }

  /** Makes the changes, and says whose views they are. */
  settle(): ReadonlySet<number> {
    for (const [datapath, seeing] of this.pending) {
      if (seeing) {
        this.now.set(datapath, seeing.views);
        this.known.set(datapath, seeing);
      } else {
        this.now.delete(datapath);
        this.known.delete(datapath);
      }
    }
    return new Set(this.pending.keys());
  }
}
interface Seeing { readonly stages: Stages; readonly knowledge: Knowledge;
  readonly views: Views }

function stagesOf(datapath: number, dispatch: ReadonlyMap<string, Stage>): Map<number, Stage> {
  const stages = new Map<number, Stage>();
  for (let table = 0; table < ROW_TABLES; table++) {
    const stage = dispatch.get(`${datapath}/${table}`);
    if (stage) stages.set(table, stage);
  }
  return stages;
}

/** The rule that a walk finds in a view: what bpf/walk.h does, for tests. */
export function lookupView({ stage, nodes }: View, words: Uint32Array): Rule | undefined {
  const matches = (of: Pick<ViewNode, 'words' | 'masks'>, values: readonly number[]): boolean =>
    of.words.every((word, i) => ((words[word]! & of.masks[i]!) >>> 0) === values[i]);
  let best: { readonly order: number; readonly rule: Rule } | undefined;
  for (const node of nodes) {
    if (best && best.order > node.order) break;
    const { rule } = node;
    if (rule) {
      if (matches(node, node.values)) return rule;
      continue;
    }
    const found = stage.rules.find(({ shape, key }) => shape === node.shape && matches(shape, key));
    const order = found ? found.priority * 0x10000 + (node.order & 0xffff) : -1;
    if (found && order > (best?.order ?? -1)) best = { order, rule: found };
  }
  return best?.rule;
}
