/**
 * What OVS has learned of the backends that clients keep, from lines of `ovs-ofctl dump-flows`, and
 * the packets by which such a flow counts as used. One line is, for instance,
 *
 *   cookie=0x5b8a, duration=3.2s, table=78, n_packets=1, n_bytes=74, idle_timeout=60, idle_age=2,
 *   tcp,metadata=0x3,nw_src=10.0.1.11,nw_dst=172.16.0.18,tp_dst=80 actions=
 *   set_field:0x4000/0x4000->reg10,set_field:0xa00020b->reg4,set_field:0x1f90/0xffff->reg8
 *
 * Which registers say what differs between releases; the flow itself has them. Source: OVN v23.03.1
 * and v26.03.2, lib/actions.c, encode_COMMIT_LB_AFF(); ovs-ofctl(8).
 */
import { AFFINITY_WORDS, affinity as affinityCodec, affinityKey, type AffinityKey }
  from '../abi/generated.js';
import { addressWords, parseAddress } from '../sync/addresses.js';
import { proto } from './tuple.js';

/** One client of one virtual address. `values`: of bits `masks` of reg0 and so on. */
export interface Session {
  readonly key: AffinityKey;
  readonly values: readonly number[];
  readonly masks: readonly number[];
  /** Seconds after which OVS's flow goes unused, and for which it has been. */
  readonly timeout: number;
  readonly age: number;
}

/** MLF_USE_LB_AFF_SESSION of the logical flags, reg10: that there is a session. */
const FLAG = 'set_field:0x4000/0x4000->reg10';
const kinds: ReadonlyMap<string, readonly [family: 4 | 6, proto: number]> = new Map([
  ['ip', [4, 0]], ['ipv6', [6, 0]], ['tcp', [4, proto.tcp]], ['tcp6', [6, proto.tcp]],
  ['udp', [4, proto.udp]], ['udp6', [6, proto.udp]], ['sctp', [4, proto.sctp]],
  ['sctp6', [6, proto.sctp]],
]);
/** What a learned flow matches and carries; one with more is none that is understood. */
const names: ReadonlySet<string> = new Set(['cookie', 'duration', 'table', 'n_packets', 'n_bytes',
  'idle_timeout', 'idle_age', 'hard_age', 'metadata', 'nw_src', 'nw_dst', 'ipv6_src', 'ipv6_dst',
  'tp_dst']);

/** Words reg0 to reg9 as the actions leave them; undefined when one does anything else. */
function loadsOf(actions: string): Pick<Session, 'values' | 'masks'> | undefined {
  const values = new Array<number>(AFFINITY_WORDS).fill(0), masks = values.slice();
  for (const action of actions.split(',')) {
    if (action === FLAG) continue;
    const [, value, mask, wide, register] =
      /^set_field:(0x[0-9a-f]+|\d+)(?:\/(0x[0-9a-f]+))?->(xx)?reg(\d+)$/.exec(action) ?? [];
    const words = wide ? 4 : 1, first = Number(register) * words;
    if (value === undefined || first + words > AFFINITY_WORDS) return undefined;
    const wordOf = (number: bigint, word: number): number =>
      Number(BigInt.asUintN(32, number >> BigInt(32 * (words - 1 - word))));
    for (let word = 0; word < words; word++) {
      masks[first + word] = wordOf(BigInt(mask ?? -1), word);
      values[first + word] = wordOf(BigInt(value), word);
    }
  }
  return { values, masks };
}

/** Undefined: a flow that nothing here is known of. */
export function parseLearned(line: string): Session | undefined {
  const [before = '', actions = ''] = line.trim().split(' actions=');
  const fields = new Map<string, string>(), found = [];
  for (const token of before.split(/,\s*/)) {
    const at = token.indexOf('=');
    if (at < 0) found.push(token);
    else fields.set(token.slice(0, at), token.slice(at + 1));
  }
  const [family, number] = kinds.get(found.join()) ?? [0, 0];
  const loads = actions.includes(FLAG) ? loadsOf(actions) : undefined;
  const other = [...fields.keys()].some((name) => !names.has(name));
  if (family === 0 || !loads || other) return undefined;
  const address = (name: string): number[] | undefined => {
    const parsed = parseAddress(fields.get(`${family === 4 ? 'nw' : 'ipv6'}_${name}`) ?? '');
    return parsed?.family === family ? addressWords(parsed) : undefined;
  };
  const numberOf = (name: string): number => Number(fields.get(name) ?? NaN);
  const [client, vip] = [address('src'), address('dst')];
  const [datapath, timeout] = [numberOf('metadata'), numberOf('idle_timeout')];
  const age = Number(fields.get('idle_age') ?? 0), port = number === 0 ? 0 : numberOf('tp_dst');
  if (!client || !vip || Number.isNaN(datapath + timeout + age + port)) return undefined;
  return { key: { datapath, family: number << 8 | family, port, vip, client }, ...loads, timeout,
    age };
}

const ETHERNET = 14;
const headers: ReadonlyMap<number, number> =
  new Map([[0, 0], [proto.tcp, 20], [proto.udp, 8], [proto.sctp, 12]]);

/** A frame that the session's flow matches, as far as OVS looks at one. */
export function frameOf({ family: kind, port, vip, client }: AffinityKey): Buffer {
  const six = (kind & 0xff) === 6, number = kind >>> 8, l4 = headers.get(number) ?? 0;
  const ip = six ? 40 : 20, frame = Buffer.alloc(ETHERNET + ip + l4);
  frame.writeUInt16BE(six ? 0x86dd : 0x0800, 12);
  if (six) {
    frame.writeUInt32BE(6 * 2 ** 28, ETHERNET);
    frame.writeUInt16BE(l4, ETHERNET + 4);
    frame.set([number === 0 ? 59 : number, 64], ETHERNET + 6);
  } else {
    frame.set([0x45, 0], ETHERNET);
    frame.writeUInt16BE(ip + l4, ETHERNET + 2);
    frame.set([64, number === 0 ? 255 : number], ETHERNET + 8);
  }
  const words = six ? [...client, ...vip] : [client[3]!, vip[3]!];
  const at = ETHERNET + (six ? 8 : 12);
  words.forEach((word, i) => frame.writeUInt32BE(word, at + 4 * i));
  if (number === 0) return frame;
  frame.writeUInt16BE(port, ETHERNET + ip + 2);
  if (number === proto.tcp) frame.writeUInt16BE(0x5002, ETHERNET + ip + 12);
  if (number === proto.udp) frame.writeUInt16BE(l4, ETHERNET + ip + 4);
  return frame;
}

/** Of two sessions of one client, one with a port of the virtual address and one without, OVS
 * takes either: neither is taken here. */
function ambiguous(sessions: readonly Session[]): ReadonlySet<string> {
  const name = ({ key: { datapath, family, vip, client } }: Session): string =>
    [datapath, family & 0xff, ...vip, ...client].join('.');
  const ported = new Set<string>(), whole = new Set<string>();
  for (const session of sessions) (session.key.family > 0xff ? ported : whole).add(name(session));
  return new Set(sessions.filter((one) => ported.has(name(one)) && whole.has(name(one))).map(idOf));
}

const idOf = ({ key }: Session): string => Buffer.from(affinityKey.toBytes(key)).toString('hex');

/** Entries of the map `affinity` by their keys in hexadecimal digits. `now`: when OVS was asked, in
 * milliseconds; OVS's flow lives `marginMs` longer than its entry holds, or there is none. */
export function entriesOf(sessions: readonly Session[], now: number, marginMs: number):
  Map<string, Uint8Array> {
  const left = ambiguous(sessions), entries = new Map<string, Uint8Array>();
  for (const session of sessions) {
    const id = idOf(session), { values, masks, timeout, age } = session;
    // OVS's age is of whole seconds that have passed.
    const until = now + (timeout - age - 1) * 1000 - marginMs;
    if (until <= now || left.has(id)) continue;
    entries.set(id, affinityCodec.toBytes({ until: BigInt(until), values, masks }));
  }
  return entries;
}
