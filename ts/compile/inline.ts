/**
 * Calls of sub-tables as part of the view that makes them (views.ts): it has the sub-table's rules
 * in place of its own last one, each with what follows its result: the rest of the caller's
 * program, and those of the tables after it, as long as one rule is left there. Port security so
 * takes one step instead of four.
 */
import { flowWord as fw, opCode, PROGRAM_OPS, RULE_ARGS, TABLE_EGRESS } from '../abi/generated.js';
import { ones } from './fields.js';
import { follow, type Known } from './known.js';
import type { Op, Rule, Stage, View, ViewNode } from './model.js';
import { intern } from './program.js';

/** A sub-table with more is called. */
const NODES = 48;
/** A table with more rules is not looked at for one that is left. */
const FEW_RULES = 8;

/** Ops that do nothing but change words and go on: what they do does not hang on the table. */
const plain: ReadonlySet<number> = new Set([opCode.OP_SET, opCode.OP_MOVE, opCode.OP_CT_CLEAR]);
const ends: ReadonlySet<number> = new Set([opCode.OP_NEXT, opCode.OP_OUTPUT, opCode.OP_END]);

/** All that are before the last op are plain, and that one is as it says. */
const isPlain = (list: readonly Op[], last: (code: number) => boolean): boolean =>
  list.every(({ code }, i) => i + 1 < list.length ? plain.has(code) : last(code));
const isEnd = (code: number): boolean => ends.has(code);
const isReturn = (code: number): boolean => code === opCode.OP_RETURN;
const moved = (list: readonly Op[], args: number): Op[] =>
  list.map((op) => (op.code === opCode.OP_SET ? { ...op, arg: (op.arg ?? 0) + args } : op));

/** What inlining asks of a datapath. */
export interface Around {
  readonly stages: ReadonlyMap<number, Stage>;
  /** The one rule that is left of a stage under some knowledge, if it is one. */
  only(stage: Stage, known: Known): Rule | undefined;
}

/** The rule that calls, which sub-table, and the rest of its program. */
interface Call { readonly table: number; readonly rule: Rule; readonly then: readonly Op[] }

/** The call that a view ends with, if it has nothing that stands in the stage's own tables. */
export function callOf({ nodes, lookups }: View): Call | undefined {
  const last = nodes.at(-1), rule = last?.rule, [op, ...rest] = rule?.program.ops ?? [];
  if (!rule || op?.code !== opCode.OP_CALL || !op.then || rest.length > 0) return undefined;
  const alone = last?.words.length === 0 && !lookups && nodes.every(({ shape }) => !shape);
  // Arguments are the called rule's then.
  const then = isPlain(op.then.ops, isEnd)
    && op.then.ops.every(({ code }) => code !== opCode.OP_SET) ? op.then.ops : undefined;
  return alone && then ? { table: op.imm ?? 0, rule, then } : undefined;
}

/** Whether each packet finds one of a few rules there, which returns. */
const isCallable = ({ nodes, lookups }: View): boolean =>
  nodes.length <= NODES && !lookups && nodes.at(-1)?.words.length === 0
  && nodes.every(({ rule }) => rule && isPlain(rule.program.ops, isReturn));

interface Way { readonly ops: readonly Op[]; readonly args: readonly number[];
  readonly flow: string }

/** Stages by the table that leads to them, also those that were of no use. */
type Asked = Map<number, Stage | undefined>;

/** Goes on with the programs of the tables that follow, while one rule is left in each, which
 * are noted in `asked`. */
function goOn(start: Way, table: number, from: Known, around: Around, asked: Asked): Way {
  for (let way = start, at = table; ;) {
    const known = from.copy(), where = follow({ ops: way.ops }, way.args, known);
    if (!where || where === 'opaque' || !('next' in where)) return way;
    const stage = around.stages.get(where.next);
    const onward = where.next > at && (where.next < TABLE_EGRESS) === (at < TABLE_EGRESS);
    asked.set(where.next, stage);
    if (!stage || !onward || stage.lookups || stage.rules.length > FEW_RULES) return way;
    for (let word = fw.FW_TMP; word < fw.FW_WORDS; word++) known.forget(word);
    const rule = around.only(stage, known);
    if (!rule || rule.buckets || !isPlain(rule.program.ops, isEnd)) return way;
    const ops = [...way.ops.slice(0, -1), ...moved(rule.program.ops, way.args.length)];
    const args = [...way.args, ...rule.args];
    if (ops.length > PROGRAM_OPS || args.length > RULE_ARGS) return way;
    way = { ops, args, flow: rule.flow };
    at = where.next;
  }
}

interface Made { readonly view: View; readonly asked: Asked }
/** By the sub-table's view and the caller's: an equal view has to be the same object. */
const made = new WeakMap<View, WeakMap<View, Made>>();

/** `view` with the sub-table that it calls, of which `sub` is the view; itself, when that is to be
 * called. `from`: what is known at the caller. */
export function inlined(view: View, call: Call, sub: View, from: Known, around: Around): View {
  if (!isCallable(sub)) return view;
  const before = made.get(sub)?.get(view);
  if (before && [...before.asked].every(([table, stage]) => around.stages.get(table) === stage)) {
    return before.view;
  }
  const asked: Asked = new Map();
  const nodes = sub.nodes.map((node, i): ViewNode => {
    const { program, args } = node.rule!, result = program.ops.at(-1)?.imm ?? 0;
    const whole: Way = { flow: call.rule.flow, args: [...args, result], ops: [
      ...program.ops.slice(0, -1),
      { code: opCode.OP_SET, dst: fw.FW_RESULT, mask: ones(32), arg: args.length },
      ...call.then] };
    const way = goOn(whole, view.stage.table, from, around, asked);
    // Below all of the caller's, whose order begins with a priority.
    return { ...node, order: sub.nodes.length - i, rule: { ...node.rule!,
      program: intern(way.ops), args: way.args, flow: way.flow } };
  });
  const whole = { stage: view.stage, nodes: [...view.nodes.slice(0, -1), ...nodes] };
  if (!made.has(sub)) made.set(sub, new WeakMap());
  made.get(sub)!.set(view, { view: whole, asked });
  return whole;
}
