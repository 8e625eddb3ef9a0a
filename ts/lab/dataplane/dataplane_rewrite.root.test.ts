import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { abi, Dataplane, decTtl, INGRESS, ip4Word, ip6Words, macWords, move, next, output,
  outputTo, set, XDP, type TestOp, type TestRule, patch } from './dataplane.fixture.js';
import { describe, eth, hex, icmp, icmp6, ip4, ip6, raw4, tcp, udp, type Bytes, type Ip,
  type Layer4 } from '../packet.js';

const A = '02:00:00:00:00:0a', B = '02:00:00:00:00:0b', R = '02:00:00:00:00:01';
const DATA = Uint8Array.from({ length: 37 }, (_, i) => i * 7);

/** One switch whose only flow runs `ops`, then sends to port 2. */
function rewriting(ops: readonly TestOp[], args: readonly number[]): Dataplane {
  const plane = Dataplane.load();
  plane.ingress(1, 1);
  plane.datapath(1);
  plane.port(1, 2, { ifindex: 100 });
  plane.device(100);
  plane.table(1, 0, [{ ops: [...ops, set(abi.FW_OUTPORT, 15), output],
    args: [...args, ...Array<number>(15 - args.length).fill(0), 2] }]);
  plane.table(1, abi.TABLE_EGRESS, [{ ops: [output] }]);
  return plane;
}

function check(ops: readonly TestOp[], args: readonly number[],
  frames: readonly (readonly [before: Bytes, after: Bytes])[]): void {
  const plane = rewriting(ops, args);
  for (const [before, after] of frames) {
    const { action, frame } = plane.run(before);
    assert.is(action, XDP.redirect);
    assert.equal(describe(frame), describe(after));
    assert.is(hex(frame), hex(after));
  }
  plane.close();
}

const frame4 = (h: Partial<Ip>, layer4: Layer4, src = A, dst = B): Bytes =>
  eth({ src, dst }, ip4({ src: '10.0.0.1', dst: '10.0.0.2', id: 77, ...h }, layer4));
const frame6 = (h: Partial<Ip>, layer4: Layer4): Bytes =>
  eth({ src: A, dst: B }, ip6({ src: 'fd00::1', dst: 'fd00::2', ...h }, layer4));
const ports = { src: 1000, dst: 2000 };
const protocols: readonly (readonly [string, Layer4])[] = [
  ['tcp', tcp(ports, DATA)], ['udp', udp(ports, DATA)],
  ['udp without checksum', udp({ ...ports, csum: false }, DATA)],
  ['sctp', raw4(132, Uint8Array.from({ length: 40 }, (_, i) => i))],
  ['other', raw4(47, DATA)], ['empty', raw4(99, new Uint8Array())],
];

const test = suite('dataplane: rewrite');

test('TTL, TOS and Ethernet addresses', () => {
  const [high, low] = macWords(R);
  check([decTtl, set(abi.FW_ETH_DST, 0), set(abi.FW_ETH_DST + 1, 1),
    set(abi.FW_IP, 2, 0xff00)], [high, low, 0xb800],
  protocols.flatMap(([, layer4]): [Bytes, Bytes][] => [
    [frame4({ ttl: 2, tos: 3 }, layer4), frame4({ ttl: 1, tos: 0xb8 }, layer4, A, R)],
    [frame4({ ttl: 255 }, layer4), frame4({ ttl: 254, tos: 0xb8 }, layer4, A, R)],
  ]));
});

test('TTL of 0 and 1 is left to OVS', () => {
  const plane = rewriting([decTtl], []);
  for (const frame of [frame4({ ttl: 1 }, udp(ports)), frame4({ ttl: 0 }, udp(ports)),
    frame6({ ttl: 1 }, udp(ports))]) {
    const { action, frame: out } = plane.run(frame);
    assert.is(action, XDP.pass);
    assert.is(hex(out), hex(frame));
  }
  assert.equal(plane.totals(), { 'punt TTL': 3 });
  plane.close();
});

test('IPv4 addresses, with the checksums of what has a pseudo-header', () => {
  check([set(abi.FW_IP_SRC + 3, 0), set(abi.FW_IP_DST + 3, 1)],
    [ip4Word('192.0.2.200'), ip4Word('198.51.100.3')],
    [...protocols, ['icmp', icmp({ type: 8 }, DATA)] as const].map(([, layer4]) =>
      [frame4({}, layer4), frame4({ src: '192.0.2.200', dst: '198.51.100.3' }, layer4)]));
});

test('IPv6 addresses and hop limit', () => {
  check([decTtl, ...[0, 1, 2, 3].map((i) => set(abi.FW_IP_SRC + i, i)),
    ...[0, 1, 2, 3].map((i) => set(abi.FW_IP_DST + i, 4 + i))],
  [...ip6Words('2001:db8::77'), ...ip6Words('2001:db8:1:2:3:4:5:6')],
  [...protocols, ['icmp6', icmp6({ type: 128 }, DATA)] as const].map(([, layer4]) =>
    [frame6({ ttl: 9 }, layer4),
      frame6({ ttl: 8, src: '2001:db8::77', dst: '2001:db8:1:2:3:4:5:6' }, layer4)]));
});

test('ports of TCP and UDP', () => {
  const to = { src: 4000, dst: 53 };
  check([set(abi.FW_L4, 0)], [4000 << 16 | 53], [
    [frame4({}, tcp(ports, DATA)), frame4({}, tcp(to, DATA))],
    [frame4({}, udp(ports, DATA)), frame4({}, udp(to, DATA))],
    [frame4({}, udp({ ...ports, csum: false })), frame4({}, udp({ ...to, csum: false }))],
    [frame6({}, tcp(ports, DATA)), frame6({}, tcp(to, DATA))],
    [frame6({}, udp(ports, DATA)), frame6({}, udp(to, DATA))],
  ]);
});

test('a UDP checksum that becomes zero is sent as ones', () => {
  const sumless = (dst: number): Bytes => frame4({}, udp({ src: 1, dst }, new Uint8Array(2)));
  const to = Array.from({ length: 0x10000 }, (_, dst) => dst).find((dst) =>
    Buffer.from(sumless(dst)).readUInt16BE(14 + 20 + 6) === 0xffff);
  assert.ok(to !== undefined);
  check([set(abi.FW_L4, 0, 0xffff)], [to], [[sumless(to ^ 0x55), sumless(to)]]);
});

test('an echo request becomes the reply of its target', () => {
  const swap = Array.from({ length: 4 }, (_, i) => [
    move(abi.FW_TMP, abi.FW_IP_SRC + i),
    move(abi.FW_IP_SRC + i, abi.FW_IP_DST + i),
    move(abi.FW_IP_DST + i, abi.FW_TMP)]).flat();
  check([...swap, set(abi.FW_L4, 0), set(abi.FW_IP, 1, 0xff0000)], [0, 255 << 16], [
    [frame4({}, icmp({ type: 8 }, DATA)),
      frame4({ src: '10.0.0.2', dst: '10.0.0.1', ttl: 255 }, icmp({ type: 0 }, DATA))]]);
  check([...swap, set(abi.FW_L4, 0), set(abi.FW_IP, 1, 0xff0000)], [129 << 16, 255 << 16], [
    [frame6({}, icmp6({ type: 128 }, DATA)),
      frame6({ src: 'fd00::2', dst: 'fd00::1', ttl: 255 }, icmp6({ type: 129 }, DATA))]]);
});

test('nothing changed: not a byte changes, wrong layer 4 checksums included', () => {
  const frame = frame4({}, tcp(ports, DATA));
  frame[14 + 20 + 16]! ^= 0x40;
  const ones = frame4({}, udp(ports, DATA));
  ones.set([0xff, 0xff], 14 + 20 + 6);
  const padded = eth({ src: A, dst: B, padTo: 80 },
    ip4({ src: '10.0.0.1', dst: '10.0.0.2' }, udp(ports)));
  check([], [], [frame, ones, padded].map((f) => [f, f]));
});

test('what has no writer is punted before anything is written', () => {
  const address = set(abi.FW_IP_SRC + 3, 0);
  const cases: [TestOp, number, Bytes][] = [
    [set(abi.FW_ETH_TYPE, 1), 0x0800_0001, frame4({}, udp(ports))],
    [set(abi.FW_IP, 1, 0xff00_0000), 6 << 24, frame4({}, udp(ports))],
    [set(abi.FW_IP, 1, 0xff), 1, frame4({}, udp(ports))],
    [set(abi.FW_TCP_FLAGS, 1), 0x2, frame4({}, tcp(ports))],
    [set(abi.FW_L4, 1), 5, frame4({}, raw4(132, new Uint8Array(12)))],
    [set(abi.FW_L4, 1), 5, frame4({}, raw4(47, DATA))],
    [set(abi.FW_L4, 1), 0x0100_0000, frame4({}, icmp({ type: 8 }))],
    [set(abi.FW_IP6_LABEL, 1), 5, frame6({}, udp(ports))],
    [set(abi.FW_ND_TARGET, 1), 5, frame6({}, icmp6({ type: 128 }))],
  ];
  for (const [op, value, frame] of cases) {
    const plane = rewriting([address, op], [1, value]);
    const { action, frame: out } = plane.run(frame);
    assert.is(action, XDP.pass, JSON.stringify(op));
    assert.is(hex(out), hex(frame), JSON.stringify(op));
    assert.equal(plane.totals(), { 'punt REWRITE': 1 }, JSON.stringify(op));
    plane.close();
  }
});

/** Switches 1 and 3 with a router 2 between them: ports 1.3-2.1 and 2.2-3.1, VM 3.2. */
function routed(): Dataplane {
  const plane = Dataplane.load();
  plane.ingress(1, 1);
  for (const key of [1, 2, 3]) plane.datapath(key);
  plane.port(1, 1, { ifindex: INGRESS, zone: 1 });
  plane.port(1, 3, patch(2, 1));
  plane.port(2, 1, patch(1, 3));
  plane.port(2, 2, patch(3, 1));
  plane.port(3, 1, patch(2, 2));
  plane.port(3, 2, { ifindex: 100, zone: 5, mtu: 1500 });
  plane.device(100);
  const [high, low] = macWords(R);
  const toRouter = (port: number): TestRule =>
    ({ match: [[abi.FW_ETH_DST, high], [abi.FW_ETH_DST + 1, low]], ...outputTo(port) });
  plane.table(1, 0, [toRouter(3), { priority: 1, ...outputTo(1) }]);
  plane.table(3, 0, [toRouter(1), { priority: 1, ...outputTo(2) }]);
  plane.table(2, 0, [
    { match: [[abi.FW_IP_DST + 3, ip4Word('10.1.0.0'), 0xffff_0000]],
      ops: [decTtl, set(abi.FW_OUTPORT, 0), set(abi.FW_FLAGS, 1), next(20)], args: [2, 1] },
    { match: [[abi.FW_IP_DST + 3, ip4Word('10.0.0.0'), 0xffff_0000]],
      ops: [decTtl, set(abi.FW_OUTPORT, 1), set(abi.FW_FLAGS, 1), next(20)], args: [2, 1] },
  ]);
  plane.table(2, 20, [{
    ops: [move(abi.FW_REG0, abi.FW_IP_DST + 3),
      { code: abi.OP_GET_MAC, dst: abi.FW_REG0, src: abi.FW_OUTPORT, imm: abi.MAC_IP4 },
      set(abi.FW_ETH_SRC, 0), set(abi.FW_ETH_SRC + 1, 1), next(21)], args: [high, low] }]);
  plane.table(2, 21, [
    { priority: 200, match: [[abi.FW_ETH_DST, 0], [abi.FW_ETH_DST + 1, 0]],
      ops: [{ code: abi.OP_PUNT, imm: abi.PUNT_CONTROLLER }] },
    { ops: [output] }]);
  for (const key of [1, 2, 3]) plane.table(key, abi.TABLE_EGRESS, [{ ops: [output] }]);
  plane.macBinding(2, 2, [0, 0, 0, ip4Word('10.1.0.2')], B);
  plane.macBinding(2, 1, [0, 0, 0, ip4Word('10.0.0.1')], A);
  return plane;
}

test('routes from one switch to another', () => {
  const plane = routed();
  const before = frame4({ dst: '10.1.0.2' }, tcp(ports, DATA), A, R);
  const after = frame4({ dst: '10.1.0.2', ttl: 63 }, tcp(ports, DATA), R, B);
  const traced = plane.trace(before);
  assert.equal(traced.tables, ['1/0', '1/64', '2/0', '2/20', '2/21', '2/64', '3/0', '3/64']);
  assert.is(traced.ifindex, 100);
  assert.is(traced.words[abi.FW_FLAGS], 0, 'flags do not cross');
  assert.is(traced.words[abi.FW_CT_ZONE], 5);
  const { action, frame } = plane.run(before);
  assert.is(action, XDP.redirect);
  assert.equal(describe(frame), describe(after));
  assert.equal(plane.totals(), { forwarded: 1 });
  plane.close();
});

test('routes back to the port it came from: the router forgot in_port', () => {
  const plane = routed();
  const back = frame4({ dst: '10.0.0.1' }, udp(ports, DATA), A, R);
  assert.is(plane.trace(back).ifindex, INGRESS);
  const { action, frame } = plane.run(back);
  assert.is(action, XDP.redirect);
  assert.equal(describe(frame),
    describe(frame4({ dst: '10.0.0.1', ttl: 63 }, udp(ports, DATA), R, A)));
  plane.close();
});

test('without the router\'s loopback flag OVS would not send out of in_port', () => {
  const plane = routed();
  plane.table(2, 0, [{ ops: [set(abi.FW_OUTPORT, 0), next(20)], args: [1] }]);
  assert.is(plane.run(frame4({ dst: '10.0.0.1' }, udp(ports), A, R)).action, XDP.drop);
  assert.is(plane.counter('drops', abi.DROP_LOOPBACK).packets, 1);
  plane.close();
});

test('an unknown next hop punts after the TTL went down in the vector, not in the frame', () => {
  const plane = routed();
  const frame = frame4({ dst: '10.1.0.9' }, udp(ports), A, R);
  const { action, frame: out } = plane.run(frame);
  assert.is(action, XDP.pass);
  assert.is(hex(out), hex(frame));
  assert.is(plane.counter('punts', abi.PUNT_CONTROLLER).packets, 1);
  plane.close();
});

test('MAC lookups: any binding, the same MAC, another MAC, none', () => {
  const cases: [number, string, number][] = [
    [abi.MAC_IP4, A, 1], [abi.MAC_IP4, B, 0], [abi.MAC_IP4 | abi.MAC_ANY, B, 1]];
  for (const [imm, address, result] of cases) {
    const plane = rewriting([{ code: abi.OP_LOOKUP_MAC, dst: abi.FW_IP_SRC + 3,
      src: abi.FW_INPORT, imm, arg: abi.FW_ETH_SRC }], []);
    assert.is(plane.trace(frame4({}, udp(ports))).words[abi.FW_RESULT], 0, 'no binding');
    plane.macBinding(1, 1, [0, 0, 0, ip4Word('10.0.0.1')], address);
    assert.is(plane.trace(frame4({}, udp(ports))).words[abi.FW_RESULT], result);
    plane.close();
  }
});

test('packet length against a limit', () => {
  const frame = frame4({}, udp(ports, DATA));
  for (const [limit, result] of [[frame.length, 0], [frame.length - 1, 1]] as const) {
    const plane = rewriting([{ code: abi.OP_PKT_LARGER, arg: 0 }], [limit]);
    assert.is(plane.trace(frame).words[abi.FW_RESULT], result);
    plane.close();
  }
});

test.run();
