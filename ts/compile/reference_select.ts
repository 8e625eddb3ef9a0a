/** OP_SELECT of bpf/select.h, in TypeScript, for reference.ts. */
import {
  BUCKET_WORDS, flowWord as fw, HASH_ALL, HASH_ETH_DST, HASH_ETH_SRC, HASH_IP4_DST, HASH_IP4_SRC,
  HASH_IP6_DST, HASH_IP6_SRC, HASH_TCP_DST, HASH_TCP_SRC, HASH_UDP_DST, HASH_UDP_SRC,
  SELECT_IP4, SELECT_IP6,
} from '../abi/generated.js';
import type { Buckets } from './model.js';

const TCP = 6, UDP = 17, SCTP = 132;
const IP4 = 0x0800, IP6 = 0x86dd;

const rotate = (v: number, by: number): number => (v << by | v >>> (32 - by)) >>> 0;

/** MurmurHash3 by 32-bit words, as lib/hash.h of OVS. */
function add(hash: number, word: number): number {
  const mixed = hash ^ Math.imul(rotate(Math.imul(word, 0xcc9e2d51) >>> 0, 15), 0x1b873593);
  return (Math.imul(rotate(mixed >>> 0, 13), 5) + 0xe6546b64) >>> 0;
}
function end(hash: number, bytes: number): number {
  let h = hash ^ bytes;
  h = Math.imul(h ^ h >>> 16, 0x85ebca6b);
  h = Math.imul(h ^ h >>> 13, 0xc2b2ae35);
  return (h ^ h >>> 16) >>> 0;
}

/** hash_bytes() of OVS on a little-endian machine: by words, the last one filled with zeros. */
export function hashBytes(bytes: Uint8Array, basis: number): number {
  const words = Math.ceil(bytes.length / 4);
  const padded = Buffer.alloc(words * 4);
  padded.set(bytes);
  let hash = basis;
  for (let i = 0; i < words; i++) hash = add(hash, padded.readUInt32LE(i * 4));
  return end(hash, bytes.length);
}

/** Bytes of a field as in a frame: the last `bytes` of these words, shifted right. */
function field(words: Uint32Array, first: number, count: number, bytes: number, shift = 0): Buffer {
  const all = Buffer.alloc(count * 4);
  for (let i = 0; i < count; i++) all.writeUInt32BE(words[first + i]! >>> shift, i * 4);
  return all.subarray(count * 4 - bytes);
}

type Field = readonly [flag: number, bytes: (w: Uint32Array) => Buffer,
  of: (type: number, proto: number) => boolean];
const ofTcp: Field[2] = (_, proto) => proto === TCP, ofUdp: Field[2] = (_, proto) => proto === UDP;
const ofIp4: Field[2] = (type) => type === IP4, ofIp6: Field[2] = (type) => type === IP6;
const source: Field[1] = (w) => field(w, fw.FW_L4, 1, 2, 16);
const destination: Field[1] = (w) => field(w, fw.FW_L4, 1, 2);
const fields: readonly Field[] = [
  [HASH_ETH_SRC, (w) => field(w, fw.FW_ETH_SRC, 2, 6), () => true],
  [HASH_ETH_DST, (w) => field(w, fw.FW_ETH_DST, 2, 6), () => true],
  [HASH_IP4_SRC, (w) => field(w, fw.FW_IP_SRC + 3, 1, 4), ofIp4],
  [HASH_IP4_DST, (w) => field(w, fw.FW_IP_DST + 3, 1, 4), ofIp4],
  [HASH_IP6_SRC, (w) => field(w, fw.FW_IP_SRC, 4, 16), ofIp6],
  [HASH_IP6_DST, (w) => field(w, fw.FW_IP_DST, 4, 16), ofIp6],
  [HASH_TCP_SRC, source, ofTcp], [HASH_TCP_DST, destination, ofTcp],
  [HASH_UDP_SRC, source, ofUdp], [HASH_UDP_DST, destination, ofUdp],
];

function byFields(w: Uint32Array, flags: number, count: number): number {
  const type = w[fw.FW_ETH_TYPE]! >>> 16, ip = type === IP4 || type === IP6;
  const proto = ip ? w[fw.FW_IP]! >>> 24 : -1;
  const basis = fields.reduce((hash, [flag, bytes, of]) =>
    (flags & flag) !== 0 && of(type, proto) ? hashBytes(bytes(w), hash) : hash,
  end(add(add(0, 0), 0), 8));
  let best = 0, highest = 0;
  for (let i = 0; i < count; i++) {
    const score = end(add(add(i, 0), basis), 8) & 0xffff;
    if (score >= highest) [best, highest] = [i, score];
  }
  return best;
}

function byConnection(w: Uint32Array, count: number): number {
  const proto = w[fw.FW_IP]! >>> 24;
  const l4 = proto === TCP || proto === UDP || proto === SCTP ? w[fw.FW_L4]! : 0;
  const one = (first: number, port: number): number =>
    end(w.subarray(first, first + 4).reduce(add, port), 20);
  const ends = one(fw.FW_IP_SRC, l4 >>> 16) + one(fw.FW_IP_DST, l4 & 0xffff);
  return Number(BigInt(end(add(ends >>> 0, proto), 4)) * BigInt(count) >> 32n);
}

/** Index of the bucket for the packet. */
export const chosen = (w: Uint32Array, flags: number, count: number): number =>
  flags === 0 ? byConnection(w, count) : count === 1 ? 0 : byFields(w, flags, count);

/** False: not for packets of this family. */
export function select(w: Uint32Array, flags: number, { words }: Buckets): boolean {
  const type = w[fw.FW_ETH_TYPE]! >>> 16;
  if ((flags & SELECT_IP4) !== 0 && type !== IP4) return false;
  if ((flags & SELECT_IP6) !== 0 && type !== IP6) return false;
  const bucket = words[chosen(w, flags & HASH_ALL, words.length)]!;
  for (let i = 0; i < BUCKET_WORDS; i++) w[fw.FW_CHOICE + i] = bucket[i] ?? 0;
  return true;
}
