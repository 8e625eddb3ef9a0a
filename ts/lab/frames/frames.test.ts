import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  PROTO, arp, ethernet, geneve, icmp, icmp6, ipPacket, nd, solicitedNode, tcp, typeOf, udp,
} from './frames.js';
import * as packet from '../packet.js';

const [src, dst] = ['02:00:00:00:01:0b', '02:00:00:00:01:0c'];
const v4 = { src: '10.0.1.11', dst: '10.0.1.12' };
const v6 = { src: 'fd00:1::11', dst: 'fd00:1::12' };
const data = Uint8Array.of(1, 2, 3, 4, 5);

const same = (mine: Uint8Array, theirs: Uint8Array): void =>
  assert.is(packet.hex(mine), packet.hex(theirs));

test('good frames are those that packet.ts makes', () => {
  const ports = { sport: 7, dport: 9 };
  same(ethernet({ src, dst, type: typeOf(v4.src) },
    ipPacket({ ...v4, proto: PROTO.udp, fragment: 0 }, udp(v4, ports, data))),
  packet.eth({ src, dst }, packet.ip4(v4, packet.udp({ src: 7, dst: 9 }, data))));
  same(ethernet({ src, dst, type: typeOf(v6.src) },
    ipPacket({ ...v6, proto: PROTO.udp, tos: 0xb8 }, udp(v6, ports, data))),
  packet.eth({ src, dst }, packet.ip6({ ...v6, tos: 0xb8 },
    packet.udp({ src: 7, dst: 9 }, data))));
  const ask = { op: 1, sha: src, spa: v4.src, tha: '00:00:00:00:00:00', tpa: v4.dst };
  same(ethernet({ src, dst, type: 0x0806 }, arp(ask)),
    packet.eth({ src, dst }, packet.arp(ask)));
  same(ipPacket({ ...v6, proto: PROTO.icmp6, ttl: 255 },
    nd(v6, { type: 135, target: v6.dst, lla: src })),
  packet.ip6({ ...v6, ttl: 255 }, packet.ndSolicit(v6.dst, packet.ndOption(1, src))).bytes);
  same(ipPacket({ ...v4, proto: PROTO.udp, fragment: 0 }, udp(v4, { sport: 5, dport: 6081 },
    geneve({ vni: 3, ports: { ingress: 1, egress: 2 } }, data))),
  packet.ip4(v4, packet.geneve({ vni: 3, inport: 1, outport: 2, sport: 5 }, data)).bytes);
});

test('checksums of everything sum up, bad ones do not', () => {
  const whole = (bytes: Uint8Array, proto: number): number =>
    packet.sum16(bytes, packet.sum16(packet.concat(packet.ip6Bytes(v6.src),
      packet.ip6Bytes(v6.dst)), proto + bytes.length));
  assert.is(whole(tcp(v6, { sport: 1, dport: 2, flags: 2 }, data), PROTO.tcp), 0xffff);
  assert.is(whole(icmp6(v6, { type: 128 }, data), PROTO.icmp6), 0xffff);
  assert.is(packet.sum16(icmp({ type: 8 }, data)), 0xffff);
  assert.is.not(packet.sum16(icmp({ type: 8, checksum: 'bad' }, data)), 0xffff);
  assert.is.not(
    whole(tcp(v6, { sport: 1, dport: 2, flags: 2, checksum: 'bad' }, data), PROTO.tcp), 0xffff);
});

test('what is overridden is what the frame says', () => {
  const packet4 = ipPacket({
    ...v4, proto: PROTO.udp, length: 19, versionAndLength: 0x4f, ttl: 0,
    options: Uint8Array.of(1, 1, 1, 0),
  }, data);
  assert.equal([packet4[0], packet4[2], packet4[3], packet4[8], packet4.length],
    [0x4f, 0, 19, 0, 29]);
  const header = geneve({ vni: 0xabcdef, version: 1, optionWords: 63 }, data);
  assert.is(packet.hex(header), '7f006558abcdef000102030405');
});

test('the solicited-node group of an address', () => {
  assert.equal(solicitedNode('fd00:1::12:3456'),
    { ip: 'ff02::1:ff12:3456', mac: '33:33:ff:12:34:56' });
});

test.run();
