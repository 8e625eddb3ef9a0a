/** Sub-tables in the views that call them: fewer steps, and the same end for every packet. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { flowWord as fw, opCode, packetClass as classes, ROW_TABLES, TABLE_IN_PORT_SEC }
  from '../abi/generated.js';
import type { Desired, Op, Stage } from './model.js';
import { walk } from './reference.js';
import { buildStage, candidate, type Candidate } from './stage.js';
import { viewsOf } from './views.js';

const ALL = 0xffffffff;
const next = (imm: number): Op => ({ code: opCode.OP_NEXT, imm });
const returns = (imm: number): Op => ({ code: opCode.OP_RETURN, imm });
const end: Op = { code: opCode.OP_END };
const output: Op = { code: opCode.OP_OUTPUT };
const set = (dst: number, arg: number): Op => ({ code: opCode.OP_SET, dst, mask: ALL, arg });
/** The result into reg0, and on to table 1. */
const call: Op = { code: opCode.OP_CALL, imm: TABLE_IN_PORT_SEC, arg: 0, then: { ops: [
  { code: opCode.OP_MOVE, dst: fw.FW_REG0, src: fw.FW_RESULT, mask: 1 }, next(1)] } };

const rule = (match: readonly (readonly [number, number])[], priority: number,
  ops: readonly Op[], args: readonly number[] = []): Candidate =>
  candidate({ priority, program: { ops }, args, flow: `${priority} ${ops.length}`, drop: false,
    widened: false, term: { words: match.map(([word]) => word), masks: match.map(() => ALL),
      values: match.map(([, value]) => value) } });
type Pipeline = ReadonlyMap<number, Stage>;
const pipeline = (tables: Readonly<Record<number, readonly Candidate[]>>): Pipeline =>
  new Map(Object.entries(tables).map(([table, list]) =>
    [Number(table), buildStage(Number(table), list).stage]));

/** What northd makes of port security: the result refuses in the next table. */
const caller = [rule([[fw.FW_PKT_MARK, 9]], 90, [end]), rule([], 50, [call])];
const portSecurity = [rule([[fw.FW_INPORT, 1]], 80, [returns(0)]), rule([], 0, [returns(1)])];
const verdicts = [rule([[fw.FW_REG0, 1]], 70, [end]), rule([], 0, [next(2)])];
const rest = [rule([], 60, [set(fw.FW_REG0 + 1, 0), output], [7])];
const usual = { 0: caller, [TABLE_IN_PORT_SEC]: portSecurity, 1: verdicts, 2: rest };

function packet(inport: number, mark = 0): Uint32Array {
  const words = new Uint32Array(fw.FW_WORDS);
  words.set([0x08000000, 17 << 24 | 64 << 16], fw.FW_ETH_TYPE);
  words[fw.FW_DATAPATH] = 1;
  words[fw.FW_INPORT] = inport;
  words[fw.FW_PKT_MARK] = mark;
  return words;
}

/** Steps of a walk by views, and by stages, which must end alike. */
function steps(stages: Pipeline, words: Uint32Array): readonly [number, number] {
  const plain: Desired = { datapaths: new Map(), tunnels: new Map(), macBindings: new Map(),
    hairpins: new Map(), unsupported: [], ports: new Map(),
    dispatch: new Map([...stages].map(([table, stage]) => [`1/${table}`, stage])) };
  const byViews = walk({ ...plain, views: new Map([[1, viewsOf(stages)]]) }, words, 0);
  const byStages = walk(plain, words, 0);
  assert.equal(byViews.verdict, byStages.verdict);
  assert.equal(byViews.words, byStages.words);
  return [byViews.steps.length, byStages.steps.length];
}

test('a sub-table, its result and the tables that it decides are one step', () => {
  const stages = pipeline(usual);
  assert.equal(steps(stages, packet(1)), [1, 4], 'right');
  assert.equal(steps(stages, packet(2)), [1, 3], 'refused');
  assert.equal(steps(stages, packet(1, 9)), [1, 1], 'the caller\'s own rules come first');
});

test('arguments of all that one step does stay apart', () => {
  const sub = [rule([[fw.FW_INPORT, 1]], 80, [set(fw.FW_REG0 + 2, 1), returns(0)], [4, 5]),
    rule([], 0, [returns(1)])];
  assert.equal(steps(pipeline({ ...usual, [TABLE_IN_PORT_SEC]: sub }), packet(1)), [1, 4]);
});

test('what the result does not decide is a step', () => {
  const undecided = [rule([[fw.FW_PKT_MARK, 3]], 70, [end]), rule([], 0, [next(2)])];
  assert.equal(steps(pipeline({ ...usual, 1: undecided }), packet(1)), [3, 4]);
  const twice = [rule([], 0, [{ code: opCode.OP_DEC_TTL }, output])];
  assert.equal(steps(pipeline({ ...usual, 2: twice }), packet(1)), [2, 4], 'it may punt');
});

const callable: readonly (readonly [string, readonly Candidate[]])[] = [
  ['does not answer every packet', [rule([[fw.FW_INPORT, 1]], 80, [returns(0)])]],
  ['is looked up', [...Array.from({ length: 7 }, (_, i) =>
    rule([[fw.FW_INPORT, i + 1]], 80, [returns(0)])), rule([], 0, [returns(1)])]],
  ['may punt', [rule([[fw.FW_INPORT, 1]], 80, [{ code: opCode.OP_DEC_TTL }, returns(0)]),
    rule([], 0, [returns(1)])]],
];
for (const [why, sub] of callable) {
  test(`a sub-table that ${why} is called`, () => {
    const [byViews, byStages] = steps(pipeline({ ...usual, [TABLE_IN_PORT_SEC]: sub }), packet(1));
    assert.ok(byViews >= 3 && byStages === 4, `${byViews} of ${byStages}`);
  });
}

test('an equal view is the same object; a stage that it has in it makes another', () => {
  const cell = (classes.CLASS_UDP4 - 1) * ROW_TABLES, stages = pipeline(usual);
  const view = viewsOf(stages).get(cell);
  assert.is(viewsOf(stages).get(cell), view);
  const other = new Map([...stages, ...pipeline({ 2: [rule([], 61, [output])] })]);
  assert.is.not(viewsOf(other).get(cell), view);
  assert.equal(steps(other, packet(1)), [1, 4]);
  assert.is(viewsOf(stages).get(cell)?.nodes.length, 3);
});

test('a table that was too large to look at is looked at when it is not any more', () => {
  const many = Array.from({ length: 9 }, (_, i) => rule([[fw.FW_REG0, 2 + i]], 70, [end]));
  const large = pipeline({ ...usual, 1: [...many, rule([], 0, [next(2)])] });
  assert.equal(steps(large, packet(1)), [2, 4]);
  const small = new Map([...large, ...pipeline({ 1: [rule([], 0, [next(2)])] })]);
  assert.equal(steps(small, packet(1)), [1, 4]);
});

test.run();
