import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { abi, Dataplane, next, output, outputTo, set, UNDERLAY, XDP,
  type TestTunnel } from './dataplane.fixture.js';
import { arp, describe, eth, fromHex, geneve, hex, icmp, ip4, ip6, tcp, udp, type Bytes,
  type Geneve, type Ip, type Layer3 } from '../packet.js';

const A = '02:00:00:00:00:0a', B = '02:00:00:00:00:0b';
const US = '02:00:00:00:01:01', THEM = '02:00:00:00:01:02';
const tunnel4: TestTunnel =
  { local: '192.0.2.1', remote: '192.0.2.2', ethSrc: US, ethDst: THEM };
const tunnel6: TestTunnel =
  { local: '2001:db8::1', remote: '2001:db8::2', ethSrc: US, ethDst: THEM };
const inner = (layer3: Layer3): Bytes => eth({ src: A, dst: B }, layer3);
const addresses = { src: '10.0.0.1', dst: '10.0.0.2' };
const payload = (size: number): Bytes => Uint8Array.from({ length: size }, (_, i) => i * 13);
const frames: readonly Bytes[] = [
  inner(ip4({ ...addresses, ttl: 7 }, udp({ src: 1, dst: 2 }))),
  inner(ip4({ ...addresses, tos: 1 }, tcp({ src: 5, dst: 6 }, payload(301)))),
  inner(ip4({ ...addresses, tos: 3 }, icmp({ type: 8 }, payload(1400)))),
  inner(ip6({ src: 'fd00::1', dst: 'fd00::2', tos: 2 }, udp({ src: 9, dst: 9 }, payload(258)))),
  inner(arp({ op: 2, sha: A, spa: '10.0.0.1', tha: B, tpa: '10.0.0.2' })),
];
/** Outer TOS of each frame above: ECN is copied, CE becomes ECT(0) (OVS ofproto/tunnel.c). */
const outerTos = [0, 1, 2, 2, 0];

function outer(ip: Ip, carried: Geneve, frame: Bytes, src = US, dst = THEM): Bytes {
  const layer4 = geneve(carried, frame);
  const layer3 = ip.src.includes(':') ? ip6(ip, layer4) : ip4({ frag: 0x4000, ...ip }, layer4);
  return eth({ src, dst }, layer3);
}

// ---- Sending --------------------------------------------------------------------------------

/** Switch 1: port 1 is local, port 4 is behind tunnel 1. */
function sender(tunnel: TestTunnel): Dataplane {
  const plane = Dataplane.load();
  plane.ingress(1, 1);
  plane.datapath(1);
  plane.port(1, 4, { kind: abi.PORT_REMOTE, tunnel: 1 });
  plane.tunnel(1, tunnel);
  plane.device(UNDERLAY);
  plane.table(1, 0, [outputTo(4)]);
  return plane;
}

const sourcePort = (frame: Bytes, ipLength: number): number =>
  Buffer.from(frame).readUInt16BE(14 + ipLength);

const test = suite('dataplane: tunnel');

for (const [name, tunnel] of [
  ['IPv4', tunnel4], ['IPv4 with checksum', { ...tunnel4, csum: true }],
  ['IPv6', tunnel6], ['IPv6, told to leave out the checksum', { ...tunnel6, csum: false }],
] as const) {
  test(`encapsulates over ${name}`, () => {
    const v6 = tunnel.local.includes(':');
    const plane = sender({ ...tunnel, mtu: 1600 });
    const sources = new Set<number>();
    frames.forEach((frame, i) => {
      const { action, frame: sent } = plane.run(frame);
      assert.is(action, XDP.redirect);
      const sport = sourcePort(sent, v6 ? 40 : 20);
      assert.ok(sport >= 32768 && sport < 61000);
      sources.add(sport);
      const wanted = outer({ src: tunnel.local, dst: tunnel.remote, tos: outerTos[i]! },
        { vni: 1, inport: 1, outport: 4, sport, csum: v6 || tunnel.csum === true }, frame);
      assert.equal(describe(sent), describe(wanted));
      assert.is(hex(sent), hex(wanted));
      assert.is(sourcePort(plane.run(frame).frame, v6 ? 40 : 20), sport, 'a flow keeps its port');
    });
    assert.ok(sources.size > 3, 'flows spread over source ports');
    assert.equal(plane.totals(), { forwarded: 2 * frames.length });
    plane.close();
  });
}

test('an outer checksum of zero is sent as ones', () => {
  const plane = sender({ ...tunnel4, csum: true });
  const carrying = (value: number): Bytes => inner(ip4(addresses,
    udp({ src: 1, dst: 2, csum: false }, Uint8Array.of(value >> 8, value & 0xff))));
  const check = (frame: Bytes): number => Buffer.from(plane.run(frame).frame).readUInt16BE(40);
  /* What is missing to a sum of all ones, put into the payload. */
  assert.is(check(carrying(check(carrying(0)))), 0xffff);
  plane.close();
});

test('sends by the tunnel of the port, with its keys', () => {
  const plane = sender(tunnel4);
  const traced = plane.trace(frames[0]!);
  assert.is(traced.verdict, abi.VERDICT_TUNNEL);
  assert.equal([traced.tunnel, traced.ifindex], [1, UNDERLAY]);
  plane.close();
});

test('cannot send: the frame stays what it was', () => {
  const frame = frames[1]!;
  const cases: [string, Partial<TestTunnel>, (plane: Dataplane) => void][] = [
    ['NO_NEXT_HOP', { ready: false }, () => {}],
    ['NO_NEXT_HOP', {}, (plane) => plane.port(1, 4, { kind: abi.PORT_REMOTE, tunnel: 9 })],
    ['NO_NEXT_HOP', {}, (plane) => plane.port(1, 4, { kind: abi.PORT_REMOTE, tunnel: 99999 })],
    ['MTU', { mtu: frame.length + 43 }, () => {}],
  ];
  for (const [reason, change, prepare] of cases) {
    const plane = sender({ ...tunnel4, ...change });
    prepare(plane);
    const { action, frame: out } = plane.run(frame);
    assert.is(action, XDP.pass);
    assert.is(hex(out), hex(frame));
    assert.equal(plane.totals(), { [`punt ${reason}`]: 1 });
    plane.close();
  }
  for (const [tunnel, overhead] of [[tunnel4, 44], [tunnel6, 64]] as const) {
    const plane = sender({ ...tunnel, mtu: frame.length + overhead });
    assert.is(plane.run(frame).action, XDP.redirect, 'fits exactly');
    plane.close();
  }
});

// ---- Receiving ------------------------------------------------------------------------------

/** The uplink of a chassis that has port 2 of switch 1; port 9 is at tunnel 1 itself. */
function receiver(): Dataplane {
  const plane = Dataplane.load();
  plane.ingress();
  plane.datapath(1);
  plane.tunnel(1, tunnel4);
  plane.tunnel(2, tunnel6);
  plane.device(UNDERLAY);
  plane.device(100);
  plane.port(1, 2, { ifindex: 100, zone: 8, mtu: 1500 });
  plane.port(1, 9, { kind: abi.PORT_REMOTE, tunnel: 1 });
  plane.table(1, abi.TABLE_EGRESS, [{ ops: [next(abi.TABLE_EGRESS + 1)] }]);
  plane.table(1, abi.TABLE_EGRESS + 1, [
    { match: [[abi.FW_INPORT, 7], [abi.FW_FLAGS, 0]], ops: [output] }]);
  return plane;
}

const carried: Geneve = { vni: 1, inport: 7, outport: 2, sport: 40000 };
const from4 = (frame: Bytes, changes: Partial<Geneve> = {}, ip: Partial<Ip> = {}): Bytes =>
  outer({ src: '192.0.2.2', dst: '192.0.2.1', ...ip }, { ...carried, ...changes }, frame,
    THEM, US);
const from6 = (frame: Bytes, changes: Partial<Geneve> = {}): Bytes =>
  outer({ src: '2001:db8::2', dst: '2001:db8::1' }, { ...carried, ...changes }, frame, THEM, US);

test('decapsulates, with and without a checksum, over both families', () => {
  const plane = receiver();
  for (const frame of frames) {
    for (const received of [from4(frame), from4(frame, { csum: false }), from6(frame)]) {
      const { action, frame: out } = plane.run(received);
      assert.is(action, XDP.redirect);
      assert.equal(describe(out), describe(frame));
    }
  }
  assert.equal(plane.totals(), { forwarded: 3 * frames.length });
  const traced = plane.trace(from4(frames[0]!));
  assert.equal(traced.tables, ['1/64', '1/65'], 'straight to egress');
  assert.equal([traced.words[abi.FW_CT_ZONE], traced.words[abi.FW_PKT_LEN]],
    [8, frames[0]!.length]);
  plane.close();
});

test('an outer congestion mark moves inside, or punts where it cannot', () => {
  const marked = (tos: number): Bytes => inner(ip4({ ...addresses, tos }, udp({ src: 1, dst: 2 })));
  const plane = receiver();
  const { frame } = plane.run(from4(marked(0x42), {}, { tos: 3 }));
  assert.equal(describe(frame), describe(marked(0x43)));
  assert.is(plane.run(from4(frames[4]!, {}, { tos: 3 })).action, XDP.redirect, 'ARP has no ECN');
  assert.is(plane.run(from4(marked(0x40), {}, { tos: 3 })).action, XDP.pass);
  assert.equal(plane.totals(), { forwarded: 2, 'punt TUNNEL_ECN': 1 });
  plane.close();
});

/** The received frame with the bytes at `at` replaced; checksums are not put right. */
function patched(frame: Bytes, at: number, bytes: string): Bytes {
  const copy = frame.slice();
  copy.set(fromHex(bytes), at);
  return copy;
}
const plain = from4(frames[1]!, { csum: false });
const header = (text: string): Partial<Geneve> => ({ header: fromHex(text) });
const UDP4 = 14 + 20;

const punted: readonly (readonly [string, string, Bytes])[] = [
  ['not IP', 'NOT_GENEVE', frames[4]!],
  ['other UDP port', 'NOT_GENEVE', patched(plain, UDP4 + 2, '17c0')],
  ['other protocol', 'NOT_GENEVE', frames[1]!],
  ['to another host\'s MAC', 'NOT_GENEVE', patched(plain, 0, '020000000103')],
  ['too short for geneve', 'NOT_GENEVE', plain.subarray(0, 57)],
  ['outer fragment', 'NOT_GENEVE', from4(frames[1]!, {}, { frag: 0x2000 })],
  ['outer options', 'NOT_GENEVE', patched(plain, 14, '46')],
  ['cut', 'MALFORMED', plain.subarray(0, plain.length - 1)],
  ['outer header checksum', 'MALFORMED', patched(plain, 14 + 8, '01')],
  ['outer UDP length', 'MALFORMED', patched(plain, UDP4 + 4, '0020')],
  ['unknown sender', 'TUNNEL_SOURCE', from4(frames[1]!, {}, { src: '192.0.2.3' })],
  ['sent to another address', 'TUNNEL_SOURCE', from4(frames[1]!, {}, { dst: '192.0.2.9' })],
  ['no option (as BFD)', 'TUNNEL_OPTION',
    from4(frames[1]!, header('00006558 00000100 0102800100070002'))],
  ['option of length zero', 'TUNNEL_OPTION',
    from4(frames[1]!, header('02406558 00000100 0102800000070002'))],
  ['option longer than the header says', 'TUNNEL_OPTION',
    from4(frames[1]!, header('02406558 00000100 0102801f00070002'))],
  ['two options', 'TUNNEL_OPTION',
    from4(frames[1]!, header('04406558 00000100 0102800100070002 0102800100070002'))],
  ['other option class', 'TUNNEL_OPTION',
    from4(frames[1]!, header('02406558 00000100 0103800100070002'))],
  ['other option type', 'TUNNEL_OPTION',
    from4(frames[1]!, header('02406558 00000100 0102000100070002'))],
  ['top bit of the keys', 'TUNNEL_OPTION',
    from4(frames[1]!, header('02406558 00000100 0102800180070002'))],
  ['OAM', 'TUNNEL_OPTION', from4(frames[1]!, header('02c06558 00000100 0102800100070002'))],
  ['version 1', 'TUNNEL_OPTION', from4(frames[1]!, header('42406558 00000100 0102800100070002'))],
  ['payload not Ethernet', 'TUNNEL_OPTION',
    from4(frames[1]!, header('02400800 00000100 0102800100070002'))],
  ['checksum', 'TUNNEL_CSUM', patched(from4(frames[1]!), UDP4 + 6, 'abcd')],
  ['a flipped byte in the last word', 'TUNNEL_CSUM',
    ((f) => patched(f, f.length - 1, (f[f.length - 1]! ^ 1).toString(16).padStart(2, '0')))(
      from4(frames[1]!))],
  ['IPv6 without checksum', 'TUNNEL_CSUM', from6(frames[1]!, { csum: false })],
  ['IPv6, wrong checksum', 'TUNNEL_CSUM', patched(from6(frames[1]!), 14 + 40 + 6, 'abcd')],
  ['VNI 0', 'UNKNOWN_DATAPATH', from4(frames[1]!, { vni: 0 })],
  ['unknown VNI', 'UNKNOWN_DATAPATH', from4(frames[1]!, { vni: 0xffffff })],
  ['unknown port', 'UNKNOWN_PORT', from4(frames[1]!, { outport: 33 })],
  ['multicast group', 'MULTICAST', from4(frames[1]!, { outport: 32768 })],
  ['a port of a third chassis', 'UNSUPPORTED_PORT', from4(frames[1]!, { outport: 9 })],
  ['inner frame empty', 'MALFORMED', from4(new Uint8Array(0))],
  ['inner frame cut', 'MALFORMED', from4(frames[1]!.subarray(0, 40))],
  ['inner VLAN', 'VLAN', from4(patched(frames[1]!, 12, '8100'))],
];
for (const [name, reason, frame] of punted) {
  test(`leaves to OVS: ${name}`, () => {
    const plane = receiver();
    const { action, frame: out } = plane.run(frame);
    assert.equal(plane.totals(), { [`punt ${reason}`]: 1 });
    assert.is(action, XDP.pass);
    assert.is(hex(out), hex(frame));
    plane.close();
  });
}

test('drops what OVS drops: no outport, and back to its own inport', () => {
  const plane = receiver();
  assert.is(plane.run(from4(frames[1]!, { outport: 0 })).action, XDP.drop);
  assert.is(plane.run(from4(frames[1]!, { inport: 2 })).action, XDP.drop);
  assert.equal(plane.totals(), { 'drop NO_OUTPORT': 1, 'drop LOOPBACK': 1 });
  plane.close();
});

test('what one chassis sends, the next takes', () => {
  const there = sender({ ...tunnel4, csum: true });
  const { frame: wire } = there.run(frames[3]!);
  there.close();
  const here = receiver();
  here.tunnel(1, { local: '192.0.2.2', remote: '192.0.2.1', ethSrc: THEM, ethDst: US });
  here.port(1, 4, { ifindex: 100 });
  here.table(1, abi.TABLE_EGRESS, [{ ops: [set(abi.FW_REG0, 0), output], args: [1] }]);
  const { action, frame } = here.run(wire);
  here.close();
  assert.is(action, XDP.redirect);
  assert.is(hex(frame), hex(frames[3]!));
});

test.run();
