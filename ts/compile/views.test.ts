/** Views against the stages they stand for: the same walk, for every packet. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { flowWord as fw, opCode, packetClass as classes, ROW_TABLES, TABLE_EGRESS,
  TABLE_IN_PORT_SEC }
  from '../abi/generated.js';
import { View as SouthboundView } from '../southbound/view.js';
import { Compiler } from './compiler.js';
import { atIngress, classOf, isKnownOp, Known } from './known.js';
import type { Desired, Op, Port, Program, Rule, Stage } from './model.js';
import { walk } from './reference.js';
import { buildStage, candidate, type Candidate } from './stage.js';
import { corpusFile, localChassis, readDatabase } from './testing.js';
import { lookupView, viewsOf } from './views.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
console.log(`  seed ${seed}`);
const ALL = 0xffffffff;

/** Walks by views and by stages alone; both must end alike, with the same packet. */
function same(desired: Desired, words: Uint32Array, table = 0): number {
  const { views: _, ...plain } = desired;
  const [a, b] = [walk(desired, words, table), walk(plain, words, table)];
  // In a loop the budget ends both somewhere.
  if (b.verdict.kind === 'punt' && b.verdict.reason === 'BUDGET') return 0;
  assert.equal(a.verdict, b.verdict);
  assert.equal(a.words, b.words);
  assert.ok(a.steps.length <= b.steps.length);
  return b.steps.length - a.steps.length;
}

// ---- Random pipelines -----------------------------------------------------------------------

/** Words with the values that rules and packets take. Class words meet all classes. */
const types = [0x0800, 0x86dd, 0x0806, 0x88cc].map((type) => (type << 16) >>> 0);
const protocols = [1, 6, 17, 58, 47].map((proto) => (proto << 24 | 64 << 16) >>> 0);
const values: ReadonlyMap<number, readonly number[]> = new Map([
  [fw.FW_REG0, [0, 1, 2, 3]], [fw.FW_REG0 + 1, [0, 1, 4]], [fw.FW_FLAGS, [0, 1, 2]],
  [fw.FW_INPORT, [1, 2]], [fw.FW_OUTPORT, [0, 1, 2, 3]], [fw.FW_RESULT, [0, 1]],
  [fw.FW_ETH_TYPE, [...types, types[0]! | 0x1005]],
  [fw.FW_IP, [...protocols, protocols[1]! | 1]],
  [fw.FW_IP_SRC + 3, [7, 8, 9]], [fw.FW_L4, [80, 443]], [fw.FW_PKT_MARK, [0, 5]],
  [fw.FW_CT_STATE, [0, 0x21]]]);
const masks: ReadonlyMap<number, readonly number[]> = new Map([
  [fw.FW_ETH_TYPE, [0xffff0000, ALL, 0x1000]], [fw.FW_IP, [0xff000000, 0xff000003, 3, 0xff0000]],
  [fw.FW_REG0, [ALL, 1, 2]]]);

const word = fc.constantFrom(...values.keys());
const term = fc.uniqueArray(word, { maxLength: 5 }).chain((words) => {
  const sorted = [...words].sort((a, b) => a - b);
  return fc.tuple(...sorted.map((w) => fc.tuple(fc.constantFrom(...masks.get(w) ?? [ALL]),
    fc.constantFrom(...values.get(w)!)))).map((pairs) => ({ words: sorted,
    masks: pairs.map(([mask]) => mask), values: pairs.map(([mask, v]) => (mask & v) >>> 0) }));
});

interface Action { readonly ops: readonly Op[]; readonly args: readonly number[] }
const written = [fw.FW_REG0, fw.FW_REG0 + 1, fw.FW_FLAGS, fw.FW_OUTPORT, fw.FW_PKT_MARK,
  fw.FW_IP_SRC + 3];
const change: fc.Arbitrary<Op> = fc.oneof(
  fc.record({ code: fc.constant(opCode.OP_SET), dst: fc.constantFrom(...written),
    mask: fc.constantFrom(ALL, 1, 3), arg: fc.nat(2) }),
  fc.record({ code: fc.constant(opCode.OP_MOVE), dst: fc.constantFrom(...written), src: word,
    shift: fc.constantFrom(0, 1, -24, 16), mask: fc.constantFrom(ALL, 1, 0xff) }),
  fc.constantFrom({ code: opCode.OP_DEC_TTL }, { code: opCode.OP_CT_CLEAR },
    { code: opCode.OP_PKT_LARGER, arg: 0 },
    { code: opCode.OP_LOOKUP_MAC, dst: fw.FW_IP_SRC, src: fw.FW_INPORT, arg: fw.FW_ETH_SRC }));

/** Ways on from a table: most to a later one, some back, some out. */
const end = (table: number): fc.Arbitrary<Op> => {
  const near = [1, 1, 1, 2].map((by) => ({ code: opCode.OP_NEXT, imm: table + by }));
  const others = [{ code: opCode.OP_OUTPUT }, { code: opCode.OP_NEXT, imm: 0 },
    { code: opCode.OP_NEXT, imm: TABLE_EGRESS }, { code: opCode.OP_END },
    { code: opCode.OP_ANSWER, imm: 1 }, { code: opCode.OP_CALL, imm: TABLE_IN_PORT_SEC, arg: 3 }];
  return fc.constantFrom<Op>(...near, ...near, ...others);
};
function withEnd(table: number, ops: readonly Op[], last: Op): Program {
  const then: Program = { ops: [{ code: opCode.OP_MOVE, dst: fw.FW_REG0, src: fw.FW_RESULT,
    mask: 1 }, { code: opCode.OP_NEXT, imm: table + 1 }] };
  const tail = last.code === opCode.OP_CALL ? [{ ...last, then }]
    : last.code === opCode.OP_ANSWER ? [last, { code: opCode.OP_NEXT, imm: table + 1 }] : [last];
  return { ops: [...ops, ...tail] };
}
const action = (table: number): fc.Arbitrary<{ program: Program } & Pick<Action, 'args'>> =>
  table >= TABLE_IN_PORT_SEC
    ? fc.record({ ops: fc.array(change, { maxLength: 1 }), imm: fc.nat(1), arg: fc.nat(3) })
      .map(({ ops, imm, arg }) => ({ args: [arg, 0, 3],
        program: { ops: [...ops, { code: opCode.OP_RETURN, imm }] } }))
    : fc.record({ ops: fc.array(change, { maxLength: 2 }), last: end(table),
      args: fc.array(fc.constantFrom(0, 1, 2, 3), { minLength: 3, maxLength: 3 }) })
      .map(({ ops, last, args }) => ({ program: withEnd(table, ops, last), args }));

const rules = (table: number): fc.Arbitrary<Candidate[]> =>
  fc.array(fc.record({ term, priority: fc.nat(3), action: action(table), flow: fc.nat(999) })
    .map(({ term: of, priority, action: { program, args }, flow }) => candidate({ term: of,
      priority, program, args, flow: `${flow}`, drop: false, widened: false })),
  { minLength: 1, maxLength: 14 });
const tables = [0, 1, 2, 3, TABLE_EGRESS, TABLE_EGRESS + 1, TABLE_IN_PORT_SEC];
const datapath = fc.tuple(...tables.map(rules)).map((all) =>
  new Map(all.map((list, i): [number, Stage] =>
    [tables[i]!, buildStage(tables[i]!, list).stage])));

const port = (of: number, number: number, more: Partial<Port>): [string, Port] =>
  [`${of}/${number}`, { datapath: of, port: number, kind: 'local', logical_port: 'p', zone: 0,
    ...more }];
function network(pipelines: readonly ReadonlyMap<number, Stage>[]): Desired {
  return { datapaths: new Map(), tunnels: new Map(), macBindings: new Map(),
    hairpins: new Map(), unsupported: [],
    dispatch: new Map(pipelines.flatMap((stages, i) =>
      [...stages].map(([table, stage]): [string, Stage] => [`${i + 1}/${table}`, stage]))),
    views: new Map(pipelines.map((stages, i) => [i + 1, viewsOf(stages)])),
    ports: new Map([1, 2].flatMap((of) => [port(of, 1, {}),
      port(of, 2, { kind: 'patch', peerDatapath: 3 - of, peerPort: 2 }),
      port(of, 3, { kind: 'remote' })])) };
}

/** What a packet brings; the rest is zero when it comes in. */
const brought = [fw.FW_INPORT, fw.FW_ETH_TYPE, fw.FW_IP, fw.FW_IP_SRC + 3, fw.FW_L4,
  fw.FW_PKT_MARK, fw.FW_RESULT];
const packets = fc.array(fc.tuple(...brought.map((w) => fc.constantFrom(...values.get(w)!))), {
  minLength: 20, maxLength: 20 }).map((list) => list.map((chosen) => {
  const words = new Uint32Array(fw.FW_WORDS);
  chosen.forEach((value, i) => { words[brought[i]!] = value; });
  words[fw.FW_DATAPATH] = 1;
  return words;
}));

test('a walk by views ends as one by stages: random pipelines, random packets', () => {
  let skipped = 0, classed = 0;
  fc.assert(fc.property(datapath, datapath, packets, (first, second, all) => {
    const desired = network([first, second]);
    for (const words of all) {
      skipped += same(desired, words);
      if (classOf(words) !== classes.CLASS_ANY) classed += 1;
      // As a packet that came by a tunnel.
      const [tunnelled, egress] = [Uint32Array.from(words), TABLE_EGRESS];
      tunnelled[fw.FW_OUTPORT] = 1;
      skipped += same(desired, tunnelled, egress);
    }
  }), { numRuns: 150, seed });
  assert.ok(skipped > 0 && classed > 0, `${skipped} stages skipped`);
});

// ---- One stage ------------------------------------------------------------------------------

function vector(pairs: readonly (readonly [number, number])[]): Uint32Array {
  const words = new Uint32Array(fw.FW_WORDS);
  for (const [at, value] of pairs) words[at] = value;
  return words;
}
const tcp4 = vector([[fw.FW_ETH_TYPE, 0x08000000], [fw.FW_IP, 6 << 24 | 64 << 16]]);

function ruleOf(match: readonly (readonly [number, number, number])[], priority: number,
  ops: readonly Op[] = [{ code: opCode.OP_NEXT, imm: 1 }]): Candidate {
  return candidate({ priority, program: { ops }, args: [1], flow: `${priority}`, drop: false,
    widened: false, term: { words: match.map(([w]) => w), masks: match.map(([, m]) => m),
      values: match.map(([, , v]) => v) } });
}
const drops: readonly Op[] = [{ code: opCode.OP_END }];
const cell = (views: ReturnType<typeof viewsOf>, table: number) => views.get(table);

test('what class and entry decide is not compared; of what is left, `next` is skipped', () => {
  const arp = ruleOf([[fw.FW_ETH_TYPE, 0xffff0000, 0x08060000]], 9, drops);
  const register = ruleOf([[fw.FW_REG0, 4, 4]], 8, drops);
  const family = ruleOf([[fw.FW_ETH_TYPE, 0xffff0000, 0x08000000], [fw.FW_L4, ALL, 80]], 7, drops);
  const rest = ruleOf([], 0);
  const views = (list: readonly Candidate[]) => viewsOf(new Map([
    [0, buildStage(0, list).stage], [1, buildStage(1, [ruleOf([], 0, drops)]).stage]]));
  assert.equal(cell(views([arp, register, family, rest]), 0)!.nodes.map(({ words }) => words),
    [[fw.FW_L4], []]);
  const skipped = cell(views([arp, register, rest]), 0)!;
  assert.is(skipped.stage.table, 1);
  // An ARP packet is dropped by it.
  const ofArp = views([arp, register, rest]).get((classes.CLASS_ARP - 1) * ROW_TABLES)!;
  assert.is(ofArp.stage.table, 0);
  assert.is(ofArp.nodes[0]!.rule!.priority, 9);
});

test('a register that one of two ways sets is not known', () => {
  const set = ruleOf([[fw.FW_L4, ALL, 80]], 5,
    [{ code: opCode.OP_SET, dst: fw.FW_REG0, mask: 1, arg: 0 }, { code: opCode.OP_NEXT, imm: 1 }]);
  const test1 = ruleOf([[fw.FW_REG0, 1, 1]], 5, drops);
  const stages = (list: readonly Candidate[]) => new Map([[0, buildStage(0, list).stage],
    [1, buildStage(1, [test1, ruleOf([], 0, [{ code: opCode.OP_OUTPUT }])]).stage]]);
  assert.is(cell(viewsOf(stages([set, ruleOf([], 0)])), 1)!.nodes.length, 2);
  assert.is(cell(viewsOf(stages([ruleOf([], 0)])), 1)!.nodes.length, 1);
});

test('of a register that rules set to very many values nothing is known', () => {
  const set = Array.from({ length: 20 }, (_, i) => candidate({ ...ruleOf([[fw.FW_L4, ALL, i]], 5,
    [{ code: opCode.OP_SET, dst: fw.FW_REG0, mask: ALL, arg: 0 },
      { code: opCode.OP_NEXT, imm: 1 }]), args: [i < 18 ? 2 : 3] }));
  const args = set.map((c, i) => ({ ...c, args: [i] }));
  const last = buildStage(1, [ruleOf([[fw.FW_REG0, ALL, 19]], 5, drops), ruleOf([], 0)]).stage;
  const left = (list: readonly Candidate[]): number => cell(viewsOf(new Map([
    [0, buildStage(0, [...list, ruleOf([], 0, drops)]).stage], [1, last]])), 1)!.nodes.length;
  assert.equal([left(set), left(args), left(args.slice(0, 9))], [1, 2, 1]);
});

test('many rules of a tuple are looked up, and ties go as in the stage', () => {
  const many = Array.from({ length: 7 }, (_, i) =>
    ruleOf([[fw.FW_L4, ALL, i]], i === 0 ? 9 : 5, [{ code: opCode.OP_END }]));
  const tie = ruleOf([[fw.FW_IP_SRC + 3, ALL, 7]], 5, [{ code: opCode.OP_OUTPUT }]);
  const { stage } = buildStage(0, [...many, tie, ruleOf([], 0)]);
  const view = cell(viewsOf(new Map([[0, stage]])), 0)!;
  assert.is(view.nodes.filter(({ shape }) => shape).length, 1);
  for (const l4 of [0, 1, 6, 7]) {
    for (const src of [7, 8]) {
      const words = Uint32Array.from(tcp4);
      words[fw.FW_L4] = l4;
      words[fw.FW_IP_SRC + 3] = src;
      const plain = stage.rules.find((r: Rule) => r.shape.words.every((w, i) =>
        ((words[w]! & r.shape.masks[i]!) >>> 0) === r.key[i]));
      assert.is(lookupView(view, words), plain);
    }
  }
});

test('a program that makes another packet, or does what is not known, has no views', () => {
  const stages = (op: Op) => new Map([[0, buildStage(0, [ruleOf([], 0, [op])]).stage]]);
  const vlan: Op = { code: opCode.OP_SET, dst: fw.FW_ETH_TYPE, mask: 0x1000, arg: 0 };
  assert.is(viewsOf(stages(vlan)).size, 0);
  assert.is(viewsOf(stages({ code: 255 })).size, 0);
  assert.ok(viewsOf(stages({ code: opCode.OP_CT_CLEAR })).size > 0);
});

test('every op of abi.h is known', () => {
  const { OP_CODES, ...codes } = opCode;
  assert.equal(Object.entries(codes).filter(([, code]) => !isKnownOp(code)), []);
  assert.not(isKnownOp(OP_CODES));
});

test('classes are as bpf/physical.h has them', () => {
  assert.is(classOf(tcp4), classes.CLASS_TCP4);
  assert.is(classOf(vector([[fw.FW_ETH_TYPE, 0x08000000], [fw.FW_IP, 6 << 24 | 1]])), 0);
  assert.is(classOf(vector([[fw.FW_ETH_TYPE, 0x08001001], [fw.FW_IP, 6 << 24]])), 0);
  assert.is(classOf(vector([[fw.FW_ETH_TYPE, 0x86dd << 16 >>> 0], [fw.FW_IP, 58 << 24]])),
    classes.CLASS_ICMP6);
  assert.is(classOf(vector([[fw.FW_ETH_TYPE, 0x08000000], [fw.FW_IP, 58 << 24]])), 0);
  assert.is(classOf(vector([[fw.FW_ETH_TYPE, 0x08060000]])), classes.CLASS_ARP);
});

test('knowledge is joined bit by bit', () => {
  const [a, b] = [new Known(), new Known()];
  a.learn(0, 0xff, 0x0f);
  b.learn(0, 0xf0f, 0x10e);
  assert.ok(a.join(b));
  assert.equal([a.masks[0], a.values[0]], [0x0e, 0x0e]);
  assert.not(a.join(b));
  assert.is(atIngress(classes.CLASS_ARP).values[fw.FW_ETH_TYPE], 0x08060000);
});

// ---- What Neutron and northd wrote ----------------------------------------------------------

/** Packets whose words are those that some rule of the datapath wants. */
function likely(stages: readonly Stage[], random: () => number): Uint32Array {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const words = vector([[fw.FW_ETH_TYPE, pick(types)], [fw.FW_IP, pick(protocols)]]);
  for (let i = 0; i < 6; i++) {
    const stage = pick(stages), rule = pick(stage.rules);
    rule.shape.words.forEach((w, k) => {
      if (w <= fw.FW_FLAGS || w === fw.FW_OUTPORT || w >= fw.FW_CT_STATE) return;
      words[w] = (words[w]! & ~rule.shape.masks[k]!) | rule.key[k]!;
    });
  }
  return words;
}

test('a walk by views ends as one by stages: Neutron\'s flows', () => {
  const rows = readDatabase(corpusFile);
  let state = seed >>> 0;
  const random = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  let skipped = 0;
  for (const { name } of rows.Chassis.values()) {
    const desired = new Compiler().compile(new SouthboundView(rows), localChassis(rows, name));
    const usable = [...desired.views!].filter(([, views]) => views.size > 0).map(([key]) => key);
    assert.equal(usable.sort(), [...desired.datapaths.keys()].sort(), 'all have views');
    for (const key of usable) {
      const stages = [...desired.dispatch].filter(([at]) => at.startsWith(`${key}/`))
        .map(([, stage]) => stage);
      for (let i = 0; i < 400; i++) {
        const words = likely(stages, random);
        words[fw.FW_DATAPATH] = key;
        skipped += same(desired, words);
        words[fw.FW_OUTPORT] = 1 + Math.floor(random() * 8);
        skipped += same(desired, words, TABLE_EGRESS);
      }
    }
  }
  assert.ok(skipped > 1000, `${skipped}`);
});

test.run();
