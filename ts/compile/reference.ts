/**
 * The walk of bpf/, in TypeScript: runs the stages of a Desired on a flow vector. It is
 * what tests compare with, and what `explain` prints. Written for reading, not for speed.
 */
import {
  affinityOp, answer, CT_NAT_STAYS, flowWord as fw, opCode, packetClass, puntReason,
  puntReasons, MAC_ANY, MAC_IP4, ROW_TABLES, TABLE_EGRESS,
} from '../abi/generated.js';
import { formatNumber } from '../lflow/literal.js';
import type { Desired, Op, Port, Program, Rule, Stage } from './model.js';
import { classOf } from './known.js';
import { askAffinity } from './reference_affinity.js';
import { askHairpin } from './reference_hairpin.js';
import { select } from './reference_select.js';
import { askSets } from './reference_sets.js';
import { Connections, Tracking, type IcmpRest } from './reference_ct.js';
import { lookupView } from './views.js';

export interface Step {
  readonly datapath: number; readonly table: number; readonly rule: Rule | undefined;
}
export type Verdict =
  | { readonly kind: 'output'; readonly port: Port }
  | { readonly kind: 'drop'; readonly reason: 'FLOW' | 'NO_MATCH' | 'NO_OUTPUT' | 'LOOPBACK'
    | 'NAT_TAKEN';
      readonly flow: string }
  /** `reason`: number of the PUNT_ reason when a program said so, else its name. */
  | { readonly kind: 'punt'; readonly reason: number | string; readonly flow: string };
export interface Walked {
  readonly verdict: Verdict; readonly words: Uint32Array; readonly steps: readonly Step[];
}

const ICMP = 1, TCP = 6, UDP = 17, ICMP6 = 58, SCTP = 132;
const RST = 0x04, ACK = 0x10;

/** Stages that one packet may cross: bounds loops between routers. */
const STEPS = 1000;

/** The rule of `stage` that decides: the first match in its own order. */
export function lookup(stage: Stage, words: Uint32Array): Rule | undefined {
  return stage.rules.find(({ shape, key }) =>
    shape.words.every((w, i) => ((words[w]! & shape.masks[i]!) >>> 0) === key[i]));
}

const rotate = (value: number, shift: number): number => {
  const left = ((shift % 32) + 32) % 32;
  return left === 0 ? value : ((value << left) | (value >>> (32 - left))) >>> 0;
};

/** What ends a program. */
type Ended = { readonly next: number } | { readonly call: number; readonly then: Program }
  | { readonly output: true } | { readonly returned: number } | { readonly verdict: Verdict };

/** One packet on its way. */
class Walk {
  readonly words: Uint32Array;
  readonly steps: Step[] = [];
  readonly tracking: Tracking;
  /** As scratch.class: which views hold for the packet. */
  private class: number;
  private readonly sessions: Connections['sessions'];
  constructor(private readonly desired: Desired, words: Uint32Array, all: Connections,
    rest: IcmpRest) {
    this.words = Uint32Array.from(words);
    this.class = classOf(this.words);
    this.sessions = all.sessions;
    this.tracking = new Tracking(all, rest, this.words);
  }

  private get datapath(): number { return this.words[fw.FW_DATAPATH]!; }

  run(table: number): Verdict {
    for (let at = table; this.steps.length < STEPS;) {
      const ended = this.stage(at);
      if ('verdict' in ended) return ended.verdict;
      if ('next' in ended) { at = ended.next; continue; }
      if (!('output' in ended)) throw new Error('reference: sub-table result outside a call');
      const on = at < TABLE_EGRESS ? this.outputIngress() : this.outputEgress();
      if (typeof on !== 'number') return on;
      at = on;
    }
    return { kind: 'punt', reason: 'BUDGET', flow: '' };
  }

  private stage(table: number): Ended {
    const cell = (this.class - 1) * ROW_TABLES + table;
    const view = this.class === packetClass.CLASS_ANY || table >= ROW_TABLES ? undefined
      : this.desired.views?.get(this.datapath)?.get(cell);
    const stage = view?.stage ?? this.desired.dispatch.get(`${this.datapath}/${table}`);
    const asked = view ? view.lookups : stage?.lookups?.entries();
    if (asked) askSets(this.desired, asked, this.words);
    const rule = view ? lookupView(view, this.words) : stage && lookup(stage, this.words);
    this.steps.push({ datapath: this.datapath, table: stage?.table ?? table, rule });
    if (!rule) return { verdict: { kind: 'drop', reason: 'NO_MATCH', flow: '' } };
    const ended = this.program(rule.program, rule);
    if (!('call' in ended)) return ended;
    const sub = this.stage(ended.call);
    if (!('returned' in sub)) return sub;
    this.words[fw.FW_RESULT] = sub.returned;
    return this.program(ended.then, { ...rule, args: [] });
  }

  private program(program: Program, rule: Rule): Ended {
    for (const op of program.ops) {
      const ended = this.op(op, rule);
      if (ended) return ended;
    }
    return { verdict: { kind: 'drop', reason: 'FLOW', flow: rule.flow } };
  }

  private put(word: number, mask: number, value: number): void {
    this.words[word] = ((this.words[word]! & ~mask) | (value & mask)) >>> 0;
  }

  private op(op: Op, rule: Rule): Ended | undefined {
    const { code, dst = 0, src = 0, shift = 0, mask = 0, imm = 0, arg = 0, then } = op;
    const { flow, args } = rule;
    switch (code) {
      case opCode.OP_SET: this.put(dst, mask, args[arg]!); return undefined;
      case opCode.OP_MOVE: this.put(dst, mask, rotate(this.words[src]!, shift)); return undefined;
      case opCode.OP_NEXT: return { next: imm };
      case opCode.OP_OUTPUT: return { output: true };
      case opCode.OP_PUNT: return { verdict: { kind: 'punt', reason: imm, flow } };
      case opCode.OP_CALL: return { call: imm, then: then! };
      case opCode.OP_RETURN: return { returned: imm };
      case opCode.OP_DEC_TTL: return this.decrementTtl(flow);
      case opCode.OP_GET_MAC: this.getMac(dst, src, imm); return undefined;
      case opCode.OP_LOOKUP_MAC: this.lookupMac(dst, src, arg, imm); return undefined;
      case opCode.OP_PKT_LARGER:
        this.words[fw.FW_RESULT] = +(this.words[fw.FW_PKT_LEN]! > args[arg]!);
        return undefined;
      case opCode.OP_ND_NA: this.advertise(); return undefined;
      case opCode.OP_ANSWER:
        this.class = packetClass.CLASS_ANY;
        return this.answer(imm, flow);
      case opCode.OP_ICMP_REST: return undefined;
      case opCode.OP_SELECT:
        return this.left(select(this.words, mask, rule.buckets!) ? undefined : 'REWRITE', flow);
      case opCode.OP_HAIRPIN:
        return this.left(this.hairpin(op) ? undefined : 'CONNTRACK', flow);
      case opCode.OP_AFFINITY:
        return this.left(this.affinity(imm) ? undefined : 'AFFINITY', flow);
      case opCode.OP_CT_CLEAR: this.tracking.clear(); return undefined;
      case opCode.OP_CT_NEXT:
      case opCode.OP_CT_NAT:
        return this.left(this.tracking.track(op, args), flow)
          ?? (this.stays(op) ? undefined : { next: imm });
      case opCode.OP_CT_COMMIT: return this.left(this.tracking.commit(op, args), flow);
      case opCode.OP_END: return { verdict: { kind: 'drop', reason: 'FLOW', flow } };
      default: throw new Error(`reference: op ${code} is not in abi.h`);
    }
  }

  /** Whether the program goes on, untracked. */
  private stays({ code, mask = 0 }: Op): boolean {
    const stays = code === opCode.OP_CT_NAT && (mask & CT_NAT_STAYS) !== 0;
    if (stays) this.words.fill(0, fw.FW_CT_STATE, fw.FW_CT_ORIG_PROTO + 1);
    return stays;
  }

  private hairpin(op: Op): boolean {
    const zone = this.words[fw.FW_SNAT_ZONE]! & 0xffff;
    return askHairpin(this.desired, this.words, op, () => this.tracking.isReply(zone));
  }

  private affinity(what: number): boolean {
    const repeated = this.tracking.isRepeated();
    return what === affinityOp.AFFINITY_LEARN ? repeated
      : askAffinity(this.sessions, this.words, repeated);
  }

  private left(reason: string | undefined, flow: string): Ended | undefined {
    if (reason === 'NAT_TAKEN') return { verdict: { kind: 'drop', reason, flow } };
    return reason === undefined ? undefined : { verdict: { kind: 'punt', reason, flow } };
  }

  private decrementTtl(flow: string): Ended | undefined {
    const ttl = (this.words[fw.FW_IP]! >>> 16) & 0xff;
    if (ttl <= 1) return { verdict: { kind: 'punt', reason: puntReason.PUNT_TTL, flow } };
    this.put(fw.FW_IP, 0xff0000, (ttl - 1) << 16);
    return undefined;
  }

  /** The binding of the address at word `at`, as high 16 and low 32 bits. */
  private binding(at: number, portWord: number, imm: number): [number, number] | undefined {
    const words = this.words.subarray(at, at + ((imm & MAC_IP4) !== 0 ? 1 : 4));
    const value = words.reduce((v, w) => (v << 32n) | BigInt(w), 0n);
    const ip = formatNumber(words.length === 1 ? 'ipv4' : 'ipv6', value);
    const key = `${this.datapath}/${this.words[portWord]}/${ip}`;
    const mac = this.desired.macBindings.get(key)?.mac;
    if (mac === undefined) return undefined;
    const digits = mac.replaceAll(':', '');
    return [parseInt(digits.slice(0, 4), 16), parseInt(digits.slice(4), 16)];
  }

  private getMac(at: number, port: number, imm: number): void {
    const [high, low] = this.binding(at, port, imm) ?? [0, 0];
    this.words[fw.FW_ETH_DST] = high;
    this.words[fw.FW_ETH_DST + 1] = low;
  }

  private lookupMac(at: number, port: number, mac: number, imm: number): void {
    const found = this.binding(at, port, imm);
    const same = found?.[0] === this.words[mac] && found?.[1] === this.words[mac + 1];
    this.words[fw.FW_RESULT] = +(found !== undefined && ((imm & MAC_ANY) !== 0 || same));
  }

  private swap(a: number, b: number, n: number): void {
    const w = this.words;
    for (let i = 0; i < n; i++) [w[a + i], w[b + i]] = [w[b + i]!, w[a + i]!];
  }

  private advertise(): void {
    this.swap(fw.FW_ETH_DST, fw.FW_ETH_SRC, 2);
    this.swap(fw.FW_IP_SRC, fw.FW_IP_DST, 4);
    this.put(fw.FW_IP, 0xff0000, 255 << 16);
    this.put(fw.FW_L4, 0xffffffff, 136 << 16);
  }

  /** As bpf/answer.h, of a frame without padding. */
  private answer(kind: number, flow: string): Ended | undefined {
    const w = this.words, reject = kind === answer.ANSWER_REJECT;
    const proto = w[fw.FW_IP]! >>> 24, type = w[fw.FW_L4]! >>> 16;
    const ip4 = w[fw.FW_ETH_TYPE]! >>> 16 === 0x0800;
    const silent = proto === TCP ? (w[fw.FW_TCP_FLAGS]! & RST) !== 0
      : ip4 ? proto === ICMP && type === 3 : proto === ICMP6 && type === 1;
    if (reject && silent) return { verdict: { kind: 'drop', reason: 'FLOW', flow } };
    if (reject && proto === SCTP) {
      return { verdict: { kind: 'punt', reason: puntReason.PUNT_CONTROLLER, flow } };
    }
    if (reject) {
      this.swap(fw.FW_ETH_DST, fw.FW_ETH_SRC, 2);
      this.swap(fw.FW_IP_DST, fw.FW_IP_SRC, 4);
    }
    const reset = kind === answer.ANSWER_TCP_RESET || (reject && proto === TCP);
    const header = ip4 ? 20 : 40, quoted = Math.min(w[fw.FW_PKT_LEN]! - 14, ip4 ? 534 : 1218);
    const unreachable = kind === answer.ANSWER_ICMP_ERROR || proto !== UDP
      ? 1 : ip4 ? 3 : 4;
    w[fw.FW_IP] = (reset ? TCP << 24 | 63 << 16 : (ip4 ? ICMP : ICMP6) << 24 | 255 << 16) >>> 0;
    w[fw.FW_L4] = reset ? rotate(w[fw.FW_L4]!, 16) : (ip4 ? 3 : 1) << 16 | unreachable;
    w[fw.FW_TCP_FLAGS] = reset ? RST | ACK : 0;
    w[fw.FW_PKT_LEN] = 14 + header + (reset ? 20 : 8 + quoted);
    w[fw.FW_IP6_LABEL] = w[fw.FW_PKT_MARK] = 0;
    w.fill(0, fw.FW_ND_TARGET, fw.FW_THA + 2);
    w.fill(0, fw.FW_CT_STATE, fw.FW_CT_ORIG_PROTO + 1);
    this.tracking.reset();
    return undefined;
  }

  private outport(): Port | Verdict {
    const key = this.words[fw.FW_OUTPORT]!;
    if (key === 0) return { kind: 'drop', reason: 'NO_OUTPUT', flow: '' };
    let port = this.desired.ports.get(`${this.datapath}/${key}`);
    if (key >= 32768 && port?.kind !== 'redirect') {
      return { kind: 'punt', reason: 'MULTICAST', flow: '' };
    }
    if (port?.kind === 'redirect') {
      this.words[fw.FW_OUTPORT] = port.peerPort!;
      port = this.desired.ports.get(`${this.datapath}/${port.peerPort}`);
    }
    if (!port) return { kind: 'punt', reason: 'UNKNOWN_PORT', flow: '' };
    if (port.kind === 'punt') {
      return { kind: 'punt', reason: port.reason ?? 'UNSUPPORTED_PORT', flow: '' };
    }
    return port;
  }

  /** Ends the walk, or goes on at the egress pipeline of a port that is here. */
  private outputIngress(): Verdict | number {
    const port = this.outport();
    if (!('logical_port' in port)) return port;
    if (port.kind === 'remote') return { kind: 'output', port };
    const loopback = this.words[fw.FW_FLAGS]! & 1;
    if (this.words[fw.FW_INPORT] === port.port && !loopback) {
      return { kind: 'drop', reason: 'LOOPBACK', flow: '' };
    }
    this.words.fill(0, 0, 10);
    if (port.kind !== 'patch' || port.zone !== 0) this.words[fw.FW_CT_ZONE] = port.zone;
    return TABLE_EGRESS;
  }

  /** Delivers, or goes on at the ingress pipeline of the peer of a patch port. */
  private outputEgress(): Verdict | number {
    const port = this.outport();
    if (!('logical_port' in port)) return port;
    if (port.kind !== 'patch') return { kind: 'output', port };
    const w = this.words;
    w.fill(0, 0, fw.FW_INPORT);
    this.tracking.clear();
    w[fw.FW_DATAPATH] = port.peerDatapath!;
    w[fw.FW_INPORT] = port.peerPort!;
    w[fw.FW_OUTPORT] = 0;
    this.class = classOf(w);
    const peer = this.desired.datapaths.get(port.peerDatapath!);
    w[fw.FW_DNAT_ZONE] = peer?.dnatZone ?? 0;
    w[fw.FW_SNAT_ZONE] = peer?.snatZone ?? 0;
    return 0;
  }
}

/**
 * Walks a packet from `table` of the datapath in its FW_DATAPATH word to its verdict.
 * `words` is not changed; `connections` are as after the packet.
 */
export function walk(
  desired: Desired, words: Uint32Array, table = 0, connections = new Connections(),
  rest: IcmpRest = {},
): Walked {
  const w = new Walk(desired, words, connections, rest);
  const verdict = w.run(table);
  const reason = verdict.kind === 'punt' ? verdict.reason : undefined;
  const named = typeof reason === 'number' ? puntReasons[reason]?.name : reason;
  const left = w.tracking.end(named);
  const settled: Verdict = left === named || left === undefined ? verdict
    : { kind: 'punt', reason: left, flow: '' };
  return { verdict: settled, words: w.words, steps: w.steps };
}
