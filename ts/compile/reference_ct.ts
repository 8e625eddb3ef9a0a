/**
 * The connection tracker of bpf/, in TypeScript, for reference.ts: the same states and
 * translations, nothing of time, capacity or of several CPUs. Every entry lives for ever.
 */
import {
  CT_LABEL, CT_NAT, CT_NAT_DST, CT_NAT_KEEP, CT_NAT_MARKS, CT_NAT_SRC, CT_RELATED, CT_STATE_DNAT,
  CT_STATE_EST, CT_STATE_INV, CT_STATE_NEW, CT_STATE_REL, CT_STATE_RPL, CT_STATE_SNAT,
  CT_STATE_TRK, CT_UNSNAT, flowWord as fw, opCode,
} from '../abi/generated.js';
import type { Op } from './model.js';
import type { Sessions } from './reference_affinity.js';
import {
  canBegin, first, invalidTcp, isSynAck, portsOf, quoted, reverse, same, step,
  tupleOf, type Quote, type States, type Tuple,
} from './reference_conn.js';

const NAT = CT_STATE_SNAT | CT_STATE_DNAT;
/** Source ports below are translated to such ports, by OVS. */
const PRIVILEGED = 1024;

/** Of ICMP, what the flow vector does not hold. */
export interface IcmpRest {
  readonly id?: number;
  /** What an error quotes; absent: too little of it. Ports as FW_L4. */
  readonly quote?: Quote;
}

interface Entry {
  readonly zone: number;
  /** Of the first packet, and of replies to what it has become. */
  readonly orig: Tuple; readonly reply: Tuple;
  readonly nat: 'src' | 'dst' | undefined;
  readonly states: States;
  readonly marks: readonly number[];
}
const translated = ({ orig, reply }: Entry): boolean => !same(reverse(orig), reply);

const bare = (t: Tuple): string => [end(t), end(reverse(t))].sort().join(' ');
const end = ({ src, sport, proto }: Tuple): string => `${src.join('.')}:${sport}/${proto}`;

/** A connection of ours ends with a packet that is left to OVS for one of these. */
const givenUp: ReadonlySet<string> = new Set(['UNKNOWN_DATAPATH', 'UNKNOWN_PORT',
  'UNSUPPORTED_PORT', 'UNSUPPORTED_MATCH', 'UNSUPPORTED_ACTION', 'CONNTRACK', 'CT_FOREIGN',
  'AFFINITY']);

/** What one chassis knows: a walk that has ended in our verdict adds to it. */
export class Connections {
  readonly entries = new Set<Entry>();
  /** Connections that are OVS's, and ends of them. */
  readonly foreign = new Set<string>();
  /** Of these, ends that were asked for what OVS has to do. */
  readonly services = new Set<string>();
  /** Which backends clients keep. */
  readonly sessions: Sessions = new Map();
  /** The port or identifier that a new connection gets where its own will not do. */
  pick: (free: (value: number) => boolean) => number | undefined = (free) => {
    for (let value = PRIVILEGED; value < 0x10000; value += 1) if (free(value)) return value;
    return undefined;
  };
  /** As many as `conns` has. */
  get size(): number {
    return [...this.entries].reduce((sum, entry) => sum + (translated(entry) ? 2 : 1), 0);
  }
}

/** An entry that this packet has met, and what becomes of it; both absent: it was missed. */
interface Pending { readonly was: Entry | undefined; now: Entry | undefined }
interface Found { readonly pending: Pending; readonly entry: Entry; readonly reply: boolean }

/** One packet's view of the connections. */
export class Tracking {
  private readonly pending: Pending[] = [];
  private ours = false;
  private doubt: string | undefined;
  /** If it is ours in one zone, it was given up in another. */
  private given = false;
  private unsnatMissed = false;
  /** Its destination is OVS's, whoever asks. */
  private toService = false;
  /** Tuples that zones have been asked for. */
  private readonly asked = new Set<string>();
  private state = 0;
  private zone = 0;
  /** By what it was translated in this zone. */
  private done: { readonly pending: Pending; readonly reply: boolean } | undefined;
  private quote: Quote | undefined;
  private id: number;
  private readonly came: { readonly tuple: Tuple | undefined };
  private readonly plain: Tuple[] = [];
  constructor(private readonly all: Connections, rest: IcmpRest,
    private readonly words: Uint32Array) {
    this.quote = rest.quote;
    this.id = rest.id ?? 0;
    this.came = { tuple: this.tuple() };
  }

  private tuple(): Tuple | undefined { return tupleOf(this.words, this.id, this.quote); }

  /** Name of a PUNT_ reason, NAT_TAKEN for a drop, or nothing.
   * Ops: OP_CT_NEXT, OP_CT_COMMIT, OP_CT_NAT. */
  track(op: Op, args: readonly number[] = []): string | undefined {
    const w = this.words, zone = w[op.src!]! & 0xffff;
    if (zone !== this.zone) this.state = 0;
    this.zone = zone;
    this.found = undefined;
    const commit = op.code !== opCode.OP_CT_NEXT, translating = op.code === opCode.OP_CT_NAT;
    const nat = translating ? (op.mask! & (CT_NAT_SRC | CT_NAT_DST)) !== 0
      : ((op.code === opCode.OP_CT_COMMIT ? op.imm! : op.mask!) & CT_NAT) !== 0;
    const tuple = this.tuple();
    if (!commit && (op.mask! & CT_RELATED) !== 0 && tuple?.related !== true) return 'CONNTRACK';
    if (!tuple) {
      this.state = CT_STATE_INV | CT_STATE_TRK;
      return this.show(undefined, undefined);
    }
    let found = this.find(tuple);
    if (found && this.update(found, tuple)) found = undefined;
    if (!found) {
      this.missed(tuple, op, nat);
      if (commit && this.state === CT_STATE_NEW) {
        const begun = this.begin(tuple, op, nat);
        if (typeof begun === 'string') return begun;
        found = begun;
      }
    } else if (nat && found.entry.nat && (this.state & NAT) === 0) {
      this.translate(found, tuple);
    }
    if (found && translating && (op.mask! & CT_NAT_MARKS) !== 0) {
      const [mark = 0, label = 0] = args.slice(op.arg ?? 0);
      this.mark(found, found.entry.marks.map((old, i) =>
        (old | (i === 0 ? mark : i === 4 ? label : 0)) >>> 0));
    }
    if (found && op.code === opCode.OP_CT_COMMIT) {
      this.mark(found, this.marks(op, args, found.entry));
    }
    this.state |= CT_STATE_TRK;
    this.found = found?.pending;
    return this.show(found?.pending.now, tuple);
  }

  /** The packet goes on untracked. */
  commit(op: Op, args: readonly number[]): string | undefined {
    this.written = [...this.words.slice(fw.FW_CT_MARK, fw.FW_CT_LABEL + 4)];
    const reason = this.track(op, args);
    this.words.fill(0, fw.FW_CT_STATE, fw.FW_CT_ORIG_PROTO + 1);
    return reason;
  }
  private written: readonly number[] = [];

  /** Whether the packet's connection in the zone that it was last tracked in was there before. */
  isRepeated(): boolean { return this.found?.was !== undefined && this.found.now !== undefined; }
  private found: Pending | undefined;

  /** Whether the packet is a reply to what was translated in the zone. */
  isReply(zone: number): boolean {
    const tuple = this.tuple();
    return tuple !== undefined && !tuple.related && [...this.all.entries].some((entry) =>
      entry.zone === zone && translated(entry) && same(entry.reply, tuple));
  }

  clear(): void {
    if (this.words[fw.FW_CT_STATE] !== 0) this.state = 0;
    this.words.fill(0, fw.FW_CT_STATE, fw.FW_CT_ORIG_PROTO + 1);
  }
  /** The packet has become another one (OP_ANSWER). */
  reset(): void { this.state = 0; }

  /** The walk has ended, in our verdict or for this reason: the reason why it is OVS's. */
  end(punted: string | undefined): string | undefined {
    let reason = punted;
    if (!this.ours && this.doubt !== undefined) reason = this.doubt;
    else if (this.ours && this.given) reason ??= 'CT_FOREIGN';
    const unnoted = !this.ours && reason === undefined && this.unsnatMissed;
    if (unnoted) reason = 'CT_FOREIGN';
    if (reason === undefined) {
      for (const { was, now } of this.pending) {
        if (was && was !== now) this.all.entries.delete(was);
        if (now) this.all.entries.add(now);
      }
      return undefined;
    }
    const { tuple } = this.came, { foreign, services } = this.all;
    if (tuple && !tuple.related && this.ours && givenUp.has(reason)) {
      for (const { was } of this.pending) {
        if (!was) continue;
        this.all.entries.delete(was);
        for (const t of [was.orig, was.reply]) foreign.add(bare(t));
      }
    }
    if (!tuple || this.ours || unnoted || !canBegin(tuple, this.words)) return reason;
    for (const t of [tuple, ...this.plain]) foreign.add(bare(t));
    if ((reason === 'CT_FOREIGN' && !this.toService) || !portsOf(tuple).ends) return reason;
    foreign.add(end(tuple));
    if (reason !== 'CONNTRACK') return reason;
    foreign.add(end(reverse(tuple)));
    services.add(end(reverse(tuple)));
    return reason;
  }

  // ---- Looking up ---------------------------------------------------------------------------

  private find(tuple: Tuple): Found | undefined {
    if (this.done && (this.state & NAT) !== 0) {
      const { pending, reply } = this.done;
      return pending.now && { pending, entry: pending.now, reply };
    }
    const match = (entry: Entry): boolean | undefined => entry.zone !== this.zone ? undefined
      : same(entry.orig, tuple) ? false : same(entry.reply, tuple) ? true : undefined;
    for (const pending of this.pending) {
      const reply = pending.now && match(pending.now);
      if (reply !== undefined) return { pending, entry: pending.now!, reply };
    }
    for (const entry of this.all.entries) {
      const reply = match(entry);
      if (reply === undefined || this.pending.some(({ was }) => was === entry)) continue;
      const pending: Pending = { was: entry, now: entry };
      this.pending.push(pending);
      this.ours = true;
      return { pending, entry, reply };
    }
    return undefined;
  }

  /** Whose it may be. */
  private missed(tuple: Tuple, op: Op, nat: boolean): void {
    this.state = this.validNew(tuple) ? CT_STATE_NEW : CT_STATE_INV;
    const place = `${this.zone} ${bare(tuple)}`;
    if (this.asked.has(place)) return;
    this.asked.add(place);
    if (tuple.related || !invalidTcp(tuple, this.words)) {
      this.given ||= this.all.foreign.has(bare(tuple));
    }
    this.doubt ??= this.claim(tuple, nat);
    if (op.code === opCode.OP_CT_NEXT && (op.mask! & CT_UNSNAT) !== 0 && portsOf(tuple).ends) {
      this.unsnatMissed = true;
    }
  }

  private claim(tuple: Tuple, nat: boolean): string | undefined {
    // Invalid to everybody; but what OVS knows, it translates all the same.
    if (!tuple.related && invalidTcp(tuple, this.words)) return nat ? 'CT_MIDSTREAM' : undefined;
    if (this.ours) return undefined;
    if (!canBegin(tuple, this.words)) return 'CT_MIDSTREAM';
    return this.isForeign(tuple) ? 'CT_FOREIGN' : undefined;
  }
  private isForeign(tuple: Tuple): boolean {
    const { foreign, services } = this.all, to = end(reverse(tuple));
    if (foreign.has(bare(tuple))) return true;
    if (!portsOf(tuple).ends) return false;
    this.toService = services.has(to);
    return foreign.has(to) || foreign.has(end(tuple));
  }

  private validNew(tuple: Tuple): boolean {
    if (tuple.related || invalidTcp(tuple, this.words)) return false;
    return portsOf(tuple).tcp ? !isSynAck(this.words) : canBegin(tuple, this.words);
  }

  /** The entry after the packet; true: the packet begins a new one. */
  private update(found: Found, tuple: Tuple): boolean {
    const { pending, entry, reply } = found;
    if (tuple.related) {
      this.state |= CT_STATE_REL | (reply ? CT_STATE_RPL : 0);
      return false;
    }
    const stepped = step(entry.states, tuple, reply, this.words);
    if (stepped.update === 'new') {
      pending.now = undefined;
      return true;
    }
    if (stepped.update === 'invalid') {
      this.state = CT_STATE_INV;
      return false;
    }
    this.state = stepped.update === 'validNew' ? this.state | CT_STATE_NEW
      : (this.state & ~CT_STATE_NEW) | CT_STATE_EST | (reply ? CT_STATE_RPL : 0);
    pending.now = { ...entry, states: stepped.states };
    return false;
  }

  // ---- Beginning and translating --------------------------------------------------------------

  private begin(tuple: Tuple, op: Op, nat: boolean): Found | string {
    const reply = nat ? this.replyOf(tuple, op) : reverse(tuple);
    if (typeof reply === 'string') return reply;
    const dst = op.code === opCode.OP_CT_NAT && (op.mask! & CT_NAT_DST) !== 0;
    const entry: Entry = { zone: this.zone, orig: tuple, reply,
      nat: !nat ? undefined : dst ? 'dst' : 'src', states: first(tuple), marks: [0, 0, 0, 0, 0] };
    const pending: Pending = { was: undefined, now: entry };
    this.pending.push(pending);
    const found = { pending, entry, reply: false };
    if (nat) this.translate(found, tuple);
    return found;
  }

  /** What replies to the new connection have: nat_get_unique_tuple() of OVS, with our ports. */
  private replyOf(tuple: Tuple, op: Op): Tuple | string {
    const w = this.words, real = op.code === opCode.OP_CT_NAT, flags = real ? op.mask! : 0;
    const dst = (flags & CT_NAT_DST) !== 0, { pat, icmp } = portsOf(tuple);
    const address = [...w.slice(fw.FW_NAT_ADDRESS, fw.FW_NAT_ADDRESS + 4)];
    const range = real && pat ? w[fw.FW_NAT_PORTS]! : 0;
    const low = range >>> 16, high = range & 0xffff;
    let plain = reverse(tuple);
    if (real && address.some((word) => word !== 0)) {
      plain = { ...plain, ...(dst ? { src: address } : { dst: address }) };
    }
    if (range !== 0 && low === high) {
      plain = { ...plain, ...(dst ? { sport: low } : { dport: low }) };
    }
    if (real) {
      this.plain.push(plain);
      this.unsnatMissed = false;
      if (this.doubt !== undefined && !this.ours) return this.doubt;
      if (dst && this.all.foreign.has(bare(plain))) return 'CT_FOREIGN';
    } else if (this.doubt !== undefined && !this.ours) {
      return plain;
    }
    const free = (t: Tuple): boolean => !this.taken(t, tuple)
      && !((flags & CT_NAT_SRC) !== 0 && this.all.foreign.has(bare(t)));
    const other = (make: (value: number) => Tuple): Tuple | string => {
      const value = this.all.pick((v) => free(make(v)));
      return value === undefined ? 'NAT_PORTS' : make(value);
    };
    const withPort = (dport: number): Tuple => ({ ...plain, dport });
    const withId = (id: number): Tuple => ({ ...plain, sport: (id << 8) | (plain.sport & 0xff),
      dport: (id << 8) | (plain.dport & 0xff) });
    if (pat && (flags & CT_NAT_SRC) !== 0 && (range !== 0 || (flags & CT_NAT_KEEP) === 0)) {
      if (range === 0 && tuple.sport < PRIVILEGED) return 'NAT_PORTS';
      return other(withPort);
    }
    if (dst && range !== 0 && low !== high) return other((sport) => ({ ...plain, sport }));
    if (free(plain)) return plain;
    return pat ? other(withPort) : icmp ? other(withId)
      : this.taken(plain, tuple) ? 'NAT_TAKEN' : 'NAT_PORTS';
  }

  /** Another connection of the zone has such replies, or such packets. */
  private taken(reply: Tuple, own: Tuple): boolean {
    const live = [...this.all.entries].filter((entry) =>
      !this.pending.some(({ was }) => was === entry));
    return live.some((entry) => entry.zone === this.zone && !same(entry.orig, own)
      && (same(entry.orig, reply) || same(entry.reply, reply)
        || (!translated(entry) && same(entry.orig, reverse(reply)))));
  }

  private translate({ pending, entry, reply }: Found, tuple: Tuple): void {
    const source = (entry.nat === 'src') !== reply;
    this.state = (this.state & ~NAT) | (source ? CT_STATE_SNAT : CT_STATE_DNAT);
    this.done = { pending, reply };
    if (!translated(entry)) return;
    const to = reverse(reply ? entry.orig : entry.reply), w = this.words;
    const { pat, icmp } = portsOf(to);
    if (!tuple.related || source) w.set(to.src, fw.FW_IP_SRC);
    if (!tuple.related || !source) w.set(to.dst, fw.FW_IP_DST);
    if (tuple.related) this.quote = quoted(reverse(to), this.quote!);
    else if (pat) w[fw.FW_L4] = ((to.sport << 16) | to.dport) >>> 0;
    else if (icmp) this.id = to.sport >>> 8;
  }

  // ---- What is written ------------------------------------------------------------------------

  private mark(found: Found, marks: readonly number[]): void {
    found.pending.now = { ...found.pending.now!, marks };
  }
  private marks(op: Op, args: readonly number[], { marks }: Entry): readonly number[] {
    const label = (op.imm! & CT_LABEL) !== 0 ? args.slice(op.arg, op.arg! + 4) : [0, 0, 0, 0];
    return [op.mask!, ...label].map((mask, i) =>
      ((marks[i]! & ~mask) | (this.written[i]! & mask)) >>> 0);
  }

  private show(entry: Entry | undefined, tuple: Tuple | undefined): undefined {
    const w = this.words;
    w.fill(0, fw.FW_CT_MARK, fw.FW_CT_ORIG_PROTO + 1);
    w[fw.FW_CT_STATE] = this.state;
    if (entry) w.set(entry.marks, fw.FW_CT_MARK);
    const shown = entry?.orig ?? tuple;
    if (!shown) return undefined;
    w.set(shown.dst, fw.FW_CT_ORIG_DST);
    w[fw.FW_CT_ORIG_L4] = portsOf(shown).icmp ? ((shown.sport & 0xff) << 16) >>> 0
      : ((shown.sport << 16) | shown.dport) >>> 0;
    w[fw.FW_CT_ORIG_PROTO] = shown.proto;
    return undefined;
  }
}
