/** Expectations are those of OVN v23.03.1 (controller/lflow.c); "punt" where others differ. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseEthernet, parseIpv4, parseIpv6 } from '../lflow/literal.js';
import { linkLocal, portSecurity } from './portsec.js';
import { isPunt } from './program.js';
import { lookup } from './reference.js';
import { buildStage } from './stage.js';
import { packet } from './testing.js';

const mac = parseEthernet('0a:00:00:00:00:01')!;
const other = parseEthernet('0a:00:00:00:00:02')!;
const v4 = (text: string): bigint => parseIpv4(text)!;
const v6 = (text: string): bigint => parseIpv6(text)!;

type Fields = Readonly<Record<string, bigint | number>>;
function verdict(direction: 'in' | 'out', security: readonly string[], fields: Fields): string {
  const { stage } = buildStage(128, portSecurity([{ key: 1, port_security: security }], direction));
  const port = direction === 'in' ? 'inport' : 'outport';
  const rule = lookup(stage, packet({ [port]: 1, ...fields }));
  if (!rule) return 'no rule';
  if (isPunt(rule.program)) return 'punt';
  return rule.program.ops[0]!.imm === 1 ? 'deny' : 'allow';
}

const ip4 = (src: string, more: Fields = {}): Fields =>
  ({ 'eth.src': mac, 'eth.type': 0x800, 'ip4.src': v4(src), 'ip.ttl': 64, ...more });
const arp = (spa: string, more: Fields = {}): Fields =>
  ({ 'eth.src': mac, 'eth.type': 0x806, 'arp.op': 1, 'arp.sha': mac, 'arp.spa': v4(spa), ...more });
const ip6 = (src: bigint, more: Fields = {}): Fields =>
  ({ 'eth.src': mac, 'eth.type': 0x86dd, 'ip6.src': src, 'ip.ttl': 64, ...more });
const icmp6 = (src: bigint, type: number, more: Fields = {}): Fields =>
  ip6(src, { 'ip.proto': 58, 'icmp6.type': type, 'ip.ttl': 255, ...more });
const dhcp: Fields =
  { 'ip4.dst': v4('255.255.255.255'), 'ip.proto': 17, 'udp.src': 68, 'udp.dst': 67 };
const lla = linkLocal(mac);
const groups = v6('ff02::16');

const macOnly = ['0a:00:00:00:00:01'];
const host = ['0a:00:00:00:00:01 10.0.0.4'];
const hostInSubnet = ['0a:00:00:00:00:01 10.0.0.4/24'];
const subnet = ['0a:00:00:00:00:01 10.0.0.0/24'];
const host6 = ['0a:00:00:00:00:01 fd00::4'];
const subnet6 = ['0a:00:00:00:00:01 fd00::/64'];
const dual = ['0a:00:00:00:00:01 10.0.0.4 fd00::4'];

const ingress: readonly (readonly [string, readonly string[], Fields, string])[] = [
  ['no port security', [], ip4('1.2.3.4', { 'eth.src': other }), 'allow'],
  ['another MAC', macOnly, ip4('1.2.3.4', { 'eth.src': other }), 'deny'],
  ['MAC only, any IPv4', macOnly, ip4('1.2.3.4'), 'allow'],
  ['MAC only, any ethertype', macOnly, { 'eth.src': mac, 'eth.type': 0x88cc }, 'allow'],
  ['MAC only, ARP', macOnly, arp('1.2.3.4'), 'allow'],
  ['MAC only, ARP with another sender', macOnly, arp('1.2.3.4', { 'arp.sha': other }), 'deny'],
  ['MAC only, ARP from another MAC', macOnly, arp('1.2.3.4', { 'eth.src': other }), 'deny'],
  ['MAC only, NA: releases differ', macOnly, icmp6(lla, 136), 'punt'],
  ['MAC only, NA for another MAC', macOnly, icmp6(lla, 136, { 'nd.tll': other }), 'deny'],
  ['MAC only, NS', macOnly, icmp6(lla, 135, { 'nd.sll': mac }), 'allow'],
  ['MAC only, NS for another: releases differ', macOnly, icmp6(lla, 135, { 'nd.sll': other }),
    'punt'],
  ['one host', host, ip4('10.0.0.4'), 'allow'],
  ['one host, another address', host, ip4('10.0.0.5'), 'deny'],
  ['one host, another ethertype', host, { 'eth.src': mac, 'eth.type': 0x88cc }, 'deny'],
  ['one host, IPv6', host, ip6(lla), 'deny'],
  ['one host, ARP', host, arp('10.0.0.4'), 'allow'],
  ['one host, ARP for another address', host, arp('10.0.0.5'), 'deny'],
  ['one host, DHCP', host, ip4('0.0.0.0', dhcp), 'allow'],
  ['one host, no DHCP port', host, ip4('0.0.0.0', { ...dhcp, 'udp.dst': 69 }), 'deny'],
  ['MAC with IPv6 only, DHCP', host6, ip4('0.0.0.0', dhcp), 'deny'],
  ['host bits: the address alone', hostInSubnet, ip4('10.0.0.5'), 'deny'],
  ['host bits: the address', hostInSubnet, ip4('10.0.0.4'), 'allow'],
  ['no host bits: the subnet', subnet, ip4('10.0.0.77'), 'allow'],
  ['no host bits: outside', subnet, ip4('10.0.1.77'), 'deny'],
  ['no host bits: ARP in the subnet', subnet, arp('10.0.0.77'), 'allow'],
  ['IPv6 host', host6, ip6(v6('fd00::4')), 'allow'],
  ['IPv6 host, another', host6, ip6(v6('fd00::5')), 'deny'],
  ['IPv6 link-local', host6, ip6(lla), 'allow'],
  ['IPv6 link-local of another', host6, ip6(linkLocal(other)), 'deny'],
  ['IPv6 only, no ARP', host6, arp('10.0.0.4'), 'deny'],
  ['IPv6 subnet', subnet6, ip6(v6('fd00::1:2')), 'allow'],
  ['MLD report from ::', host6, icmp6(0n, 143, { 'ip6.dst': groups }), 'allow'],
  ['MLD report from :: to elsewhere', host6, icmp6(0n, 143, { 'ip6.dst': v6('ff05::16') }), 'deny'],
  ['MLD query from ::', host6, icmp6(0n, 130, { 'ip6.dst': groups }), 'deny'],
  ['duplicate address detection', host6, icmp6(0n, 135, { 'ip6.dst': groups }), 'allow'],
  ['NA for the address', host6, icmp6(v6('fd00::4'), 136, { 'nd.target': v6('fd00::4') }), 'allow'],
  ['NA with its MAC', host6,
    icmp6(v6('fd00::4'), 136, { 'nd.target': v6('fd00::4'), 'nd.tll': mac }), 'allow'],
  ['NA with another MAC', host6,
    icmp6(v6('fd00::4'), 136, { 'nd.target': v6('fd00::4'), 'nd.tll': other }), 'deny'],
  ['NA for another address', host6,
    icmp6(v6('fd00::4'), 136, { 'nd.target': v6('fd00::5') }), 'deny'],
  ['NA for the link-local address: releases differ', host6, icmp6(lla, 136, { 'nd.target': lla }),
    'punt'],
  ['NS with the hop limit of a forwarded packet', host6,
    icmp6(v6('fd00::4'), 135, { 'ip.ttl': 64, 'nd.sll': other }), 'allow'],
  ['both families', dual, ip4('10.0.0.4'), 'allow'],
  ['both families, IPv6', dual, ip6(v6('fd00::4')), 'allow'],
  ['two entries, second MAC', [...host, '0a:00:00:00:00:02 10.0.0.9'],
    ip4('10.0.0.9', { 'eth.src': other }), 'allow'],
  ['two entries, mixed up', [...host, '0a:00:00:00:00:02 10.0.0.9'],
    ip4('10.0.0.4', { 'eth.src': other }), 'deny'],
  ['VRRPv3: a newer release', ['VRRPv3 0a:00:00:00:00:01'], ip4('1.2.3.4'), 'punt'],
  ['an address that does not parse', ['0a:00:00:00:00:01 10.0.0.4/33'], ip4('10.0.0.4'), 'punt'],
];
for (const [name, security, fields, expected] of ingress) {
  test(`in: ${name}: ${expected}`, () => {
    assert.is(verdict('in', security, fields), expected);
  });
}

const to = (dst: string, more: Fields = {}): Fields =>
  ({ 'eth.dst': mac, 'eth.type': 0x800, 'ip4.dst': v4(dst), ...more });
const to6 = (dst: bigint): Fields => ({ 'eth.dst': mac, 'eth.type': 0x86dd, 'ip6.dst': dst });
const egress: readonly (readonly [string, readonly string[], Fields, string])[] = [
  ['no port security', [], to('1.2.3.4', { 'eth.dst': other }), 'allow'],
  ['another MAC', macOnly, to('1.2.3.4', { 'eth.dst': other }), 'deny'],
  ['MAC only', macOnly, to('1.2.3.4'), 'allow'],
  ['one host', host, to('10.0.0.4'), 'allow'],
  ['one host, another address', host, to('10.0.0.5'), 'deny'],
  ['one host, ARP', host, { 'eth.dst': mac, 'eth.type': 0x806 }, 'allow'],
  ['one host, IPv6', host, to6(v6('fd00::4')), 'deny'],
  ['limited broadcast', host, to('255.255.255.255'), 'allow'],
  ['multicast', host, to('224.0.0.5'), 'allow'],
  ['broadcast of the subnet', hostInSubnet, to('10.0.0.255'), 'allow'],
  ['broadcast of no subnet', host, to('10.0.0.255'), 'deny'],
  ['subnet', subnet, to('10.0.0.9'), 'allow'],
  ['IPv6 host', host6, to6(v6('fd00::4')), 'allow'],
  ['IPv6 link-local', host6, to6(lla), 'allow'],
  ['IPv6 multicast', host6, to6(v6('ff05::1')), 'allow'],
  ['IPv6, another', host6, to6(v6('fd00::5')), 'deny'],
  ['IPv6 only, IPv4', host6, to('10.0.0.4'), 'deny'],
  ['a newer syntax', ['VRRPv3 0a:00:00:00:00:01'], to('1.2.3.4'), 'punt'],
];
for (const [name, security, fields, expected] of egress) {
  test(`out: ${name}: ${expected}`, () => {
    assert.is(verdict('out', security, fields), expected);
  });
}

test('the link-local address has the inverted universal bit', () => {
  assert.is(linkLocal(mac), v6('fe80::800:ff:fe00:1'));
});

test.run();
