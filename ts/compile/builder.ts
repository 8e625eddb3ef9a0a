/** The program under construction, of one action list: ops, arguments, scratch words. */
import { flowWord as fw, MAC_IP4, opCode, TABLE_EGRESS } from '../abi/generated.js';
import type { Action, Field } from '../lflow/ast.js';
import { bitsAt, ones, part, placeOf, segments, wordMask, type Place } from './fields.js';
import { TABLES_PER_PIPELINE, type Refusal } from './limits.js';
import type { Buckets, Op } from './model.js';

/** What actions refer to outside their text. */
export interface ActionTarget {
  /** Key of a logical port or multicast group of this datapath; undefined: there is none. */
  port(name: string): number | undefined;
  /** Whether ovn-controller removes MAC bindings of this datapath that it does not see used. */
  agesMacs?(): boolean;
  /** Whether the administrator gave the router's SNAT zone, which is then common to all NAT. */
  snatZoneGiven?(): boolean;
}

/** The stage that an action list stands in: what conntrack actions do depends on it. */
export interface Stand {
  readonly pipeline: 'ingress' | 'egress'; readonly table: number; readonly router: boolean;
  /** Of OVN, that wrote the text. */
  readonly release: string;
  /** Whatever comes here has one source address. */
  readonly oneSource?: boolean;
}

/** Thrown while a list is compiled, and never beyond: the list is refused. */
export class Refused extends Error {
  constructor(readonly refusal: Refusal) { super(refusal.detail); }
}
export function refuse(detail: string): never {
  throw new Refused({ reason: 'UNSUPPORTED_ACTION', detail });
}

export function place(field: Field): Place {
  return placeOf(field) ?? refuse(`field ${field.symbol.name}`);
}
/** The word of a field that is a whole aligned word or more (ports, addresses). */
export function wholeWord(p: Place): number {
  return p.shift === 0 && p.width === 32 ? p.word : refuse('port argument is no port');
}
const bitRange = (p: Place): [number, number] => {
  const end = 32 * (63 - p.word) + p.shift;
  return [end, end + p.width];
};
function disjoint(a: Place, b: Place): boolean {
  const [a0, a1] = bitRange(a), [b0, b1] = bitRange(b);
  return a1 <= b0 || b1 <= a0;
}

/** Runs of equal length, each within one word on both sides, least significant first. */
function chunks(a: Place, b: Place): { a: Place; b: Place }[] {
  const list = [];
  for (let low = 0; low < a.width;) {
    const x = part(a, low, 1)!, y = part(b, low, 1)!;
    const width = Math.min(a.width - low, 32 - x.shift, 32 - y.shift);
    list.push({ a: { ...x, width }, b: { ...y, width } });
    low += width;
  }
  return list;
}

/** The program under construction. */
export class Builder {
  readonly ops: Op[] = [];
  readonly args: number[] = [];
  readonly stack: Place[] = [];
  ended = false;
  /** The action whose answer the packet has become. */
  answer: string | undefined;
  /** What the one OP_SELECT chooses from. */
  buckets: Buckets | undefined;
  private temps = 0;
  private zeroArg: number | undefined;
  constructor(readonly target: ActionTarget, readonly stand?: Stand) {}

  arg(value: number): number { return this.args.push(value >>> 0) - 1; }
  /** The argument that is zero, shared. */
  zero(): number { return (this.zeroArg ??= this.arg(0)); }
  /** `words` scratch words; the place's last word is the least significant. */
  temp(words: number): number {
    const first = fw.FW_TMP + this.temps;
    this.temps += words;
    return first + words <= fw.FW_WORDS ? first : refuse('more scratch words than there are');
  }
  end(op: Op): void { this.ops.push(op); this.ended = true; }

  load(dst: Place, value: bigint, mask?: bigint): void {
    for (const s of segments(dst)) {
      const m = mask === undefined ? wordMask(s) : bitsAt(mask, s);
      if (m === 0) continue;
      const arg = this.arg(bitsAt(value, s) & m);
      this.ops.push({ code: opCode.OP_SET, dst: s.word, mask: m, arg });
    }
  }
  clear(word: number): void {
    this.ops.push({ code: opCode.OP_SET, dst: word, mask: ones(32), arg: this.zero() });
  }
  move(dst: Place, src: Place): void {
    const list = chunks(dst, src);
    if (list.length > 1 && !disjoint(dst, src)) refuse('move between overlapping fields');
    for (const c of list) this.moveBits(c.a, c.b);
  }
  private moveBits(dst: Place, src: Place): void {
    const shift = dst.shift - src.shift;
    const mask = wordMask(dst);
    this.ops.push({ code: opCode.OP_MOVE, dst: dst.word, src: src.word, shift, mask });
  }
  exchange(a: Place, b: Place): void {
    if (!disjoint(a, b)) refuse('exchange of overlapping fields');
    const tmp = this.temp(1);
    for (const c of chunks(a, b)) {
      this.moveBits({ word: tmp, shift: 0, width: 32 }, { ...c.a, shift: 0 });
      this.moveBits(c.a, c.b);
      this.moveBits(c.b, { ...c.a, word: tmp });
    }
  }
  /** RESULT's lowest bit into `dst`. */
  result(dst: Field): void {
    this.move(place(dst), { word: fw.FW_RESULT, shift: 0, width: 1 });
  }
  /** An address operand: its word, and the imm of the MAC ops that says its size. */
  address(field: Field): { dst: number; imm: number } {
    const p = place(field);
    if (p.shift !== 0 || (p.width !== 32 && p.width !== 128)) refuse('address of odd size');
    return p.width === 32 ? { dst: p.word, imm: MAC_IP4 } : { dst: p.word - 3, imm: 0 };
  }
}

export function tableNumber(pipeline: 'ingress' | 'egress', number: number): number {
  if (number < 0 || number >= TABLES_PER_PIPELINE) refuse(`table ${number}`);
  return pipeline === 'ingress' ? number : TABLE_EGRESS + number;
}

export const standOf = (b: Builder): Stand => b.stand ?? refuse('conntrack outside of a stage');
/** The zone of actions that name none: the port's, or the router's for DNAT. */
export function stageZone(b: Builder, named?: 'dnat' | 'snat'): number {
  if (!standOf(b).router) return fw.FW_CT_ZONE;
  return named === 'snat' ? fw.FW_SNAT_ZONE : fw.FW_DNAT_ZONE;
}

type Arm<N> = Action extends infer A
  ? A extends { readonly name: infer M } ? (N extends M ? A : never) : never : never;
/** Compiles one action; `rest`: those after it. */
export type Handler<N> = (b: Builder, action: Arm<N>, rest: readonly Action[]) => void;
export type Handlers = { readonly [N in Action['name']]?: Handler<N> };
