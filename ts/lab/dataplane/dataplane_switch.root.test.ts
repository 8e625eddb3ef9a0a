import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PROGRAM_CALL, PROGRAM_NEXT, PROGRAM_RETURN, puntReasons }
  from '../../abi/generated.js';
import { abi, Dataplane, hook, INGRESS, macWords, next, output, outputTo, set, XDP, type TestRule,
  patch } from './dataplane.fixture.js';
import { arp, eth, hex, ip4, udp } from '../packet.js';

const A = '02:00:00:00:00:0a', B = '02:00:00:00:00:0b';
const frame = eth({ src: A, dst: B },
  ip4({ src: '10.0.0.1', dst: '10.0.0.2' }, udp({ src: 1000, dst: 2000 })));
const delivery: TestRule = { ops: [output] };

/** One switch, datapath 1: port 1 is where frames enter, port 2 another VIF. */
function oneSwitch(rules: readonly TestRule[] = [outputTo(2)]): Dataplane {
  const plane = Dataplane.load();
  plane.ingress(1, 1);
  plane.datapath(1);
  plane.port(1, 1, { ifindex: INGRESS, zone: 7 });
  plane.port(1, 2, { ifindex: 100, zone: 8, mtu: 1500 });
  plane.device(100);
  plane.table(1, 0, rules);
  plane.table(1, abi.TABLE_EGRESS, [delivery]);
  return plane;
}

/** Runs one frame through fresh tables and gives everything that can be seen of it. */
function outcome(plane: Dataplane, bytes = frame) {
  const traced = plane.trace(bytes);
  assert.equal(plane.totals(), {}, 'a trace counts nothing');
  const { action, frame: out } = plane.run(bytes);
  const totals = plane.totals(), iface = plane.ifaceCounters();
  plane.close();
  return { action, unchanged: hex(out) === hex(bytes), totals, iface, traced };
}

const test = suite('dataplane: switch');

test('delivers to another port of the switch', () => {
  const { action, unchanged, totals, iface, traced } = outcome(oneSwitch());
  assert.is(action, XDP.redirect);
  assert.ok(unchanged);
  assert.equal(totals, { forwarded: 1 });
  assert.equal(iface, [1, 0, 0]);
  assert.is(traced.verdict, abi.VERDICT_OUTPUT);
  assert.is(traced.ifindex, 100);
  assert.equal(traced.tables, ['1/0', '1/64']);
  assert.is(traced.words[abi.FW_CT_ZONE], 8, 'zone of the port it leaves by');
});

test('registers do not survive the way to egress, flags do', () => {
  const [high, low] = [0x1234, 0x8000_0000];
  const { traced } = outcome(oneSwitch([{
    ops: [set(abi.FW_REG0, 0), set(abi.FW_REG0 + 9, 0), set(abi.FW_FLAGS, 1),
      set(abi.FW_OUTPORT, 2), output], args: [high, low, 2],
  }]));
  assert.equal([...traced.words.slice(abi.FW_REG0, 10)], Array(10).fill(0));
  assert.is(traced.words[abi.FW_FLAGS], low);
});

/** To `port`, for frames with this word. Tuples stand in the order of their best rule. */
const when = (port: number, priority: number, word: number, value: number): TestRule =>
  ({ ...outputTo(port), priority, match: [[word, value]] });
const L4 = 1000 << 16 | 2000, LOW = macWords(B)[1];

test('a better rule of a later tuple wins', () => {
  const plane = oneSwitch([
    when(3, 200, abi.FW_L4, 1), when(3, 50, abi.FW_L4, L4), when(2, 100, abi.FW_ETH_DST + 1, LOW),
  ]);
  assert.is(outcome(plane).traced.ifindex, 100);
});

test('of rules with equal priority the first tuple\'s wins', () => {
  const plane = oneSwitch([
    when(3, 200, abi.FW_L4, 1), when(2, 100, abi.FW_L4, L4),
    when(3, 150, abi.FW_ETH_DST + 1, 1), when(3, 100, abi.FW_ETH_DST + 1, LOW),
  ]);
  assert.is(outcome(plane).traced.ifindex, 100);
});

test('rules of all three key sizes, and a stage that continues in other slots', () => {
  const [hi, lo] = macWords(B);
  const size = (count: number): [number, number, number][] => Array.from({ length: count },
    (_, i) => [abi.FW_CT_STATE + i, 0, 0xffff_ffff]);
  for (const count of [2, 6, 7, 12]) {
    const plane = oneSwitch();
    plane.table(1, 0, [
      { priority: 300, match: [[abi.FW_L4, 1]], ...outputTo(1) },
      { priority: 200, match: [[abi.FW_ETH_DST, hi + 1]], ...outputTo(1) },
      { priority: 100, match: size(count), ...outputTo(2) },
      { priority: 90, match: [[abi.FW_ETH_DST + 1, lo]], ...outputTo(1) },
    ], { perSlot: 1 });
    assert.is(outcome(plane).traced.ifindex, 100, `${count} words`);
  }
});

test('drops: by a flow, without a match, without an outport, back to its port', () => {
  const cases: [TestRule[], number, number | undefined][] = [
    [[{ ops: [], flow: 9 }], abi.DROP_FLOW, 9],
    [[{ ops: [{ code: abi.OP_END }], flow: 9 }], abi.DROP_FLOW, 9],
    [[{ match: [[abi.FW_L4, 1]], ops: [output] }], abi.DROP_NO_MATCH, undefined],
    [[{ ops: [next(5)] }], abi.DROP_NO_MATCH, undefined],
    [[{ ops: [output] }], abi.DROP_NO_OUTPORT, undefined],
    [[outputTo(1)], abi.DROP_LOOPBACK, undefined],
  ];
  for (const [rules, reason, flow] of cases) {
    const plane = oneSwitch(rules);
    const flowDrops = () => plane.counter('flow_drops', 9).packets;
    plane.run(frame);
    assert.equal(plane.counter('drops', reason), { packets: 1, bytes: frame.length });
    assert.is(flowDrops(), flow === undefined ? 0 : 1);
    const { action, iface, traced } = (plane.close(), outcome(oneSwitch(rules)));
    assert.is(action, XDP.drop);
    assert.equal(iface, [0, 1, 0]);
    assert.equal([traced.verdict, traced.reason], [abi.VERDICT_DROP, reason]);
    assert.is(traced.flow, flow ?? 0xffff_ffff);
  }
});

test('hairpin only with the loopback flag', () => {
  const { action, traced } = outcome(oneSwitch([
    { ops: [set(abi.FW_FLAGS, 1), set(abi.FW_OUTPORT, 0), output], args: [1, 1] }]));
  assert.is(action, XDP.redirect);
  assert.is(traced.ifindex, INGRESS);
});

test('punts leave the frame alone and are counted by reason', () => {
  const rewriteThen = (...ops: TestRule['ops']): TestRule =>
    ({ ops: [set(abi.FW_ETH_DST, 1), ...ops], args: [2, 0xabcd] });
  const cases: [string, TestRule[], (plane: Dataplane) => void][] = [
    ['MULTICAST', [outputTo(32768)], () => {}],
    ['UNKNOWN_PORT', [outputTo(77)], () => {}],
    ['UNKNOWN_PORT', [outputTo(3)],
      (p) => p.port(1, 3, { ifindex: hook === 'xdp' ? 999 : 0 })],
    ['UNSUPPORTED_PORT', [outputTo(3)],
      (p) => p.port(1, 3, { kind: abi.PORT_PUNT, reason: abi.PUNT_UNSUPPORTED_PORT })],
    ['INTERNAL', [outputTo(3)], (p) => p.port(1, 3, { kind: 9 })],
    ['MTU', [outputTo(2)], (p) => p.port(1, 2, { ifindex: 100, mtu: 27 })],
    ['UNKNOWN_DATAPATH', [outputTo(3)], (p) => {
      p.port(1, 3, patch(2, 1));
    }],
    ['CONNTRACK', [rewriteThen({ code: abi.OP_PUNT, imm: abi.PUNT_CONNTRACK })], () => {}],
    ['INTERNAL', [rewriteThen({ code: 99 })], () => {}],
    ['INTERNAL', [rewriteThen({ code: abi.OP_RETURN })], () => {}],
    ['BUDGET', [{ ops: [next(0)] }], () => {}],
    ['REWRITE', [{ ops: [set(abi.FW_OUTPORT, 0), set(abi.FW_ETH_TYPE, 1), output],
      args: [2, 0x1234_0000] }], () => {}],
    ['DISABLED', [outputTo(2)], (p) => p.control(0)],
    ['UNKNOWN_IFACE', [outputTo(2)], (p) => p.control(1, 1)],
  ];
  for (const [reason, rules, change] of cases) {
    const plane = oneSwitch(rules);
    change(plane);
    const { action, unchanged, totals, iface, traced } = outcome(plane);
    assert.is(action, XDP.pass, reason);
    assert.ok(unchanged, reason);
    assert.equal(totals, { [`punt ${reason}`]: 1 }, reason);
    assert.equal(iface, [0, 0, 1], reason);
    assert.equal([traced.verdict, puntReasons[traced.reason]?.name],
      [abi.VERDICT_PUNT, reason], reason);
  }
});

test('a reason that does not exist is counted as our mistake', () => {
  for (const reason of [0, 999]) {
    const plane = oneSwitch([outputTo(3)]);
    plane.port(1, 3, { kind: abi.PORT_PUNT, reason });
    assert.is(plane.run(frame).action, XDP.pass);
    assert.equal(plane.totals(), { 'punt INTERNAL': 1 });
    plane.close();
  }
});

test('the other buffer is another state', () => {
  const plane = oneSwitch();
  plane.ingress(1, 1, 1);
  plane.datapath(1, 1);
  plane.port(1, 1, { ifindex: INGRESS }, 1);
  plane.table(1, 0, [{ ops: [] }], { buffer: 1 });
  assert.is(plane.run(frame).action, XDP.redirect);
  plane.control(1, 1);
  assert.is(plane.run(frame).action, XDP.drop);
  plane.control(1, 0);
  assert.is(plane.run(frame).action, XDP.redirect);
  plane.close();
});

const call: Pick<TestRule, 'ops'> =
  { ops: [{ code: abi.OP_CALL, imm: abi.TABLE_IN_PORT_SEC, arg: 0 }] };
const returnsFive: Pick<TestRule, 'ops'> = { ops: [{ code: abi.OP_RETURN, imm: 5 }] };
/** The same as programs that are their index. */
const calls: Pick<TestRule, 'ops' | 'index'> = { ops: [], index: PROGRAM_CALL };
const fives: Pick<TestRule, 'ops' | 'index'> = { ops: [], index: PROGRAM_RETURN + 5 };

test('a subroutine returns its result, and the caller goes on with its own arguments', () => {
  for (const [caller, sub] of [[call, returnsFive], [calls, fives], [calls, returnsFive]]) {
    const plane = oneSwitch();
    const after = plane.program([set(abi.FW_OUTPORT, 1), next(9)]);
    plane.table(1, 0, [{ ...caller!, args: [after, 2] }]);
    plane.table(1, abi.TABLE_IN_PORT_SEC, [
      { match: [[abi.FW_ETH_SRC + 1, macWords(A)[1]]], ...sub! }]);
    plane.table(1, 9, [{ match: [[abi.FW_RESULT, 5]], ops: [output] }]);
    const { traced } = outcome(plane);
    assert.equal(traced.tables, ['1/0', '1/128', '1/9', '1/64']);
    assert.is(traced.ifindex, 100);
  }
});

test('a caller goes on with a program that is its index', () => {
  const plane = oneSwitch([{ ...calls, args: [PROGRAM_NEXT + 9] }]);
  plane.table(1, abi.TABLE_IN_PORT_SEC, [fives]);
  plane.table(1, 9, [{ match: [[abi.FW_RESULT, 5]], ...outputTo(2) }]);
  assert.is(outcome(plane).traced.ifindex, 100);
});

test('a subroutine without a rule, in a subroutine or outside of one is our mistake', () => {
  for (const rule of [{ ...call, args: [0] }, { ...calls, args: [0] }, fives]) {
    assert.equal(outcome(oneSwitch([rule])).totals, { 'punt INTERNAL': 1 });
  }
  const plane = oneSwitch([{ ...calls, args: [0] }]);
  plane.table(1, abi.TABLE_IN_PORT_SEC, [{ ...calls, args: [0] }]);
  assert.equal(outcome(plane).totals, { 'punt INTERNAL': 1 });
});

test('an ARP request becomes its answer', () => {
  const request = eth({ src: A, dst: 'ff:ff:ff:ff:ff:ff', padTo: 60 }, arp({
    op: 1, sha: A, spa: '10.0.0.1', tha: '00:00:00:00:00:00', tpa: '10.0.0.2' }));
  const answer = eth({ src: B, dst: A, padTo: 60 }, arp({
    op: 2, sha: B, spa: '10.0.0.2', tha: A, tpa: '10.0.0.1' }));
  const { ETH_DST, ETH_SRC, THA, SHA, TMP } = {
    ETH_DST: abi.FW_ETH_DST, ETH_SRC: abi.FW_ETH_SRC, THA: abi.FW_THA, SHA: abi.FW_SHA,
    TMP: abi.FW_TMP };
  const copy = (dst: number, src: number) => ({ code: abi.OP_MOVE, dst, src, mask: 0xffffffff });
  const plane = oneSwitch([{
    match: [[abi.FW_ARP_OP, 1], [abi.FW_IP_DST + 3, 0x0a000002]],
    ops: [copy(ETH_DST, ETH_SRC), copy(ETH_DST + 1, ETH_SRC + 1), set(ETH_SRC, 0),
      set(ETH_SRC + 1, 1), set(abi.FW_ARP_OP, 2), copy(THA, SHA), copy(THA + 1, SHA + 1),
      set(SHA, 0), set(SHA + 1, 1), copy(TMP, abi.FW_IP_SRC + 3),
      copy(abi.FW_IP_SRC + 3, abi.FW_IP_DST + 3), copy(abi.FW_IP_DST + 3, TMP),
      copy(abi.FW_OUTPORT, abi.FW_INPORT), set(abi.FW_FLAGS, 3), output],
    args: [...macWords(B), 2, 1],
  }]);
  const { action, frame: out } = plane.run(request);
  plane.close();
  assert.is(action, XDP.redirect);
  assert.is(hex(out), hex(answer));
});

test.run();
