/** Tuples of packets and states of connections, for reference_ct.ts. */
import { flowWord as fw, otherState, tcpState as tcp } from '../abi/generated.js';

const ICMP = 1, TCP = 6, UDP = 17, ICMP6 = 58;
const FIN = 0x01, SYN = 0x02, RST = 0x04, PSH = 0x08, ACK = 0x10, URG = 0x20;

/** One direction of a connection. Ports of ICMP: identifier << 8 | type that the end sends. */
export interface Tuple {
  readonly src: readonly number[]; readonly dst: readonly number[];
  readonly sport: number; readonly dport: number; readonly proto: number;
  /** It is that of the answer to what an ICMP error quotes. */
  readonly related: boolean;
}
/** A packet in an ICMP error. Ports as FW_L4. */
export interface Quote {
  readonly src: readonly number[]; readonly dst: readonly number[];
  readonly proto: number; readonly l4: number; readonly id?: number;
}
/** Of the end that began it, and of the other: TCP only. */
export type States = readonly [number, number];

export const sameAddress = (a: readonly number[], b: readonly number[]): boolean =>
  a.every((word, i) => word === b[i]);
export const same = (a: Tuple, b: Tuple): boolean => a.proto === b.proto && a.sport === b.sport
  && a.dport === b.dport && sameAddress(a.src, b.src) && sameAddress(a.dst, b.dst);
export const reverse = (t: Tuple): Tuple =>
  ({ ...t, src: t.dst, dst: t.src, sport: t.dport, dport: t.sport });

/** What its protocol has: ports that NAT changes, ICMP's identifiers, ends that are known
 * beyond one connection. */
export function portsOf({ proto }: Tuple): {
  readonly tcp: boolean; readonly pat: boolean; readonly icmp: boolean; readonly ends: boolean;
} {
  const icmp = proto === ICMP || proto === ICMP6;
  return { tcp: proto === TCP, pat: proto === TCP || proto === UDP, icmp,
    ends: proto !== TCP && !icmp };
}

// ---- Packets ----------------------------------------------------------------------------------

const requests: Readonly<Record<number, readonly number[]>> = {
  [ICMP]: [8, 13, 15], [ICMP6]: [128],
};
const answers: Readonly<Record<number, readonly (readonly [number, number])[]>> = {
  [ICMP]: [[8, 0], [13, 14], [15, 16]], [ICMP6]: [[128, 129]],
};
const errors: Readonly<Record<number, readonly number[]>> = {
  [ICMP]: [3, 4, 5, 11, 12], [ICMP6]: [1, 2, 3, 4],
};

function plainTuple({ src, dst, proto, l4, id = 0 }: Quote, icmp: number): Tuple | undefined {
  const to = (sport: number, dport: number): Tuple =>
    ({ src, dst, proto, sport, dport, related: false });
  if (proto === icmp) {
    const type = l4 >>> 16;
    const pair = answers[icmp]!.find((types) => types.includes(type));
    if (!pair || (l4 & 0xffff) !== 0) return undefined;
    const reply = pair[0] === type ? pair[1] : pair[0];
    return to((id << 8) | type, (id << 8) | reply);
  }
  if (proto !== TCP && proto !== UDP) return to(0, 0);
  return l4 >>> 16 === 0 || (l4 & 0xffff) === 0 ? undefined : to(l4 >>> 16, l4 & 0xffff);
}

/** Of the packet as the words say; undefined: no connection can have it. */
export function tupleOf(w: Uint32Array, id: number, quote: Quote | undefined): Tuple | undefined {
  const version = w[fw.FW_ETH_TYPE]! >>> 16;
  if (version !== 0x0800 && version !== 0x86dd) return undefined;
  const icmp = version === 0x0800 ? ICMP : ICMP6;
  const packet: Quote = { src: [...w.slice(fw.FW_IP_SRC, fw.FW_IP_SRC + 4)],
    dst: [...w.slice(fw.FW_IP_DST, fw.FW_IP_DST + 4)], proto: w[fw.FW_IP]! >>> 24,
    l4: w[fw.FW_L4]!, id };
  if (packet.proto !== icmp || !errors[icmp]!.includes(packet.l4 >>> 16)) {
    return plainTuple(packet, icmp);
  }
  if (!quote || !sameAddress(quote.src, packet.dst)) return undefined;
  const inner = plainTuple(quote, icmp);
  return inner && { ...reverse(inner), related: true };
}

/** The quote, as a packet of this tuple. */
export function quoted(tuple: Tuple, was: Quote): Quote {
  const { icmp, pat } = portsOf(tuple);
  return { src: tuple.src, dst: tuple.dst, proto: tuple.proto,
    l4: pat ? ((tuple.sport << 16) | tuple.dport) >>> 0 : was.l4,
    ...(icmp ? { id: tuple.sport >>> 8 } : {}) };
}

// ---- States -----------------------------------------------------------------------------------

const noBits = (flags: number, bits: number): boolean => (flags & bits) === 0;
const badFlags = (flags: number): boolean =>
  (!noBits(flags, SYN) && !noBits(flags, RST | FIN)) || noBits(flags, SYN | ACK | RST)
  || (noBits(flags, ACK) && !noBits(flags, FIN | PSH | URG));
const isSyn = (flags: number): boolean => (flags & (SYN | ACK)) === SYN;
const flagsOf = (w: Uint32Array): number => w[fw.FW_TCP_FLAGS]!;

export const isSynAck = (w: Uint32Array): boolean =>
  (flagsOf(w) & (SYN | ACK)) === (SYN | ACK);
export const invalidTcp = ({ proto }: Tuple, w: Uint32Array): boolean =>
  proto === TCP && badFlags(flagsOf(w));

export function canBegin({ proto, sport, related }: Tuple, w: Uint32Array): boolean {
  if (related) return false;
  const flags = flagsOf(w);
  if (proto === TCP) return isSyn(flags) && !badFlags(flags);
  return requests[proto]?.includes(sport & 0xff) ?? true;
}

type Stepped = { readonly update: 'invalid' } | { readonly update: 'new' }
  | { readonly update: 'valid' | 'validNew'; readonly states: States };

/** tcp_conn_update() of OVS without windows; a reset is taken back by both ends' going on. */
function stepTcp(states: States, reply: boolean, flags: number): Stepped {
  let [src, dst] = reply ? [states[1], states[0]] : states;
  if (badFlags(flags)) return { update: 'invalid' };
  const closed = Math.min(src, dst) >= tcp.TCPS_FIN_WAIT_2
    || Math.max(src, dst) === tcp.TCPS_TIME_WAIT;
  if (isSyn(flags) && closed) return { update: 'new' };
  const again = isSyn(flags) && src <= tcp.TCPS_SYN_SENT;
  src = Math.max(src, tcp.TCPS_SYN_SENT);
  if (!again) {
    if (src === tcp.TCPS_TIME_WAIT && (flags & (ACK | FIN | RST | SYN)) === ACK) {
      src = tcp.TCPS_ESTABLISHED;
    }
    if (!noBits(flags, FIN)) src = Math.max(src, tcp.TCPS_CLOSING);
    if (!noBits(flags, ACK) && dst === tcp.TCPS_SYN_SENT) dst = tcp.TCPS_ESTABLISHED;
    else if (!noBits(flags, ACK) && dst === tcp.TCPS_CLOSING) dst = tcp.TCPS_FIN_WAIT_2;
    if (!noBits(flags, RST)) src = dst = tcp.TCPS_TIME_WAIT;
  }
  return { update: again ? 'validNew' : 'valid', states: reply ? [dst, src] : [src, dst] };
}

function stepOther(state: number, reply: boolean, icmp: boolean): Stepped {
  const next = reply || state === otherState.OTHERS_BIDIR ? otherState.OTHERS_BIDIR
    : icmp ? state : otherState.OTHERS_MULTIPLE;
  return { update: next === otherState.OTHERS_BIDIR ? 'valid' : 'validNew', states: [next, 0] };
}

/** What the packet does to a connection in these states. */
export const step = (states: States, tuple: Tuple, reply: boolean, w: Uint32Array): Stepped =>
  tuple.proto === TCP ? stepTcp(states, reply, flagsOf(w))
    : stepOther(states[0], reply, portsOf(tuple).icmp);
export const first = ({ proto }: Tuple): States =>
  [proto === TCP ? tcp.TCPS_SYN_SENT : otherState.OTHERS_FIRST, 0];
