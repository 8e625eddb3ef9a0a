/**
 * Tuples of connections and the keys of `conns` and `foreign`, as bpf/ct_key.h makes them: the
 * smaller end (address, then port) first, so that both directions have one key.
 */
import { connKey, KEY_FROM, type ConnKey } from '../abi/generated.js';
import { addressWords, parseAddress } from '../sync/addresses.js';

export const proto = Object.freeze({ icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 });
const otherNames = { igmp: 2, dccp: 33, gre: 47, esp: 50, udplite: 136 };
const protoNumbers: Readonly<Record<string, number>> = { ...proto, ...otherNames };
const protoNames = new Map(Object.entries(protoNumbers).map(([name, n]) => [n, name]));

/** One direction of a connection: what a packet of it says. */
export interface Tuple {
  readonly family: 4 | 6;
  readonly proto: number;
  /** Four words as FW_IP_SRC. */
  readonly src: readonly number[];
  readonly dst: readonly number[];
  /** TCP, UDP: the port; ICMP queries: identifier << 8 | type that the end sends; else 0. */
  readonly sport: number;
  readonly dport: number;
}

/** Also a number; undefined when it is none. */
export function parseProto(text: string): number | undefined {
  if (Object.hasOwn(protoNumbers, text)) return protoNumbers[text];
  return /^\d{1,3}$/.test(text) && Number(text) < 256 ? Number(text) : undefined;
}
export const protoName = (number: number): string => protoNames.get(number) ?? String(number);
export const isIcmp = (number: number): boolean => number === proto.icmp || number === proto.icmpv6;
export const hasPorts = (number: number): boolean => number === proto.tcp || number === proto.udp;

/** The ICMP type that answers one: 0 and 8, 13 and 14, 15 and 16, 128 and 129. */
export function icmpAnswer(family: 4 | 6, type: number): number {
  if (family === 6) return type ^ 1;
  if (type <= 8) return type ^ 8;
  return type % 2 === 1 ? type + 1 : type - 1;
}

export const reverse = (tuple: Tuple): Tuple => ({ ...tuple, src: tuple.dst, dst: tuple.src,
  sport: tuple.dport, dport: tuple.sport });

/** Whether the source is the larger end. */
function sourceIsLarger({ src, dst, sport, dport }: Tuple): boolean {
  for (let i = 0; i < 4; i += 1) {
    if (src[i] !== dst[i]) return src[i]! > dst[i]!;
  }
  return sport > dport;
}

/** The key under which both directions meet, and whether the source is its end b. */
export function canonical(tuple: Tuple, zone = 0): { key: ConnKey; fromB: boolean } {
  const fromB = sourceIsLarger(tuple);
  const { src, dst, sport, dport } = fromB ? reverse(tuple) : tuple;
  return { fromB, key: { a: src, b: dst, a_port: sport, b_port: dport, zone, proto: tuple.proto,
    family: tuple.family } };
}

/** No connection's: `twin` of what is not translated. */
export const noKey: ConnKey = { a: [], b: [], a_port: 0, b_port: 0, zone: 0, proto: 0,
  family: 0 };

/** The tuple of packets that end a sends, or end b. */
export function tupleOf(key: ConnKey, fromB: boolean): Tuple {
  const family = (key.family & ~KEY_FROM) === 6 ? 6 : 4;
  const tuple: Tuple = { family, proto: key.proto, src: key.a, dst: key.b, sport: key.a_port,
    dport: key.b_port };
  return fromB ? reverse(tuple) : tuple;
}

export const keyBytes = (key: ConnKey): Uint8Array => connKey.toBytes(key);

/** RFC 5952: the longest run of at least two zero groups becomes "::". */
function formatIp6(words: readonly number[]): string {
  const groups = words.flatMap((word) => [word >>> 16, word & 0xffff]);
  let start = 0, length = 0;
  for (let i = 0, run = 0; i < 8; i += 1) {
    run = groups[i] === 0 ? run + 1 : 0;
    if (run > length) [start, length] = [i - run + 1, run];
  }
  const hex = (part: readonly number[]): string => part.map((n) => n.toString(16)).join(':');
  if (length < 2) return hex(groups);
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

export function formatAddress(family: number, words: readonly number[]): string {
  if (family === 6) return formatIp6(words);
  const word = words[3] ?? 0;
  return [24, 16, 8, 0].map((shift) => word >>> shift & 255).join('.');
}

export interface Prefix { readonly family: 4 | 6; readonly words: readonly number[];
  readonly masks: readonly number[] }

const maskOf = (bits: number): number => bits <= 0 ? 0 : bits >= 32 ? 0xffffffff
  : (0xffffffff << (32 - bits)) >>> 0;

/** "10.0.0.1", "10.0.0.0/8", "fd00::/64"; undefined when it is none of these. */
export function parsePrefix(text: string): Prefix | undefined {
  const [, address = '', length] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const parsed = parseAddress(address);
  if (!parsed) return undefined;
  const { family } = parsed;
  const width = family === 4 ? 32 : 128;
  const bits = Number(length ?? width);
  if (bits > width) return undefined;
  const masks = [0, 1, 2, 3].map((i) => maskOf(bits + 128 - width - 32 * i));
  return { family, masks, words: addressWords(parsed).map((word, i) => (word & masks[i]!) >>> 0) };
}

export const inPrefix = ({ words, masks }: Prefix, address: readonly number[]): boolean =>
  words.every((word, i) => ((address[i]! & masks[i]!) >>> 0) === word);
