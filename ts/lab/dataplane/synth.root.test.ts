/**
 * Answers of ovn-controller made in the dataplane: OVN's own action texts compiled, frames in,
 * answers out, compared with frames that the packet builder composes from what pinctrl.c of OVN
 * v23.03.1 says.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { abi, Dataplane, hook, INGRESS, set, UNDERLAY, XDP, type TestRule }
  from './dataplane.fixture.js';
import { compileActions } from '../../compile/action.js';
import type { Stage } from '../../compile/model.js';
import { walk } from '../../compile/reference.js';
import { parseActions } from '../../lflow/action_parse.js';
import { symbolTable } from '../../lflow/fields.js';
import { describe, eth, geneve, hex, icmp, icmp6, ip4, ip6, raw4, sum16, tcp, udp, type Bytes,
  type Ip, type Layer3, type Layer4 } from '../packet.js';

const VM = '02:00:00:00:00:0a', PEER = '02:00:00:00:00:0b', LRP = '02:00:00:00:00:01';
const DF = 0x4000, RST = 0x04, RST_ACK = 0x14;
const REJECT = 'reg0 = 0; reject { outport <-> inport; next(pipeline=egress,table=5); };';
const ports: Readonly<Record<string, number>> = { vm: 1, far: 4 };

/** A text of OVN as ops and arguments. */
function actions(text: string, pipeline: 'ingress' | 'egress' = 'ingress'): TestRule {
  const context = { pipeline, table: 3, tables: 40, release: '23.03' } as const;
  const parsed = parseActions(text, context, symbolTable('23.03'));
  if (!parsed.actions) throw new Error(parsed.problems[0]?.message);
  const compiled = compileActions(parsed.actions, { port: (name) => ports[name] });
  if ('reason' in compiled) throw new Error(compiled.detail);
  return { ops: compiled.program.ops, args: compiled.args, flow: 7 };
}

/** Datapath 1 with a VM at port 1, which is where frames come from; `text` is its table 0. */
function network(text: string): Dataplane {
  const plane = Dataplane.load();
  plane.ingress(1, 1);
  plane.datapath(1);
  plane.port(1, 1, { ifindex: INGRESS });
  plane.port(1, 4, { kind: abi.PORT_REMOTE, tunnel: 1 });
  plane.tunnel(1, { local: '192.0.2.1', remote: '192.0.2.2', ethSrc: LRP, ethDst: PEER });
  plane.device(UNDERLAY);
  plane.table(1, 0, [actions(text)]);
  plane.table(1, 4, [actions('output;')]);
  for (const table of [0, 5]) plane.table(1, abi.TABLE_EGRESS + table, [actions('output;')]);
  return plane;
}

const payload = (size: number): Bytes => Uint8Array.from({ length: size }, (_, i) => i * 7 + 1);
const from4 = { src: '10.0.0.5', dst: '10.0.0.9' }, to4 = { src: '10.0.0.9', dst: '10.0.0.5' };
const from6 = { src: 'fd00::5', dst: 'fd00::9' }, to6 = { src: 'fd00::9', dst: 'fd00::5' };
const sent4 = (l4: Layer4, ip: Partial<Ip> = {}, padTo = 0): Bytes =>
  eth({ src: VM, dst: PEER, padTo }, ip4({ ...from4, tos: 0x2a, id: 77, ttl: 9, ...ip }, l4));
const sent6 = (l4: Layer4, ip: Partial<Ip> = {}): Bytes =>
  eth({ src: VM, dst: PEER }, ip6({ ...from6, tos: 0x2a, ttl: 9, ...ip }, l4));
const back = (layer3: Layer3): Bytes => eth({ src: PEER, dst: VM }, layer3);
/** What an error quotes of a frame, given as the frame without padding. */
const quote4 = (frame: Bytes): Bytes => frame.subarray(14, 14 + 534);
const quote6 = (frame: Bytes): Bytes => frame.subarray(14, 14 + 1218);
const unreachable4 = (frame: Bytes, code: number): Bytes =>
  back(ip4({ ...to4, ttl: 255, frag: DF }, icmp({ type: 3, code, rest: 0 }, quote4(frame))));
const unreachable6 = (frame: Bytes, code: number): Bytes =>
  back(ip6({ ...to6, ttl: 255 }, icmp6({ type: 1, code, rest: 0 }, quote6(frame))));
const reset4 = (ack: number): Bytes => back(ip4({ ...to4, ttl: 63, frag: DF },
  tcp({ src: 80, dst: 4000, flags: RST_ACK, seq: 0, ack, window: 0 })));
const reset6 = (ack: number): Bytes => back(ip6({ ...to6, ttl: 63 },
  tcp({ src: 80, dst: 4000, flags: RST_ACK, seq: 0, ack, window: 0 })));
const client = { src: 4000, dst: 80 };

const test = suite('dataplane: answers');

/** TC answers only what cannot have a checksum that the device is to complete: ctx_skb.h. */
const leftInTc = (frame: Bytes): boolean =>
  hook === 'tc' && ![1, 6, 58].includes(frame[frame[12] === 8 ? 23 : 20] ?? 0);

function isLeft(plane: Dataplane, frame: Bytes, reason: string): void {
  const { action, frame: out } = plane.run(frame);
  assert.is(action, XDP.pass);
  assert.is(hex(out), hex(frame));
  assert.equal(plane.totals(), { [`punt ${reason}`]: 1 });
  plane.close();
}

/** Sends `frame`; what comes back is `expected`, on the wire. */
function answers(plane: Dataplane, frame: Bytes, expected: Bytes): void {
  if (leftInTc(frame)) return isLeft(plane, frame, 'REWRITE');
  assert.is(plane.trace(frame).ifindex, INGRESS);
  assert.is(plane.trace(frame).words[abi.FW_PKT_LEN], expected.length);
  const { action, frame: out } = plane.run(frame);
  assert.is(action, XDP.redirect);
  assert.equal(describe(out), describe(expected));
  assert.is(hex(out), hex(expected));
  assert.equal(plane.totals(), { forwarded: 1 });
  plane.close();
}

// ---- reject{} -------------------------------------------------------------------------------

const syn = tcp({ ...client, flags: 2, seq: 1000, ack: 0 });
const udpData = udp(client, payload(33)), udpBare = udp({ ...client, csum: false });
const rejected: readonly (readonly [string, Bytes, Bytes])[] = [
  ['TCP SYN', sent4(syn), reset4(1001)],
  ['TCP data: one more than its first byte, whatever its length',
    sent4(tcp({ ...client, seq: 0xfffffff0 }, payload(999))), reset4(0xfffffff1)],
  ['TCP at the end of the sequence space', sent4(tcp({ ...client, seq: 0xffffffff })), reset4(0)],
  ['TCP over IPv6', sent6(syn), reset6(1001)],
  ['TCP data over IPv6', sent6(tcp({ ...client, seq: 5 }, payload(100))), reset6(6)],
  ['UDP', sent4(udpData), unreachable4(sent4(udpData), 3)],
  ['UDP without data, and padding that is not quoted', sent4(udpBare, {}, 60),
    unreachable4(sent4(udpBare), 3)],
  ['UDP over IPv6', sent6(udpData), unreachable6(sent6(udpData), 4)],
  ['ICMP echo', sent4(icmp({ type: 8 }, payload(56))),
    unreachable4(sent4(icmp({ type: 8 }, payload(56))), 1)],
  ['ICMPv6 echo', sent6(icmp6({ type: 128 }, payload(56))),
    unreachable6(sent6(icmp6({ type: 128 }, payload(56))), 1)],
  ['another protocol', sent4(raw4(47, payload(41))), unreachable4(sent4(raw4(47, payload(41))), 1)],
  ['an ICMP error that is no unreachable', sent4(icmp({ type: 11 }, payload(28))),
    unreachable4(sent4(icmp({ type: 11 }, payload(28))), 1)],
];
for (const [name, frame, expected] of rejected) {
  test(`reject: ${name}`, () => { answers(network(REJECT), frame, expected); });
}

for (const size of [505, 506, 507, 1400]) {
  test(`reject: quotes at most 534 bytes (UDP with ${size})`, () => {
    const frame = sent4(udp(client, payload(size)));
    answers(network(REJECT), frame, unreachable4(frame, 3));
  });
}
for (const size of [1169, 1170, 1171, 1400]) {
  test(`reject: quotes at most 1218 bytes of IPv6 (UDP with ${size})`, () => {
    const frame = sent6(udp(client, payload(size)));
    answers(network(REJECT), frame, unreachable6(frame, 4));
  });
}

const silent: readonly (readonly [string, Bytes])[] = [
  ['reset', sent4(tcp({ ...client, flags: RST }))],
  ['reset with ACK over IPv6', sent6(tcp({ ...client, flags: RST_ACK }))],
  ['unreachable', sent4(icmp({ type: 3, code: 1 }, payload(28)))],
  ['unreachable over IPv6', sent6(icmp6({ type: 1, code: 4 }, payload(48)))],
];
for (const [name, frame] of silent) {
  test(`reject: no answer to ${name}`, () => {
    const plane = network(REJECT);
    assert.is(plane.run(frame).action, XDP.drop);
    assert.equal(plane.totals(), { 'drop FLOW': 1 });
    assert.is(plane.counter('flow_drops', 7).packets, 1);
    plane.close();
  });
}

// ---- What OVS does --------------------------------------------------------------------------

const left: readonly (readonly [string, string, Bytes, string])[] = [
  ['an SCTP packet', REJECT, sent4(raw4(132, payload(32))), 'CONTROLLER'],
  ['a later fragment', REJECT, sent4(udpData, { frag: 100 }), 'REWRITE'],
  ['a first fragment', REJECT, sent4(udpData, { frag: 0x2000 }), 'REWRITE'],
  ['an answer to an answer', 'icmp4 { next(pipeline=ingress,table=0); };', sent4(syn),
    'REWRITE'],
  ['an answer to a multicast group', 'reject { outport = "vm"; next(pipeline=ingress,table=4); };',
    sent4(udpBare), 'MULTICAST'],
];
for (const [name, text, frame, reason] of left) {
  test(`left to OVS: ${name}`, () => {
    const plane = network(text);
    if (reason === 'MULTICAST') {
      plane.table(1, 4, [{ ops: [set(abi.FW_OUTPORT, 0), { code: abi.OP_OUTPUT }],
        args: [32768] }]);
    }
    isLeft(plane, frame, reason);
  });
}

test('left to OVS: a quote that cannot be written', () => {
  const plane = network(REJECT);
  const { ops } = actions('tcp_reset { outport = inport; output; };');
  plane.table(1, 0, [{ ops: [set(abi.FW_TCP_FLAGS, 0), ...ops], args: [1] }]);
  isLeft(plane, sent4(syn), 'REWRITE');
});

// ---- A router's answers ---------------------------------------------------------------------

const RETURN = 'outport = "vm"; flags.loopback = 1; output;';

test('TTL exceeded', () => {
  const frame = sent4(udpData, { ttl: 1 });
  answers(network('icmp4 {eth.dst <-> eth.src; icmp4.type = 11; icmp4.code = 0; '
    + `ip4.dst = ip4.src; ip4.src = 10.0.0.1; ip.ttl = 254; ${RETURN} };`), frame,
  back(ip4({ src: '10.0.0.1', dst: from4.src, ttl: 254, frag: DF },
    icmp({ type: 11, rest: 0 }, quote4(frame)))));
});

test('hop limit exceeded', () => {
  const frame = sent6(icmp6({ type: 128 }, payload(7)), { ttl: 0 });
  answers(network('icmp6 {eth.dst <-> eth.src; ip6.dst = ip6.src; ip6.src = fd00::1; '
    + `ip.ttl = 254; icmp6.type = 3; icmp6.code = 0; ${RETURN} };`), frame,
  back(ip6({ src: 'fd00::1', dst: from6.src, ttl: 254 },
    icmp6({ type: 3, rest: 0 }, quote6(frame)))));
});

test('TTL exceeded also of an ICMP error and a reset of a reset: OVN\'s flows do not ask', () => {
  const error = sent4(icmp({ type: 3 }, payload(28)));
  answers(network(`icmp4 { eth.dst <-> eth.src; ip4.dst <-> ip4.src; ${RETURN} };`), error,
    unreachable4(error, 1));
  answers(network(`tcp_reset { eth.dst <-> eth.src; ip4.dst <-> ip4.src; ${RETURN} };`),
    sent4(tcp({ ...client, flags: RST, seq: 8 })), reset4(9));
});

const LARGER = 'reg9[1] = check_pkt_larger(1014); next(pipeline=ingress,table=4);';
const tooBig = (family: 4 | 6, icmpType: string): string =>
  `icmp${family}_error {reg9[0] = 1; reg9[1] = 0; eth.dst <-> eth.src; `
  + `ip${family}.dst <-> ip${family}.src; ip.ttl = 255; ${icmpType} `
  + `icmp${family}.frag_mtu = 1000; ${RETURN} };`;

test('fragmentation needed', () => {
  const error = actions(tooBig(4, 'icmp4.type = 3; icmp4.code = 4;'));
  const frame = sent4(udp(client, payload(973)), { frag: DF });
  const plane = network(LARGER);
  plane.table(1, 4, [{ ...error, match: [[9, 2, 2]] }, { ...actions('drop;'), priority: 1 }]);
  assert.is(plane.trace(sent4(udp(client, payload(972)))).verdict, abi.VERDICT_DROP);
  answers(plane, frame, back(ip4({ ...to4, ttl: 255, frag: DF },
    icmp({ type: 3, code: 4, rest: 1000 }, quote4(frame)))));
});

test('packet too big', () => {
  const plane = network(LARGER);
  plane.table(1, 4, [actions(tooBig(6, 'icmp6.type = 2; icmp6.code = 0;'))]);
  const frame = sent6(tcp(client, payload(1300)));
  answers(plane, frame, back(ip6({ ...to6, ttl: 255 },
    icmp6({ type: 2, rest: 1000 }, quote6(frame)))));
});

test('quotes the packet as it stood there: rewritten, checksums and all', () => {
  const plane = network('eth.dst = 02:00:00:00:00:77; ip.ttl--; ip4.src = 10.9.9.9; '
    + 'udp.dst = 53; next(pipeline=ingress,table=4);');
  plane.table(1, 4, [actions(`icmp4 { ip4.dst <-> ip4.src; ${RETURN} };`)]);
  const quoted = sent4(udp({ src: 4000, dst: 53 }, payload(600)), { src: '10.9.9.9', ttl: 8 });
  answers(plane, sent4(udp(client, payload(600))), eth({ src: VM, dst: '02:00:00:00:00:77' },
    ip4({ src: from4.dst, dst: '10.9.9.9', ttl: 255, frag: DF },
      icmp({ type: 3, code: 3, rest: 0 }, quote4(quoted)))));
});

// ---- Tunnels --------------------------------------------------------------------------------

const outside = (inport: number, outport: number, sport: number, frame: Bytes, out: boolean) => {
  const [src, dst] = out ? [LRP, PEER] : [PEER, LRP];
  const us = '192.0.2.1', them = '192.0.2.2';
  return eth({ src, dst }, ip4({ src: out ? us : them, dst: out ? them : us, frag: DF },
    geneve({ vni: 1, inport, outport, sport, csum: false }, frame)));
};

/** In TC the device does tunnels. */
const onXdp = hook === 'xdp' ? test : test.skip;

/** The ACL of a VM here rejects what a VM behind the tunnel sends. */
function rejectsRemote(frame: Bytes, expected: Bytes): void {
  const plane = network('drop;');
  plane.ingress();
  plane.table(1, abi.TABLE_EGRESS, [actions(
    'reg0 = 0; reject { outport <-> inport; next(pipeline=ingress,table=4); };', 'egress')]);
  const { action, frame: out } = plane.run(outside(4, 1, 40000, frame, false));
  assert.is(action, XDP.redirect);
  const sport = Buffer.from(out).readUInt16BE(34);
  assert.equal(describe(out), describe(outside(1, 4, sport, expected, true)));
  assert.is(hex(out), hex(outside(1, 4, sport, expected, true)));
  plane.close();
}
onXdp('an answer goes back through the tunnel', () => {
  rejectsRemote(sent4(syn), reset4(1001));
  rejectsRemote(sent6(syn), reset6(1001));
  rejectsRemote(sent4(udpData), unreachable4(sent4(udpData), 3));
  const large = udp(client, payload(1300));
  rejectsRemote(sent6(large), unreachable6(sent6(large), 4));
});

// ---- What survives --------------------------------------------------------------------------

test('registers survive a packet-out, conntrack and mark do not', () => {
  const plane = network('drop;');
  const ct = Array.from({ length: 12 }, (_, i) => abi.FW_CT_STATE + i);
  plane.table(1, 0, [{ ops: [set(abi.FW_REG0, 0), set(abi.FW_PKT_MARK, 0),
    ...ct.map((word) => set(word, 0)), ...actions(REJECT.replace('reg0 = 0; ', '')).ops],
  args: [0xabc] }]);
  const { words, verdict } = plane.trace(sent4(syn));
  assert.is(verdict, abi.VERDICT_OUTPUT);
  assert.is(words[abi.FW_REG0], 0xabc);
  assert.equal(ct.map((word) => words[word]), ct.map(() => 0));
  assert.is(words[abi.FW_PKT_MARK], 0);
  assert.equal([words[abi.FW_INPORT], words[abi.FW_OUTPORT]], [0, 1]);
  plane.close();
});

/** One stage with this one rule, as the reference wants it. */
function stage(table: number, { ops, args = [] }: TestRule): Stage {
  const everything = { shape: { words: [], masks: [] }, key: [] };
  return { digest: '', table, rules: [
    { ...everything, priority: 1, program: { ops }, args, flow: '' }] };
}

test('the reference walk ends with the same vector', () => {
  const plane = network('drop;');
  const vm = { datapath: 1, port: 1, kind: 'local', logical_port: 'vm', zone: 0 } as const;
  const frames = [...rejected.map(([, frame]) => frame), ...silent.map(([, frame]) => frame),
    sent4(udp(client, payload(1300))), sent6(udp(client, payload(1300)))];
  for (const frame of frames.filter((one) => !leftInTc(one) && one.length !== 60)) {
    plane.table(1, 0, [actions('drop;')]);
    const { words: parsed } = plane.trace(frame);
    plane.table(1, 0, [actions(REJECT)]);
    const { words, verdict } = plane.trace(frame);
    const walked = walk({
      datapaths: new Map(), tunnels: new Map(), macBindings: new Map(),
    hairpins: new Map(), unsupported: [],
      ports: new Map([['1/1', vm]]),
      dispatch: new Map([['1/0', stage(0, actions(REJECT))],
        ['1/69', stage(69, actions('output;'))]]),
    }, Uint32Array.from(parsed));
    assert.is(walked.verdict.kind, verdict === abi.VERDICT_DROP ? 'drop' : 'output');
    assert.equal([...walked.words], [...words], describe(frame).join('\n'));
  }
  plane.close();
});

onXdp('quotes do not leak: a forwarded packet after an answer is whole', () => {
  const plane = network(REJECT);
  plane.run(sent4(udpData));
  plane.table(1, 0, [actions('outport = "far"; output;')]);
  const sent = sent4(udpData, { tos: 0 });
  const { frame } = plane.run(sent);
  const sport = Buffer.from(frame).readUInt16BE(34);
  assert.is(hex(frame), hex(outside(1, 4, sport, sent, true)));
  plane.close();
});

test('every length, both families', () => {
  const plane = network(REJECT);
  for (let size = 0; size < 1440; size += size < 40 ? 1 : 53) {
    const frame4 = sent4(icmp({ type: 8 }, payload(size)));
    const frame6 = sent6(icmp6({ type: 128 }, payload(size)));
    assert.is(hex(plane.run(frame4).frame), hex(unreachable4(frame4, 1)), `${size}`);
    assert.is(hex(plane.run(frame6).frame), hex(unreachable6(frame6, 1)), `${size}`);
  }
  plane.close();
});

if (hook === 'tc') {
  for (const make of [sent4, sent6]) {
    test('left to OVS: TCP whose checksum the device is to complete', () => {
      const frame = Buffer.from(make(syn)), ip = make === sent4 ? 26 : 22;
      const at = make === sent4 ? 34 : 54;
      frame.writeUInt16BE(sum16(frame.subarray(ip, at), 6 + 20), at + 16);
      isLeft(network(REJECT), Uint8Array.from(frame), 'REWRITE');
    });
  }
  test('left to OVS: what is yet to be segmented', () => {
    const ctx = new Uint8Array(192);
    new DataView(ctx.buffer).setUint32(176, 100, true);
    const plane = network(REJECT);
    plane.tracer.testRun({ data: sent4(syn), ctxIn: ctx });
    assert.equal([plane.traced().verdict, plane.traced().reason],
      [abi.VERDICT_PUNT, abi.PUNT_REWRITE]);
    plane.close();
  });
}

test.run();
