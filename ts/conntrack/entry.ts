/** Entries of `conns` and `foreign` as people ask about them. */
import { conn as connCodec, connKey, foreign as foreignCodec, CONN_ALIAS, CONN_BUSY, CONN_DEAD,
  CONN_EXPIRES_SHIFT, CONN_FROM_B, CONN_NAT_DST, CONN_NAT_SRC, CONN_ORIG_STATE, CONN_REPLY_STATE,
  CONN_TWIN, ctTimeout, KEY_FROM_B, otherState, puntReasons, tcpState,
} from '../abi/generated.js';
import { isIcmp, proto, reverse, tupleOf, type Tuple } from './tuple.js';

export type Owner = 'ours' | 'foreign';
export interface Connection {
  readonly owner: Owner;
  /** Ours only: `foreign` knows no zones. */
  readonly zone: number | undefined;
  readonly proto: number;
  readonly orig: Tuple;
  /** Of the replies: if translated, not just `orig` the other way. */
  readonly reply: Tuple;
  /** Foreign, all connections of this end: `orig` with its source alone. */
  readonly wildcard: boolean;
  /** As OVS names TCP's; FIRST, MULTIPLE, BIDIR of others; foreign: why it is OVS's. */
  readonly state: string;
  /** Milliseconds; age is not known of foreign ones. */
  readonly age: number | undefined;
  readonly idle: number;
  readonly expires: number;
  readonly nat: '' | 'snat' | 'dnat';
  readonly mark: number;
  readonly label: bigint;
  /** Of the original direction, of replies. */
  readonly packets: readonly bigint[];
  readonly bytes: readonly bigint[];
}

export interface Moment {
  /** Milliseconds of CLOCK_MONOTONIC. */
  readonly now: number;
  /** Seconds by enum ct_timeout. */
  readonly timeouts: readonly number[];
  /** Seconds. */
  readonly foreignAge: number;
}

/** CLOCK_MONOTONIC, which the programs' stamps are of. */
export const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000_000n);

const tcpNames = Object.entries(tcpState).map(([name]) => name.slice('TCPS_'.length));
const otherNames = Object.keys(otherState).map((name) => name.slice('OTHERS_'.length));

/** What a TCP connection in these states waits for: tcp_timeout() of bpf/ct_state.h. */
function tcpTimeout(a: number, b: number): number {
  const [low, high] = a < b ? [a, b] : [b, a];
  if (low >= tcpState.TCPS_FIN_WAIT_2 || high === tcpState.TCPS_TIME_WAIT) {
    return ctTimeout.CT_TM_TCP_CLOSED;
  }
  if (low >= tcpState.TCPS_CLOSING) return ctTimeout.CT_TM_TCP_FIN_WAIT;
  if (low < tcpState.TCPS_SYN_SENT) return ctTimeout.CT_TM_TCP_FIRST;
  if (low < tcpState.TCPS_ESTABLISHED) return ctTimeout.CT_TM_TCP_OPENING;
  return high >= tcpState.TCPS_CLOSING ? ctTimeout.CT_TM_TCP_CLOSING
    : ctTimeout.CT_TM_TCP_ESTABLISHED;
}

/** enum ct_timeout of an entry with these states. */
export function timeoutOf(protocol: number, orig: number, reply: number): number {
  if (protocol === proto.tcp) return tcpTimeout(orig, reply);
  if (isIcmp(protocol)) return ctTimeout.CT_TM_ICMP;
  if (protocol !== proto.udp) return ctTimeout.CT_TM_OTHER;
  return orig === otherState.OTHERS_BIDIR ? ctTimeout.CT_TM_UDP_STREAM
    : ctTimeout.CT_TM_UDP_SINGLE;
}

const u128 = (words: readonly number[]): bigint =>
  words.reduce((sum, word) => sum << 32n | BigInt(word), 0n);

/** An entry of `conns`; undefined when packets do not see it: expired, or about to be deleted.
 * Nor is the second entry of a translated connection one: its first says everything. */
export function decodeConn(key: Uint8Array, value: Uint8Array, { now, timeouts }: Moment):
  Connection | undefined {
  const { life, created, packets, bytes, mark, label, twin } = connCodec.fromBytes(value);
  const flags = Number(life & 0xffffn);
  const until = Number(life >> BigInt(CONN_EXPIRES_SHIFT));
  if (until <= now || (flags & (CONN_DEAD | CONN_BUSY | CONN_ALIAS)) !== 0) return undefined;
  const names = connKey.fromBytes(key);
  const [first, second] = [flags & CONN_ORIG_STATE, (flags & CONN_REPLY_STATE) >> 4];
  const orig = tupleOf(names, (flags & CONN_FROM_B) !== 0);
  const isTcp = names.proto === proto.tcp;
  const state = isTcp ? tcpNames[Math.max(first, second)] : otherNames[first];
  const whole = (timeouts[timeoutOf(names.proto, first, second)] ?? 0) * 1000;
  return { owner: 'ours', zone: names.zone, proto: names.proto, orig,
    reply: (flags & CONN_TWIN) === 0 ? reverse(orig)
      : tupleOf(twin, (twin.family & KEY_FROM_B) !== 0),
    wildcard: false, state: state ?? String(first), age: Math.max(0, now - Number(created)),
    idle: Math.max(0, whole - (until - now)), expires: until - now,
    nat: (flags & CONN_NAT_SRC) !== 0 ? 'snat' : (flags & CONN_NAT_DST) !== 0 ? 'dnat' : '',
    mark, label: u128(label), packets, bytes };
}

/** An entry of `foreign`; undefined when it does not hold any more. */
export function decodeForeign(key: Uint8Array, value: Uint8Array, { now, foreignAge }: Moment):
  Connection | undefined {
  const { seen, reason } = foreignCodec.fromBytes(value);
  const idle = Math.max(0, now - Number(seen));
  const expires = foreignAge * 1000 - idle;
  if (expires < 0) return undefined;
  const names = connKey.fromBytes(key);
  const orig = tupleOf(names, false);
  return { owner: 'foreign', zone: undefined, proto: names.proto, orig, reply: reverse(orig),
    wildcard: names.b_port === 0 && names.b.every((word) => word === 0),
    state: puntReasons[reason]?.name.toLowerCase() ?? String(reason), age: undefined, idle, expires,
    nat: '', mark: 0, label: 0n, packets: [], bytes: [] };
}
