/**
 * Malformed frames by name. The reason behind most: two parsers that disagreed, so a frame
 * must leave ovn-xdp exactly as Open vSwitch alone would have it. CVE numbers name the defect
 * of Open vSwitch, OVN or Linux that the case is made after.
 */
import { ETH_TYPE, PROTO, concat, ethernet, tcp, udp, type Bytes } from './frames.js';
import { unicast, wrap, type Draft, type Injection, type Scene } from './generator.js';

type Bad = (draft: Draft, scene: Scene, tag: Bytes) => Omit<Injection, 'kind'>;

const family = (draft: Draft): 4 | 6 => draft.src.includes(':') ? 6 : 4;
const data = (tag: Bytes): Bytes => concat(new Uint8Array(24), tag);
const udpOf = (draft: Draft, tag: Bytes): Bytes =>
  udp(draft, { sport: 4000, dport: 80 }, data(tag));
const raw = (draft: Draft, type: number, payload: Bytes): Omit<Injection, 'kind'> => ({
  at: { vm: draft.from.port },
  frame: ethernet({ dst: draft.ethDst, src: draft.ethSrc, type }, payload),
});

/** A UDP packet whose IP header is wrong in one way. */
const badIp = (change: Partial<Draft['ip']>): Bad => (draft, _scene, tag) =>
  wrap({ ...draft, ip: { ...draft.ip, ...change } }, PROTO.udp, udpOf(draft, tag));

/** The good packet with the frame's last bytes cut off at `length`. */
const cut = (length: number): Bad => (draft, _scene, tag) => {
  const { at, frame } = wrap(draft, PROTO.udp, udpOf(draft, tag));
  return { at, frame: frame.slice(0, length) };
};

/** Bytes of one IPv6 extension header: next header, length in 8 octets beyond the first. */
const extension = (next: number, length = 0): Bytes =>
  concat(Uint8Array.of(next, length, 1, 4), new Uint8Array(4 + length * 8));

/** IPv6 with headers between the fixed one and UDP; `first` names the first of them. */
const chain = (first: number, ...headers: readonly Bytes[]): Bad => (draft, _scene, tag) =>
  wrap(draft, first, concat(...headers, udpOf(draft, tag)));

const fragment6 = (next: number, offset: number): Bytes =>
  concat(Uint8Array.of(next, 0, offset >> 8, offset & 255), Uint8Array.of(0, 0, 0, 7));

interface Case { readonly name: string; readonly family: 4 | 6 | 'both'; readonly make: Bad }

const cases: readonly Case[] = [
  { name: 'runt: Ethernet header only', family: 'both', make: cut(14) },
  { name: 'IP header cut', family: 'both', make: cut(20) },
  { name: 'IP header cut before the addresses end', family: 'both', make: cut(33) },
  { name: 'IPv6 header cut', family: 6, make: cut(50) },
  { name: 'L4 header cut', family: 4, make: cut(38) },
  { name: 'L4 header cut, IPv6', family: 6, make: cut(58) },
  { name: 'zero-length L4', family: 'both', make: (draft) =>
    wrap(draft, PROTO.udp, new Uint8Array(0)) },
  { name: 'zero-length TCP', family: 'both', make: (draft) =>
    wrap(draft, PROTO.tcp, new Uint8Array(0)) },
  { name: 'zero-length ICMP', family: 'both', make: (draft) =>
    wrap(draft, family(draft) === 4 ? PROTO.icmp : PROTO.icmp6, new Uint8Array(0)) },
  { name: 'total length too long', family: 4, make: badIp({ length: 1400 }) },
  { name: 'total length below the header (CVE-2016-10377)', family: 4,
    make: badIp({ length: 19 }) },
  { name: 'total length zero', family: 4, make: badIp({ length: 0 }) },
  { name: 'total length ends in the UDP header', family: 4, make: badIp({ length: 24 }) },
  { name: 'payload length too long', family: 6, make: badIp({ length: 1400 }) },
  { name: 'payload length zero', family: 6, make: badIp({ length: 0 }) },
  { name: 'payload length ends in the UDP header', family: 6, make: badIp({ length: 4 }) },
  { name: 'header length 4 words', family: 4, make: badIp({ versionAndLength: 0x44 }) },
  { name: 'header length beyond the frame', family: 4, make: badIp({ versionAndLength: 0x4f }) },
  { name: 'version 6 in an IPv4 frame', family: 4, make: badIp({ versionAndLength: 0x65 }) },
  { name: 'protocol 0 (CVE-2023-1668)', family: 4, make: (draft, _scene, tag) =>
    wrap(draft, 0, data(tag)) },
  { name: 'padding after the packet (CVE-2020-35498)', family: 'both',
    make: (draft, _scene, tag) => {
      const { at, frame } = wrap(draft, PROTO.udp, udpOf(draft, tag));
      return { at, frame: concat(frame, new Uint8Array(37).fill(0xee)) };
    } },
  { name: 'much padding after a short packet', family: 'both', make: (draft, _scene, tag) => {
    const { at, frame } = wrap(draft, PROTO.udp, udpOf(draft, tag));
    return { at, frame: concat(frame, new Uint8Array(600)) };
  } },
  { name: 'UDP length zero', family: 'both', make: (draft, _scene, tag) =>
    wrap(draft, PROTO.udp, udp(draft, { sport: 1, dport: 80, length: 0 }, data(tag))) },
  { name: 'UDP length too long', family: 'both', make: (draft, _scene, tag) =>
    wrap(draft, PROTO.udp, udp(draft, { sport: 1, dport: 80, length: 999 }, data(tag))) },
  { name: 'UDP without checksum over IPv6', family: 6, make: (draft, _scene, tag) =>
    wrap(draft, PROTO.udp, udp(draft, { sport: 1, dport: 80, checksum: 'zero' }, data(tag))) },
  { name: 'TCP data offset 4', family: 'both', make: (draft, _scene, tag) =>
    wrap(draft, PROTO.tcp, tcp(draft, { sport: 1, dport: 80, flags: 2, words: 4 }, data(tag))) },
  { name: 'TCP data offset beyond the packet', family: 'both', make: (draft, _scene, tag) =>
    wrap(draft, PROTO.tcp, tcp(draft, { sport: 1, dport: 80, flags: 2, words: 15 }, tag)) },
  { name: 'first fragment of 8 bytes', family: 4, make: (draft, _scene, tag) =>
    wrap({ ...draft, ip: { ...draft.ip, fragment: 0x2000 } }, PROTO.tcp, tag) },
  { name: 'last fragment at the end of what an offset can say (CVE-2021-46955)', family: 4,
    make: (draft, _scene, tag) =>
      wrap({ ...draft, ip: { ...draft.ip, fragment: 0x1fff } }, PROTO.udp, data(tag)) },
  { name: 'hop-by-hop options', family: 6, make: chain(0, extension(PROTO.udp)) },
  { name: 'destination options', family: 6, make: chain(60, extension(PROTO.udp)) },
  { name: 'routing header', family: 6, make: chain(43, extension(PROTO.udp, 2)) },
  { name: 'chain of five extension headers', family: 6,
    make: chain(0, extension(60), extension(43), extension(60), extension(60),
      extension(PROTO.udp)) },
  { name: 'extension header longer than the packet', family: 6,
    make: (draft, _scene, tag) =>
      wrap(draft, 0, concat(Uint8Array.of(PROTO.udp, 200), new Uint8Array(6), tag)) },
  { name: 'authentication header', family: 6,
    make: chain(51, concat(Uint8Array.of(PROTO.udp, 4), new Uint8Array(22))) },
  { name: 'first fragment, IPv6', family: 6, make: chain(44, fragment6(PROTO.udp, 1)) },
  { name: 'later fragment, IPv6', family: 6, make: chain(44, fragment6(PROTO.udp, 0x101)) },
  { name: 'atomic fragment', family: 6, make: chain(44, fragment6(PROTO.udp, 0)) },
  { name: 'no next header', family: 6, make: (draft, _scene, tag) => wrap(draft, 59, data(tag)) },
  { name: 'unknown ethertype', family: 'both', make: (draft, _scene, tag) =>
    raw(draft, 0x88b5, data(tag)) },
  { name: 'LLC frame: length instead of a type', family: 'both', make: (draft, _scene, tag) =>
    raw(draft, 40, concat(Uint8Array.of(0x42, 0x42, 3), data(tag))) },
  { name: 'MPLS stack (CVE-2016-2074)', family: 'both', make: (draft, _scene, tag) =>
    raw(draft, 0x8847, concat(...new Array<Bytes>(20).fill(Uint8Array.of(0, 1, 0, 64)), tag)) },
  { name: 'VLAN stack of eight', family: 'both', make: (draft, _scene, tag) =>
    wrap({ ...draft, vlans: [1, 2, 3, 4, 5, 6, 7, 8] }, PROTO.udp, udpOf(draft, tag)) },
  { name: 'VLAN tag without a packet', family: 'both', make: (draft) =>
    raw(draft, ETH_TYPE.vlan, Uint8Array.of(0, 1)) },
  { name: 'ARP cut', family: 4, make: (draft) =>
    raw({ ...draft, ethDst: 'ff:ff:ff:ff:ff:ff' }, ETH_TYPE.arp, Uint8Array.of(0, 1, 8, 0, 6, 4)) },
  { name: 'ARP for another hardware', family: 4, make: (draft, _scene, tag) =>
    raw(draft, ETH_TYPE.arp, concat(Uint8Array.of(0, 6, 8, 0, 6, 4, 0, 1), new Uint8Array(20),
      tag)) },
  { name: 'IPv4 in an IPv6 frame', family: 4, make: (draft, _scene, tag) => {
    const { at, frame } = wrap(draft, PROTO.udp, udpOf(draft, tag));
    frame.set([0x86, 0xdd], 12);
    return { at, frame };
  } },
  { name: 'source is the destination', family: 'both', make: (draft, _scene, tag) =>
    wrap({ ...draft, ethDst: draft.ethSrc, dst: draft.src }, PROTO.udp, udpOf(draft, tag)) },
  { name: 'all-zero MAC addresses', family: 'both', make: (draft, _scene, tag) =>
    wrap({ ...draft, ethDst: '00:00:00:00:00:00', ethSrc: '00:00:00:00:00:00' }, PROTO.udp,
      udpOf(draft, tag)) },
  { name: 'geneve from a VM (CVE-2024-2182 neighbours)', family: 'both',
    make: (draft, _scene, tag) => wrap(draft, PROTO.udp,
      udp(draft, { sport: 5000, dport: 6081 }, concat(new Uint8Array(8), data(tag)))) },
];

/** Every case, for each IP version it is of; VMs are drawn anew each time. */
export const badFrames: readonly ((scene: Scene, tag: Bytes) => Injection)[] =
  cases.flatMap(({ name, family: which, make }) =>
    (which === 'both' ? [4, 6] as const : [which]).map((version) => (scene: Scene, tag: Bytes) =>
      ({ kind: `${name} (IPv${version})`, ...make(unicast(scene, version), scene, tag) })));
