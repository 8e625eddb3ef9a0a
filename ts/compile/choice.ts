/** Actions that choose one of several: select for routes and policies, forwarding groups. */
import {
  BUCKETS, BUCKET_WORDS, flowWord as fw, HASH_ETH_DST, HASH_ETH_SRC, HASH_IP4_DST, HASH_IP4_SRC,
  HASH_IP6_DST, HASH_IP6_SRC, HASH_TCP_DST, HASH_TCP_SRC, HASH_UDP_DST, HASH_UDP_SRC, opCode,
  RULE_ARGS,
} from '../abi/generated.js';
import { part } from './fields.js';
import { place, refuse, standOf, tableNumber, type Builder, type Handler } from './builder.js';
import { internBuckets } from './program.js';

/** Fields that OVN's northd lets load balancers hash, by OpenFlow's names. */
const hashed: ReadonlyMap<string, number> = new Map([
  ['eth_src', HASH_ETH_SRC], ['eth_dst', HASH_ETH_DST], ['ip_src', HASH_IP4_SRC],
  ['ip_dst', HASH_IP4_DST], ['ipv6_src', HASH_IP6_SRC], ['ipv6_dst', HASH_IP6_DST],
  ['tcp_src', HASH_TCP_SRC], ['tcp_dst', HASH_TCP_DST], ['udp_src', HASH_UDP_SRC],
  ['udp_dst', HASH_UDP_DST],
]);

/** The flags of a `hash_fields`; 0 without one. */
export function hashFlags(names: string | undefined): number {
  const list = names?.split(',').map((name) => name.trim()).filter((name) => name !== '') ?? [];
  return list.reduce((flags, name) => flags | (hashed.get(name) ?? refuse(`hash of ${name}`)), 0);
}

/** FW_CHOICE becomes one of `words`, chosen by the fields of `flags`. */
export function choose(b: Builder, words: readonly (readonly number[])[], flags: number): void {
  if (b.buckets || b.stack.length > 0) refuse('two choices, or one after push');
  const parts = Math.ceil(words.length / BUCKETS);
  if (b.args.length + 1 + parts > RULE_ARGS) refuse(`choice from ${words.length}`);
  b.buckets = internBuckets(words);
  const arg = b.arg(words.length);
  for (let i = 0; i < parts; i++) b.arg(0);
  b.ops.push({ code: opCode.OP_SELECT, mask: flags, arg });
}

/** One number as a bucket. */
const single = (value: number): readonly number[] =>
  [value, ...new Array<number>(BUCKET_WORDS - 1).fill(0)];

const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));

/** Stores the id and goes on in the next table. Weights become repetitions. */
export const select: Handler<'select'> = (b, { dst, choices, hashFields }) => {
  const { pipeline, table } = standOf(b);
  const unit = choices.reduce((d, { weight }) => divisor(d, weight), 0);
  const flags = hashFlags(hashFields);
  if (flags !== 0 && choices.some(({ weight }) => weight !== unit)) {
    refuse('hash fields with weights');
  }
  choose(b, choices.flatMap(({ id, weight }) =>
    Array.from({ length: weight / unit }, () => single(id))), flags);
  const to = part(place(dst), 0, 16) ?? refuse(`select into ${dst.symbol.name}`);
  b.move(to, { word: fw.FW_CHOICE, shift: 0, width: 16 });
  const high = part(place(dst), 16, dst.width - 16);
  if (high && high.width > 0) b.load(high, 0n);
  b.end({ code: opCode.OP_NEXT, imm: tableNumber(pipeline, table + 1) });
};

/**
 * Goes to one of the ports. With liveness OVS leaves out those whose tunnel is down, which is
 * not known here. Of keys above 9 OVN up to 26.03 writes the digits as hexadecimal ones, so
 * that another port gets the packets: that is OVN's to do.
 */
export const forward: Handler<'fwd_group'> = (b, { liveness, ports }) => {
  if (liveness) refuse('fwd_group with liveness');
  const keys = ports.map((name) => b.target.port(name) ?? refuse(`fwd_group to ${name}`));
  if (keys.length === 0 || keys.some((key) => key > 9)) refuse('fwd_group to these ports');
  choose(b, keys.map(single), 0);
  b.move({ word: fw.FW_OUTPORT, shift: 0, width: 16 },
    { word: fw.FW_CHOICE, shift: 0, width: 16 });
  b.end({ code: opCode.OP_OUTPUT });
};
