/**
 * The connection tracker of bpf/, in TypeScript, for reference.ts: the same states, nothing
 * of time, capacity or of several CPUs. Every entry lives for ever.
 */
import {
  CT_LABEL, CT_NAT, CT_RELATED, CT_STATE_DNAT, CT_STATE_EST, CT_STATE_INV, CT_STATE_NEW,
  CT_STATE_REL, CT_STATE_RPL, CT_STATE_SNAT, CT_STATE_TRK, flowWord as fw, otherState,
  tcpState as tcp,
} from '../abi/generated.js';
import type { Op } from './model.js';

const ICMP = 1, TCP = 6, UDP = 17, ICMP6 = 58;
const FIN = 0x01, SYN = 0x02, RST = 0x04, PSH = 0x08, ACK = 0x10, URG = 0x20;
const NAT = CT_STATE_SNAT | CT_STATE_DNAT;

/** Of ICMP, what the flow vector does not hold. */
export interface IcmpRest {
  readonly id?: number;
  /** What an error quotes; absent: too little of it. Ports as FW_L4. */
  readonly quote?: { readonly src: readonly number[]; readonly dst: readonly number[];
    readonly proto: number; readonly l4: number; readonly id?: number };
}

/** One end of a connection, as text: address and port. */
interface Tuple { readonly src: string; readonly dst: string; readonly proto: number;
  readonly l4: number; readonly dstWords: readonly number[]; readonly related: boolean }
interface Entry {
  /** The end that began it. */
  readonly from: string; readonly dstWords: readonly number[]; readonly l4: number;
  readonly nat: boolean; readonly states: readonly [number, number];
  readonly marks: readonly number[];
}

/** What one chassis knows: `commit` of a walk that has ended in our verdict adds to it. */
export class Connections {
  readonly entries = new Map<string, Entry>();
  /** Connections that are OVS's. */
  readonly foreign = new Set<string>();
}

const noBits = (flags: number, bits: number): boolean => (flags & bits) === 0;
const tcpInvalid = (flags: number): boolean =>
  (!noBits(flags, SYN) && !noBits(flags, RST | FIN)) || noBits(flags, SYN | ACK | RST)
  || (noBits(flags, ACK) && !noBits(flags, FIN | PSH | URG));
const isSyn = (flags: number): boolean => (flags & (SYN | ACK)) === SYN;

type Stepped = { readonly update: 'invalid' } | { readonly update: 'new' }
  | { readonly update: 'valid' | 'validNew'; readonly states: readonly [number, number] };

/** tcp_conn_update() of OVS without windows; states: of the originator, of the other. */
function stepTcp(states: readonly [number, number], reply: boolean, flags: number): Stepped {
  let [src, dst] = reply ? [states[1], states[0]] : states;
  if (tcpInvalid(flags)) return { update: 'invalid' };
  const closed = Math.min(src, dst) >= tcp.TCPS_FIN_WAIT_2;
  if (isSyn(flags) && closed) return { update: 'new' };
  const again = isSyn(flags) && src <= tcp.TCPS_SYN_SENT;
  src = Math.max(src, tcp.TCPS_SYN_SENT);
  if (!again) {
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

const requests: Readonly<Record<number, readonly number[]>> = {
  [ICMP]: [8, 13, 15], [ICMP6]: [128],
};
const answers: Readonly<Record<number, readonly (readonly [number, number])[]>> = {
  [ICMP]: [[8, 0], [13, 14], [15, 16]], [ICMP6]: [[128, 129]],
};
const errors: Readonly<Record<number, readonly number[]>> = {
  [ICMP]: [3, 4, 5, 11, 12], [ICMP6]: [1, 2, 3, 4],
};

/** One packet's view of the connections. */
export class Tracking {
  private readonly pending = new Map<string, Entry | undefined>();
  private readonly known = new Set<string>();
  private ours = false;
  private state = 0;
  private zone = 0;
  constructor(private readonly all: Connections, private readonly rest: IcmpRest,
    private readonly words: Uint32Array) {}

  /** Name of a PUNT_ reason, or nothing. */
  track(op: Op, commit = false): string | undefined {
    const w = this.words, zone = w[op.src!]! & 0xffff, changed = zone !== this.zone;
    if (changed) this.state = 0;
    this.zone = zone;
    const tuple = this.tuple();
    if (!commit && (op.mask! & CT_RELATED) !== 0 && tuple?.related !== true) return 'CONNTRACK';
    if (!tuple) {
      this.state = CT_STATE_INV | CT_STATE_TRK;
      return this.show(undefined, undefined);
    }
    const key = `${zone} ${this.bare(tuple)}`;
    const fresh = !this.known.has(key);
    const found = this.pending.has(key) ? this.pending.get(key) : this.all.entries.get(key);
    this.known.add(key);
    if (found) this.ours ||= fresh;
    const nat = ((commit ? op.imm! : op.mask!) & CT_NAT) !== 0;
    let entry = found && this.update(found, tuple);
    this.pending.set(key, entry);
    if (!entry) {
      const reason = fresh && !this.ours ? this.claim(tuple) : undefined;
      if (reason !== undefined) return reason;
      entry = this.begin(tuple, commit, nat);
    } else if (nat && entry.nat && (changed || noBits(this.state, NAT))) {
      this.state = (this.state & ~NAT)
        | (entry.from === tuple.src ? CT_STATE_SNAT : CT_STATE_DNAT);
    }
    if (commit && entry) entry = { ...entry, marks: this.marks(op, entry.marks) };
    this.pending.set(key, entry);
    this.state |= CT_STATE_TRK;
    return this.show(entry, tuple);
  }

  commit(op: Op, args: readonly number[]): string | undefined {
    this.args = args;
    this.written = [...this.words.slice(fw.FW_CT_MARK, fw.FW_CT_LABEL + 4)];
    const reason = this.track(op, true);
    this.words.fill(0, fw.FW_CT_STATE, fw.FW_CT_ORIG_PROTO + 1);
    return reason;
  }
  private args: readonly number[] = [];
  private written: readonly number[] = [];

  clear(): void {
    if (this.words[fw.FW_CT_STATE] !== 0) this.state = 0;
    this.words.fill(0, fw.FW_CT_STATE, fw.FW_CT_ORIG_PROTO + 1);
  }
  /** The packet has become another one (OP_ANSWER). */
  reset(): void { this.state = 0; }

  /** The walk has ended: in our verdict, or in a punt. */
  end(punted: boolean): void {
    if (!punted) {
      for (const [key, entry] of this.pending) {
        if (entry) this.all.entries.set(key, entry);
        else this.all.entries.delete(key);
      }
      return;
    }
    const tuple = this.tuple();
    if (tuple && !this.ours && this.canBegin(tuple)) this.all.foreign.add(this.bare(tuple));
  }

  private bare({ src, dst, proto }: Tuple): string {
    return [src, dst].sort().join(' ') + ` ${proto}`;
  }

  private tuple(): Tuple | undefined {
    const w = this.words, version = w[fw.FW_ETH_TYPE]! >>> 16;
    if (version !== 0x0800 && version !== 0x86dd) return undefined;
    const proto = w[fw.FW_IP]! >>> 24;
    const src = [...w.slice(fw.FW_IP_SRC, fw.FW_IP_SRC + 4)];
    const dst = [...w.slice(fw.FW_IP_DST, fw.FW_IP_DST + 4)];
    const type = w[fw.FW_L4]! >>> 16;
    const icmp = version === 0x0800 ? ICMP : ICMP6;
    if (proto !== icmp || !errors[icmp]!.includes(type)) {
      return this.ends(src, dst, proto, w[fw.FW_L4]!, this.rest.id ?? 0, icmp);
    }
    const { quote } = this.rest;
    if (!quote || quote.src.join() !== dst.join()) return undefined;
    const inner = this.ends([...quote.src], [...quote.dst], quote.proto, quote.l4,
      quote.id ?? 0, icmp);
    return inner && { ...inner, src: inner.dst, dst: inner.src, dstWords: quote.src,
      l4: ((quote.l4 << 16) | (quote.l4 >>> 16)) >>> 0, related: true };
  }

  private ends(
    src: number[], dst: number[], proto: number, l4: number, id: number, icmp: number,
  ): Tuple | undefined {
    const at = (ip: number[], port: string): string => `${ip.join('.')}:${port}`;
    const to = (a: string, b: string, shown: number): Tuple =>
      ({ src: at(src, a), dst: at(dst, b), proto, l4: shown, dstWords: dst, related: false });
    if (proto === icmp) {
      const type = l4 >>> 16;
      const pair = answers[icmp]!.find((types) => types.includes(type));
      if (!pair || (l4 & 0xffff) !== 0) return undefined;
      const reply = pair[0] === type ? pair[1] : pair[0];
      return to(`${id}/${type}`, `${id}/${reply}`, (type << 16) >>> 0);
    }
    if (proto !== TCP && proto !== UDP) return to('0', '0', 0);
    if (l4 >>> 16 === 0 || (l4 & 0xffff) === 0) return undefined;
    return to(String(l4 >>> 16), String(l4 & 0xffff), l4);
  }

  private canBegin({ proto, l4, related }: Tuple): boolean {
    if (related) return false;
    const flags = this.words[fw.FW_TCP_FLAGS]!;
    if (proto === TCP) return isSyn(flags) && !tcpInvalid(flags);
    return requests[proto]?.includes(l4 >>> 16) ?? true;
  }

  private claim(tuple: Tuple): string | undefined {
    const flags = this.words[fw.FW_TCP_FLAGS]!;
    if (tuple.proto === TCP && !tuple.related && tcpInvalid(flags)) return undefined;
    if (!this.canBegin(tuple)) return 'CT_MIDSTREAM';
    return this.all.foreign.has(this.bare(tuple)) ? 'CT_FOREIGN' : undefined;
  }

  /** The entry after the packet; undefined: the packet begins a new one. */
  private update(entry: Entry, tuple: Tuple): Entry | undefined {
    const reply = entry.from !== tuple.src;
    if (tuple.related) {
      this.state |= CT_STATE_REL | (reply ? CT_STATE_RPL : 0);
      return entry;
    }
    const icmp = tuple.proto === ICMP || tuple.proto === ICMP6;
    const stepped = tuple.proto === TCP
      ? stepTcp(entry.states, reply, this.words[fw.FW_TCP_FLAGS]!)
      : stepOther(entry.states[0], reply, icmp);
    if (stepped.update === 'new') return undefined;
    if (stepped.update === 'invalid') {
      this.state = CT_STATE_INV;
      return entry;
    }
    this.state = stepped.update === 'validNew' ? this.state | CT_STATE_NEW
      : (this.state & ~CT_STATE_NEW) | CT_STATE_EST | (reply ? CT_STATE_RPL : 0);
    return { ...entry, states: stepped.states };
  }

  private begin(tuple: Tuple, commit: boolean, nat: boolean): Entry | undefined {
    const flags = this.words[fw.FW_TCP_FLAGS]!;
    const valid = tuple.proto === TCP
      ? !tcpInvalid(flags) && (flags & (SYN | ACK)) !== (SYN | ACK) : this.canBegin(tuple);
    if (tuple.related || !valid) {
      this.state = CT_STATE_INV;
      return undefined;
    }
    this.state = CT_STATE_NEW | (commit && nat ? CT_STATE_SNAT : 0);
    return !commit ? undefined : { from: tuple.src, dstWords: tuple.dstWords, l4: tuple.l4, nat,
      states: [tuple.proto === TCP ? tcp.TCPS_SYN_SENT : otherState.OTHERS_FIRST, 0],
      marks: [0, 0, 0, 0, 0] };
  }

  private marks(op: Op, old: readonly number[]): readonly number[] {
    const label = (op.imm! & CT_LABEL) !== 0 ? this.args.slice(op.arg, op.arg! + 4) : [0, 0, 0, 0];
    return [op.mask!, ...label].map((mask, i) =>
      ((old[i]! & ~mask) | (this.written[i]! & mask)) >>> 0);
  }

  private show(entry: Entry | undefined, tuple: Tuple | undefined): undefined {
    const w = this.words;
    w.fill(0, fw.FW_CT_MARK, fw.FW_CT_ORIG_PROTO + 1);
    w[fw.FW_CT_STATE] = this.state;
    if (entry) w.set(entry.marks, fw.FW_CT_MARK);
    const { dstWords, l4 } = entry ?? tuple ?? { dstWords: [0, 0, 0, 0], l4: 0 };
    w.set(dstWords, fw.FW_CT_ORIG_DST);
    w[fw.FW_CT_ORIG_L4] = l4;
    w[fw.FW_CT_ORIG_PROTO] = tuple?.proto ?? 0;
    return undefined;
  }
}
