/**
 * Frames for the differential run: as packet.ts makes them, but every length, version and
 * checksum can be overridden, because bad frames are half of what is sent there.
 */
import { ETH_TYPE, PROTO, concat, ip4Bytes, ip6Bytes, mac, sum16, type Bytes } from '../packet.js';

export { ETH_TYPE, PROTO, concat, mac, type Bytes };

const u16 = (n: number): Bytes => Uint8Array.of(n >> 8 & 255, n & 255);
const u24 = (n: number): Bytes => Uint8Array.of(n >> 16 & 255, n >> 8 & 255, n & 255);
const u32 = (n: number): Bytes => concat(u16(n >>> 16), u16(n & 0xffff));
export const ip = (text: string): Bytes => text.includes(':') ? ip6Bytes(text) : ip4Bytes(text);

/** Good, deliberately wrong, or left zero. */
export type Checksum = 'good' | 'bad' | 'zero';
function finish(sum: number, checksum: Checksum): number {
  const good = ~sum & 0xffff;
  return checksum === 'zero' ? 0 : checksum === 'good' ? good : good ^ 0x5555;
}

export interface Ethernet {
  readonly dst: string; readonly src: string; readonly type: number;
  /** 802.1Q tags, outermost first. */
  readonly vlans?: readonly number[];
}
export function ethernet(header: Ethernet, payload: Bytes): Bytes {
  const tags = (header.vlans ?? []).map((tci) => concat(u16(ETH_TYPE.vlan), u16(tci)));
  return concat(mac(header.dst), mac(header.src), ...tags, u16(header.type), payload);
}

export interface Arp {
  readonly op: number;
  readonly sha: string; readonly spa: string; readonly tha: string; readonly tpa: string;
}
export const arp = (a: Arp): Bytes => concat(u16(1), u16(ETH_TYPE.ip4), Uint8Array.of(6, 4),
  u16(a.op), mac(a.sha), ip(a.spa), mac(a.tha), ip(a.tpa));

export interface Ip {
  readonly src: string; readonly dst: string; readonly proto: number;
  readonly ttl?: number;
  /** DSCP and ECN: type of service or traffic class. */
  readonly tos?: number;
  /** IPv4 identification or IPv6 flow label. */
  readonly id?: number;
  /** IPv4 only: flags and offset, options (a multiple of 4 bytes), header checksum. */
  readonly fragment?: number;
  readonly options?: Bytes;
  readonly checksum?: Checksum;
  /** IPv4: version and header length byte. */
  readonly versionAndLength?: number;
  /** IPv4 total length or IPv6 payload length instead of the true one. */
  readonly length?: number;
}

function ipv4(h: Ip, payload: Bytes): Bytes {
  const options = h.options ?? new Uint8Array(0);
  const words = 5 + options.length / 4;
  const header = concat(Uint8Array.of(h.versionAndLength ?? (0x40 | words), h.tos ?? 0),
    u16(h.length ?? words * 4 + payload.length), u16(h.id ?? 0), u16(h.fragment ?? 0x4000),
    Uint8Array.of(h.ttl ?? 64, h.proto), u16(0), ip(h.src), ip(h.dst), options);
  header.set(u16(finish(sum16(header), h.checksum ?? 'good')), 10);
  return concat(header, payload);
}

function ipv6(h: Ip, payload: Bytes): Bytes {
  const first = 0x60000000 + (h.tos ?? 0) * 0x100000 + ((h.id ?? 0) & 0xfffff);
  return concat(u32(first), u16(h.length ?? payload.length),
    Uint8Array.of(h.proto, h.ttl ?? 64), ip(h.src), ip(h.dst), payload);
}

/** IPv4 or IPv6 by the source address. */
export const ipPacket = (h: Ip, payload: Bytes): Bytes =>
  h.src.includes(':') ? ipv6(h, payload) : ipv4(h, payload);
export const typeOf = (address: string): number =>
  address.includes(':') ? ETH_TYPE.ip6 : ETH_TYPE.ip4;

export interface Pseudo { readonly src: string; readonly dst: string }
/** Upper-layer checksum with RFC 8200 section 8.1's (or IPv4's) pseudo header. */
function withChecksum(
  pseudo: Pseudo | undefined, proto: number, at: number, segment: Bytes, checksum: Checksum,
): Bytes {
  const before = pseudo === undefined ? []
    : [ip(pseudo.src), ip(pseudo.dst), u32(segment.length), u32(proto)];
  const value = finish(sum16(concat(...before, segment)), checksum);
  segment.set(u16(value === 0 && proto === PROTO.udp && checksum === 'good' ? 0xffff : value),
    at);
  return segment;
}

export interface Udp {
  readonly sport: number; readonly dport: number; readonly checksum?: Checksum;
  readonly length?: number;
}
export const udp = (pseudo: Pseudo, h: Udp, data: Bytes): Bytes => withChecksum(pseudo,
  PROTO.udp, 6, concat(u16(h.sport), u16(h.dport), u16(h.length ?? 8 + data.length), u16(0),
    data), h.checksum ?? 'good');

export interface Tcp {
  readonly sport: number; readonly dport: number; readonly flags: number;
  readonly seq?: number; readonly checksum?: Checksum;
  /** Header length in words instead of the true one. */
  readonly words?: number;
  readonly options?: Bytes;
}
export function tcp(pseudo: Pseudo, h: Tcp, data: Bytes): Bytes {
  const options = h.options ?? new Uint8Array(0);
  const words = h.words ?? 5 + options.length / 4;
  const segment = concat(u16(h.sport), u16(h.dport), u32(h.seq ?? 1), u32(0),
    u16(words << 12 | h.flags), u16(65535), u16(0), u16(0), options, data);
  return withChecksum(pseudo, PROTO.tcp, 16, segment, h.checksum ?? 'good');
}

export interface Icmp {
  readonly type: number; readonly code?: number; readonly checksum?: Checksum;
}
/** The first 4 bytes of `rest` are identifier and sequence, or what the type wants there. */
export const icmp = (h: Icmp, rest: Bytes): Bytes => withChecksum(undefined, PROTO.icmp, 2,
  concat(Uint8Array.of(h.type, h.code ?? 0, 0, 0), rest), h.checksum ?? 'good');
export const icmp6 = (pseudo: Pseudo, h: Icmp, rest: Bytes): Bytes => withChecksum(pseudo,
  PROTO.icmp6, 2, concat(Uint8Array.of(h.type, h.code ?? 0, 0, 0), rest), h.checksum ?? 'good');

export interface Nd {
  /** 135 solicitation, 136 advertisement. */
  readonly type: 135 | 136; readonly target: string;
  /** Advertisement: router, solicited, override bits in the top of 32. */
  readonly flags?: number;
  /** Link-layer address option: source (135) or target (136). */
  readonly lla?: string; readonly checksum?: Checksum; readonly code?: number;
}
export const nd = (pseudo: Pseudo, h: Nd): Bytes => icmp6(pseudo, h, concat(u32(h.flags ?? 0),
  ip(h.target),
  h.lla === undefined ? new Uint8Array(0) : concat(Uint8Array.of(h.type - 134, 1), mac(h.lla))));

/** ff02::1:ffXX:XXXX of an address, and the MAC it maps to (RFC 4291, RFC 2464). */
export function solicitedNode(address: string): { readonly ip: string; readonly mac: string } {
  const [a, b, c] = [...ip(address).slice(13)].map((n) => n.toString(16).padStart(2, '0'));
  return { ip: `ff02::1:ff${a}:${b}${c}`, mac: `33:33:ff:${a}:${b}:${c}` };
}

export interface Geneve {
  readonly vni: number;
  /** OVN's option body; undefined leaves the option away. */
  readonly ports?: { readonly ingress: number; readonly egress: number };
  readonly version?: number;
  /** O and C bits. */
  readonly flags?: number;
  readonly protocol?: number;
  /** Length of options in words instead of the true one. */
  readonly optionWords?: number;
  readonly optionClass?: number; readonly optionType?: number; readonly optionLength?: number;
  /** Options after OVN's. */
  readonly more?: Bytes;
}
/** RFC 8926 section 3.4; the option is OVN's: class 0x0102, type 0x80. */
export function geneve(h: Geneve, inner: Bytes): Bytes {
  const option = h.ports === undefined ? new Uint8Array(0) : concat(u16(h.optionClass ?? 0x0102),
    Uint8Array.of(h.optionType ?? 0x80, h.optionLength ?? 1),
    u32(h.ports.ingress * 0x10000 + h.ports.egress));
  const options = concat(option, h.more ?? new Uint8Array(0));
  const first = (h.version ?? 0) << 6 | (h.optionWords ?? options.length / 4);
  return concat(Uint8Array.of(first, h.flags ?? (h.ports === undefined ? 0 : 0x40)),
    u16(h.protocol ?? 0x6558), u24(h.vni), Uint8Array.of(0), options, inner);
}
