import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { abi, Dataplane, hook, ip4Word, ip6Words, macWords, output, outputTo, XDP }
  from './dataplane.fixture.js';
import { arp, concat, eth, fragments, fromHex, hex, icmp, icmp6, ip4, ip6, ndAdvert,
  ndOption, ndSolicit, raw3, raw4, tcp, udp, type Bytes, type Layer3 } from '../packet.js';

const A = '02:00:00:00:00:0a', B = '02:00:00:00:00:0b', C = '02:00:00:00:00:0c';
const h4 = { src: '10.0.0.1', dst: '10.0.0.2', ttl: 9, tos: 0x41 };
const h6 = { src: 'fd00::1', dst: 'fd00::2', ttl: 255, tos: 0x41 };
const on = (layer3: Layer3): Bytes => eth({ src: A, dst: B }, layer3);

function sink(): Dataplane {
  const plane = Dataplane.load();
  plane.ingress(1, 1);
  plane.datapath(1);
  plane.port(1, 2, { ifindex: 100 });
  plane.device(100);
  plane.table(1, 0, [outputTo(2)]);
  plane.table(1, abi.TABLE_EGRESS, [{ ops: [output] }]);
  return plane;
}

const test = suite('dataplane: parse');

/** Fields by word; those not named must be zero, from eth.dst to nd.tll. */
type Fields = Readonly<Record<number, number>>;
function words(at: number, values: readonly number[]): Fields {
  return Object.fromEntries(values.map((value, i) => [at + i, value]));
}
const ethernet = (type: number): Fields => ({ ...words(abi.FW_ETH_DST, macWords(B)),
  ...words(abi.FW_ETH_SRC, macWords(A)), [abi.FW_ETH_TYPE]: (type << 16) >>> 0 });
const ipv4 = (proto: number): Fields => ({ ...ethernet(0x0800),
  [abi.FW_IP]: (proto << 24 | 9 << 16 | 0x41 << 8) >>> 0,
  [abi.FW_IP_SRC + 3]: ip4Word('10.0.0.1'), [abi.FW_IP_DST + 3]: ip4Word('10.0.0.2') });
const ipv6 = (proto: number): Fields => ({ ...ethernet(0x86dd),
  [abi.FW_IP]: (proto << 24 | 255 << 16 | 0x41 << 8) >>> 0,
  ...words(abi.FW_IP_SRC, ip6Words('fd00::1')), ...words(abi.FW_IP_DST, ip6Words('fd00::2')) });
const fragment = (fields: Fields, bits: number): Fields =>
  ({ ...fields, [abi.FW_IP]: (fields[abi.FW_IP] ?? 0) + bits });
const cut = udp({ src: 1, dst: 2 }, new Uint8Array(2000));
const [first4, last4] = fragments(ip4(h4, cut), 7, 1240).map(on) as [Bytes, Bytes];
const [first6, last6] = fragments(ip6(h6, cut), 7, 1240).map(on) as [Bytes, Bytes];
const labelled = on(ip6(h6, raw4(59, new Uint8Array())));
labelled.set([0x64, 0x1a, 0xbc, 0xde], 14);

const parsed: readonly (readonly [string, Bytes, Fields])[] = [
  ['ARP', on(arp({ op: 1, sha: A, spa: '10.0.0.1', tha: C, tpa: '10.0.0.9' })), {
    ...ethernet(0x0806), [abi.FW_ARP_OP]: 1, [abi.FW_IP_SRC + 3]: ip4Word('10.0.0.1'),
    [abi.FW_IP_DST + 3]: ip4Word('10.0.0.9'), ...words(abi.FW_SHA, macWords(A)),
    ...words(abi.FW_THA, macWords(C)) }],
  ['TCP', on(ip4(h4, tcp({ src: 1, dst: 2, flags: 0x1ff }))),
    { ...ipv4(6), [abi.FW_L4]: 1 << 16 | 2, [abi.FW_TCP_FLAGS]: 0x1ff }],
  ['UDP', on(ip4(h4, udp({ src: 0xffff, dst: 2 }))),
    { ...ipv4(17), [abi.FW_L4]: 0xffff0002 }],
  ['SCTP', on(ip4(h4, raw4(132, fromHex('000100020000000000000000')))),
    { ...ipv4(132), [abi.FW_L4]: 0x00010002 }],
  ['ICMP', on(ip4(h4, icmp({ type: 3, code: 4 }))), { ...ipv4(1), [abi.FW_L4]: 0x00030004 }],
  ['IGMP', on(ip4(h4, raw4(2, fromHex('1600000000000000')))), ipv4(2)],
  ['ICMPv6 over IPv4', on(ip4(h4, raw4(58, fromHex('8000000000000000')))), ipv4(58)],
  ['IPv6 TCP', on(ip6(h6, tcp({ src: 1, dst: 2 }))),
    { ...ipv6(6), [abi.FW_L4]: 0x00010002, [abi.FW_TCP_FLAGS]: 0x10 }],
  ['no next header, flow label', labelled, { ...ipv6(59), [abi.FW_IP6_LABEL]: 0xabcde }],
  ['ICMPv6 echo', on(ip6(h6, icmp6({ type: 128, code: 1 }))),
    { ...ipv6(58), [abi.FW_L4]: 128 << 16 | 1 }],
  ['NS with source', on(ip6(h6, ndSolicit('fd00::9', ndOption(1, C)))), { ...ipv6(58),
    [abi.FW_L4]: 135 << 16, ...words(abi.FW_ND_TARGET, ip6Words('fd00::9')),
    ...words(abi.FW_SHA, macWords(C)) }],
  ['NS without option', on(ip6(h6, ndSolicit('fd00::9'))), { ...ipv6(58),
    [abi.FW_L4]: 135 << 16, ...words(abi.FW_ND_TARGET, ip6Words('fd00::9')) }],
  ['NS with a nonce before the source', on(ip6(h6,
    ndSolicit('fd00::9', fromHex('0e01112233445566'), ndOption(1, C)))), { ...ipv6(58),
    [abi.FW_L4]: 135 << 16, ...words(abi.FW_ND_TARGET, ip6Words('fd00::9')),
    ...words(abi.FW_SHA, macWords(C)) }],
  ['NA with target', on(ip6(h6, ndAdvert('fd00::9', 0x60000000, ndOption(2, C)))),
    { ...ipv6(58), [abi.FW_L4]: 136 << 16, ...words(abi.FW_ND_TARGET, ip6Words('fd00::9')),
      ...words(abi.FW_THA, macWords(C)) }],
  ['first fragment', first4, fragment(ipv4(17), 1)],
  ['last fragment', last4, fragment(ipv4(17), 3)],
  ['first fragment, IPv6', first6, fragment(ipv6(17), 1)],
  ['last fragment, IPv6', last6, fragment(ipv6(17), 3)],
  ['ND type with another code', on(ip6(h6, icmp6({ type: 135, code: 1 }))),
    { ...ipv6(58), [abi.FW_L4]: 135 << 16 | 1 }],
];
for (const [name, frame, fields] of parsed) {
  test(`reads ${name}`, () => {
    const plane = sink();
    const { words: got } = plane.trace(frame);
    const wanted: Fields = { [abi.FW_PKT_LEN]: frame.length, [abi.FW_DATAPATH]: 1,
      [abi.FW_INPORT]: 1, [abi.FW_OUTPORT]: 2, [abi.FW_DNAT_ZONE]: 11, [abi.FW_SNAT_ZONE]: 12,
      ...fields };
    assert.equal([...got], Array.from({ length: 64 }, (_, i) => wanted[i] ?? 0));
    assert.is(plane.run(frame).action, XDP.redirect);
    plane.close();
  });
}

/** The frame with the bytes at `at` replaced, IPv4 header checksum put right. */
function bent(frame: Bytes, at: number, bytes: string): Bytes {
  const copy = frame.slice();
  copy.set(fromHex(bytes), at);
  if (copy[12] !== 0x08 || copy[13] !== 0x00) return copy;
  copy.set([0, 0], 24);
  let sum = 0;
  for (let i = 14; i < 34; i += 2) sum += copy[i]! << 8 | copy[i + 1]!;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~((sum & 0xffff) + (sum >> 16));
  copy.set([sum >> 8 & 0xff, sum & 0xff], 24);
  return copy;
}
const udp4 = on(ip4(h4, udp({ src: 1, dst: 2 }, new Uint8Array(10))));
const tcp4 = on(ip4(h4, tcp({ src: 1, dst: 2 })));
const udp6 = on(ip6(h6, udp({ src: 1, dst: 2 }, new Uint8Array(10))));
const request = on(arp({ op: 1, sha: A, spa: '1.1.1.1', tha: B, tpa: '2.2.2.2' }));
const solicit = (...options: readonly Bytes[]): Bytes =>
  on(ip6(h6, ndSolicit('fd00::9', ...options)));

const fragment6 = (offset: number, next = '11'): Bytes => on(ip6(h6, raw4(44,
  concat(fromHex(`${next}00`), Uint8Array.of(offset >> 8, offset & 255), fromHex('00000007'),
    fromHex('0001000200ff0000'), new Uint8Array(8)))));

const refused: readonly (readonly [string, string, Bytes])[] = [
  ['VLAN', 'VLAN', bent(udp4, 12, '8100')],
  ['QinQ', 'VLAN', bent(udp4, 12, '88a8')],
  ['MPLS', 'ETH_TYPE', on(raw3(0x8847, new Uint8Array(40)))],
  ['RARP', 'ETH_TYPE', on(raw3(0x8035, new Uint8Array(40)))],
  ['802.3 length', 'ETH_TYPE', on(raw3(0x0026, new Uint8Array(40)))],
  ['Ethernet header only', 'MALFORMED', on(raw3(0x0800, new Uint8Array()))],
  ['short IPv4', 'MALFORMED', udp4.subarray(0, 33)],
  ['IPv4 of version 6', 'MALFORMED', bent(udp4, 14, '65')],
  ['IPv4 header of 16 bytes', 'MALFORMED', bent(udp4, 14, '44')],
  ['IPv4 longer than the frame', 'MALFORMED', bent(udp4, 16, '0100')],
  ['IPv4 shorter than its header', 'MALFORMED', bent(udp4, 16, '0013')],
  ['IPv4 options', 'IP_OPTIONS', bent(udp4, 14, '46')],
  ['IPv4 header checksum', 'MALFORMED', ((f) => { f[24]! ^= 1; return f; })(udp4.slice())],
  ['first fragment of an ICMP error', 'FRAGMENT',
    bent(on(ip4(h4, icmp({ type: 3, code: 4 }))), 20, '2000')],
  ['short TCP', 'MALFORMED', bent(tcp4, 16, '0027')],
  ['TCP header of 16 bytes', 'MALFORMED', bent(tcp4, 46, '40')],
  ['TCP header longer than TCP', 'MALFORMED', bent(tcp4, 46, '60')],
  ['short UDP', 'MALFORMED', bent(udp4, 16, '001b')],
  ['empty UDP', 'MALFORMED', on(ip4(h4, raw4(17, new Uint8Array())))],
  ['UDP length below its header', 'MALFORMED', bent(udp4, 38, '0007')],
  ['UDP longer than IP', 'MALFORMED', bent(udp4, 38, '0013')],
  ['short SCTP', 'MALFORMED', on(ip4(h4, raw4(132, new Uint8Array(11))))],
  ['short ICMP', 'MALFORMED', on(ip4(h4, raw4(1, new Uint8Array(7))))],
  ['short IPv6', 'MALFORMED', udp6.subarray(0, 53)],
  ['IPv6 of version 4', 'MALFORMED', bent(udp6, 14, '40')],
  ['IPv6 longer than the frame', 'MALFORMED', bent(udp6, 18, '0100')],
  ['IPv6 payload of zero', 'MALFORMED', bent(udp6, 18, '0000')],
  ['hop-by-hop', 'IP_OPTIONS', bent(udp6, 20, '00')],
  ['routing header', 'IP_OPTIONS', bent(udp6, 20, '2b')],
  ['destination options', 'IP_OPTIONS', bent(udp6, 20, '3c')],
  ['authentication header', 'IP_OPTIONS', bent(udp6, 20, '33')],
  ['IPv6 fragment that is all', 'FRAGMENT', fragment6(0)],
  ['IPv6 fragment with reserved bits', 'FRAGMENT', fragment6(0x12)],
  ['IPv6 fragment with another header', 'IP_OPTIONS', fragment6(0x10, '3c')],
  ['IPv6 fragment of a fragment', 'IP_OPTIONS', fragment6(0x10, '2c')],
  ['short IPv6 fragment', 'MALFORMED', on(ip6(h6, raw4(44, fromHex('11000011000000'))))],
  ['short ICMPv6', 'MALFORMED', on(ip6(h6, raw4(58, new Uint8Array(7))))],
  ['NS without a target', 'MALFORMED', on(ip6(h6, icmp6({ type: 135 }, new Uint8Array(15))))],
  ['ND option of length zero', 'MALFORMED', solicit(fromHex('0100000000000000'))],
  ['ND option past the end', 'MALFORMED', solicit(fromHex('0102000000000000'))],
  ['ND option twice', 'MALFORMED', solicit(ndOption(1, A), ndOption(1, C))],
  ['five ND options', 'MALFORMED',
    solicit(...Array.from({ length: 5 }, () => fromHex('0e01000000000000')))],
  ['bytes after the ND options', 'MALFORMED', solicit(ndOption(1, A), new Uint8Array(3))],
  ['short ARP', 'MALFORMED', request.subarray(0, 41)],
  ['ARP for another hardware', 'MALFORMED', bent(request, 14, '0006')],
  ['ARP for another protocol', 'MALFORMED', bent(request, 16, '86dd')],
  ['ARP opcode above 255', 'MALFORMED', bent(request, 20, '0101')],
];
/** A test run of TC refuses frames without a whole IP header itself, as a device would not. */
const runnable = (frame: Bytes): boolean => hook === 'xdp' || frame[12] !== 0x08
  && frame[12] !== 0x86 || frame[13] === 0x06 || frame.length >= (frame[12] === 0x08 ? 34 : 54);
for (const [name, reason, frame] of refused.filter(([, , bytes]) => runnable(bytes))) {
  test(`leaves to OVS: ${name}`, () => {
    const plane = sink();
    const { action, frame: out } = plane.run(frame);
    assert.equal(plane.totals(), { [`punt ${reason}`]: 1 });
    assert.is(action, XDP.pass);
    assert.is(hex(out), hex(frame));
    plane.close();
  });
}

test('nothing of one frame is left in the next', () => {
  const plane = sink();
  const full = on(ip6({ src: 'ffff::ffff', dst: 'ffff::ffff', tos: 255, ttl: 255 },
    ndSolicit('ffff::ffff', ndOption(1, 'ff:ff:ff:ff:ff:ff'))));
  plane.trace(full);
  const { words: got } = plane.trace(udp4);
  assert.equal([...got.slice(abi.FW_IP_SRC, abi.FW_IP_SRC + 3)], [0, 0, 0]);
  assert.equal([...got.slice(abi.FW_IP6_LABEL + 2, abi.FW_PKT_LEN)], Array(22).fill(0));
  plane.close();
});

test('padding behind IP is not layer 4', () => {
  const plane = sink();
  const padded = concat(bent(udp4, 16, '001c').subarray(0, 42), fromHex('ffffffff'));
  const fixed = bent(padded, 38, '0008');
  assert.is(plane.run(fixed).action, XDP.redirect);
  assert.is(plane.run(bent(fixed, 38, '0009')).action, XDP.pass, 'UDP would reach into it');
  plane.close();
});

test.run();
