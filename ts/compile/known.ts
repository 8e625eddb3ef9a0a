/**
 * What is known of a flow vector: which bits of which words have which value, for every packet
 * that comes to a place. What programs do to it stands in `ops`; an op that is not there makes
 * nothing known, so a new op needs its line before its datapaths have views (views.ts).
 */
import { CT_NAT_STAYS, flowWord as fw, opCode, packetClass as classes } from '../abi/generated.js';
import { ones } from './fields.js';
import type { Op, Program } from './model.js';

export class Known {
  /** Of knowledge that has one: it does not change any more, and equal one is the same object. */
  private fixed: string | undefined;
  constructor(readonly masks = new Uint32Array(fw.FW_WORDS),
    readonly values = new Uint32Array(fw.FW_WORDS)) {}

  copy(): Known { return new Known(this.masks.slice(), this.values.slice()); }

  /** The one object for what is known here, which must not be changed. */
  once(): Known {
    if (this.fixed !== undefined) return this;
    const text = this.text(), before = all.get(text);
    if (before) return before;
    if (all.size >= MANY) all.clear();
    this.fixed = text;
    all.set(text, this);
    return this;
  }
  get isFixed(): boolean { return this.fixed !== undefined; }

  learn(word: number, mask: number, value: number): void {
    this.masks[word] = this.masks[word]! | mask;
    this.values[word] = (this.values[word]! & ~mask) | (value & mask);
  }
  forget(word: number, mask = ones(32)): void {
    this.masks[word] = this.masks[word]! & ~mask;
    this.values[word] = this.values[word]! & ~mask;
  }
  clear(first: number, last = first): void {
    for (let word = first; word <= last; word++) this.learn(word, ones(32), 0);
  }
  /** Whether `other` does not know all that is known here. */
  exceeds(other: Known): boolean {
    for (let i = 0; i < this.masks.length; i++) {
      const mask = this.masks[i]!;
      if (mask !== 0 && ((mask & other.masks[i]! & ~(this.values[i]! ^ other.values[i]!)) >>> 0)
        !== mask) return true;
    }
    return false;
  }
  /** Only what both know stays known; whether that is less than before. */
  join(other: Known): boolean {
    let less = false;
    for (let i = 0; i < this.masks.length; i++) {
      const mask = this.masks[i]! & other.masks[i]! & ~(this.values[i]! ^ other.values[i]!);
      if (mask >>> 0 === this.masks[i]) continue;
      less = true;
      this.masks[i] = mask;
      this.values[i] = this.values[i]! & mask;
    }
    return less;
  }
  /** A text that is equal for equal knowledge. */
  text(): string {
    let text = '';
    for (let i = 0; i < this.masks.length; i++) {
      if (this.masks[i] !== 0) text += `${i}&${this.masks[i]}=${this.values[i]},`;
    }
    return text;
  }
}

/** By text; forgotten when there is very much. */
const all = new Map<string, Known>();
const MANY = 20_000;

const protocols = [6, 17] as const;
/** FW_IP: ip.proto and ip.frag. */
const CLASS_IP = 0xff000003;
/** Bits that say which class a packet is of: whoever writes them makes it another packet. */
export const classBits: ReadonlyMap<number, number> =
  new Map([[fw.FW_ETH_TYPE, ones(32)], [fw.FW_IP, CLASS_IP]]);

/** As packet_class() in bpf/physical.h. */
function learnClass(known: Known, of: number): void {
  if (of === classes.CLASS_ARP) return known.learn(fw.FW_ETH_TYPE, ones(32), 0x0806 << 16);
  const six = of >= classes.CLASS_TCP6;
  const proto = protocols[(of - classes.CLASS_TCP4) % 3] ?? (six ? 58 : 1);
  known.learn(fw.FW_ETH_TYPE, ones(32), (six ? 0x86dd : 0x0800) << 16);
  known.learn(fw.FW_IP, CLASS_IP, proto << 24);
}

/** The class of a flow vector, as packet_class() says. */
export function classOf(words: Uint32Array): number {
  for (let of = 1; of < classes.PACKET_CLASSES; of++) {
    const known = new Known();
    learnClass(known, of);
    if ([...classBits.keys()].every((word) =>
      ((words[word]! & known.masks[word]!) >>> 0) === known.values[word])) return of;
  }
  return classes.CLASS_ANY;
}

/** Before an ingress pipeline: what enter_ingress() and cross() of bpf/physical.h leave. */
export function atIngress(of: number): Known {
  const known = new Known();
  known.clear(fw.FW_REG0, fw.FW_FLAGS);
  known.clear(fw.FW_OUTPORT);
  known.clear(fw.FW_CT_STATE, fw.FW_CT_ORIG_PROTO);
  learnClass(known, of);
  return known;
}

/** Before an egress pipeline, after an ingress pipeline that ended in `known`: enter_egress(). */
export function atEgress(known: Known): Known {
  const egress = known.copy();
  egress.clear(fw.FW_REG0, fw.FW_REG9);
  egress.forget(fw.FW_CT_ZONE);
  egress.forget(fw.FW_OUTPORT);
  return egress;
}

/** The same, for a packet that came by a tunnel: enter_from_tunnel(). */
export const fromTunnel = (of: number): Known => atEgress(atIngress(of));

/** Of the packet itself only its class stays known: conntrack may translate it. */
function another(known: Known): void {
  for (let word = fw.FW_PKT_MARK; word < fw.FW_WORDS; word++) {
    known.forget(word, ~(classBits.get(word) ?? 0) >>> 0);
  }
}

/** A result of one bit. */
function oneBit(known: Known): void {
  known.forget(fw.FW_RESULT);
  known.learn(fw.FW_RESULT, 0xfffffffe, 0);
}

const rotate = (value: number, by: number): number => {
  const left = by & 31;
  return left === 0 ? value : ((value << left) | (value >>> (32 - left))) >>> 0;
};

function move(known: Known, { dst = 0, src = 0, shift = 0, mask = 0 }: Op): void {
  const bits = (rotate(known.masks[src]!, shift) & mask) >>> 0;
  const value = rotate(known.values[src]!, shift);
  known.forget(dst, mask);
  known.learn(dst, bits, value);
}

/** Where a packet goes from a program; none: nowhere that a view is used. */
export type Leaves = { readonly next: number } | { readonly output: true }
  | { readonly call: number; readonly then: Program } | { readonly returned: number } | undefined;
/** `args` undefined: any. */
type Args = readonly number[] | undefined;
type Step = (known: Known, op: Op, args: Args) => { readonly ends: Leaves } | void;

const ends = (where: Leaves) => ({ ends: where });
const nowhere: Step = () => ends(undefined);
const trackedNext: Step = (known, { imm = 0 }) => {
  another(known);
  return ends({ next: imm });
};

/** Every op of abi.h. After OP_ANSWER the packet is of no class and uses no views. */
const ops: ReadonlyMap<number, Step> = new Map<number, Step>([
  [opCode.OP_END, nowhere], [opCode.OP_PUNT, nowhere],
  [opCode.OP_RETURN, (_, { imm = 0 }) => ends({ returned: imm })],
  [opCode.OP_ANSWER, nowhere],
  [opCode.OP_SET, (known, { dst = 0, mask = 0, arg = 0 }, args) => {
    if (args) known.learn(dst, mask, args[arg] ?? 0);
    else known.forget(dst, mask);
  }],
  [opCode.OP_MOVE, (known, op) => move(known, op)],
  [opCode.OP_NEXT, (_, { imm = 0 }) => ends({ next: imm })],
  [opCode.OP_OUTPUT, () => ends({ output: true })],
  [opCode.OP_DEC_TTL, (known) => known.forget(fw.FW_IP, 0xff0000)],
  [opCode.OP_CALL, (_, { imm = 0, then }) => ends(then && { call: imm, then })],
  [opCode.OP_GET_MAC, (known) => {
    known.forget(fw.FW_ETH_DST);
    known.forget(fw.FW_ETH_DST + 1);
  }],
  [opCode.OP_LOOKUP_MAC, oneBit], [opCode.OP_PKT_LARGER, oneBit],
  [opCode.OP_ICMP_REST, () => undefined],
  [opCode.OP_SELECT, (known) => {
    for (let word = fw.FW_CHOICE; word < fw.FW_WORDS; word++) known.forget(word);
  }],
  [opCode.OP_HAIRPIN, (known) => {
    oneBit(known);
    for (let word = fw.FW_NAT_ADDRESS; word <= fw.FW_NAT_PORTS; word++) known.forget(word);
  }],
  [opCode.OP_AFFINITY, (known) => {
    oneBit(known);
    for (let word = fw.FW_REG0; word <= fw.FW_REG9; word++) known.forget(word);
  }],
  [opCode.OP_CT_NEXT, trackedNext],
  [opCode.OP_CT_NAT, (known, op, args) => {
    if (((op.mask ?? 0) & CT_NAT_STAYS) === 0) return trackedNext(known, op, args);
    return another(known);
  }],
  [opCode.OP_CT_COMMIT, another], [opCode.OP_ND_NA, another],
  [opCode.OP_CT_CLEAR, (known) => known.clear(fw.FW_CT_STATE, fw.FW_CT_ORIG_PROTO)],
]);

export const isKnownOp = (code: number): boolean => ops.has(code);

/** Changes `known` as the program changes a packet. `opaque`: what it does is not known. */
export function follow(program: Program, args: Args, known: Known):
  Leaves | 'opaque' {
  for (const op of program.ops) {
    const step = ops.get(op.code);
    const bits = op.code === opCode.OP_SET || op.code === opCode.OP_MOVE
      ? classBits.get(op.dst ?? 0) ?? 0 : 0;
    if (!step || (bits & (op.mask ?? 0)) !== 0) return 'opaque';
    const end = step(known, op, args);
    if (end) return end.ends;
  }
  return undefined;
}
