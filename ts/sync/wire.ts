/**
 * Desired state's pieces as the bytes of bpf/abi.h's types. The machine is little-endian
 * (the loader refuses others); byte arrays marked so in abi.h are in network order.
 */
import {
  BUCKETS, buckets as bucketsCodec, CACHE_LOOKS_FLAGS, CACHE_LOOKS_LABEL, CACHE_LOOKS_LENGTH,
  KEY_WORDS_L, KEY_WORDS_M, KEY_WORDS_S, NODE_LOOKS_SHIFT, NODE_WORDS, PROGRAM_CALL, PROGRAM_NEXT,
  PROGRAM_OPS, PROGRAM_RETURN, RULE_ARGS, TABLE_SUB, flowWord, opCode, program as programCodec,
  rule as ruleCodec, stage as stageCodec, tuple as tupleCodec, type Node,
} from '../abi/generated.js';
import type { Op, Program, TupleShape, ViewNode } from '../compile/model.js';
import type { Bytes } from './port.js';

/** By key class. */
export const keyWords = [KEY_WORDS_S, KEY_WORDS_M, KEY_WORDS_L] as const;

/** Of Node's pool: memory of its own for each of a hundred thousand costs several times as much. */
const zeros = (size: number): Buffer => Buffer.allocUnsafe(size).fill(0);

/** Little-endian u32 words. */
export function words(...values: readonly number[]): Buffer {
  const out = Buffer.allocUnsafe(values.length * 4);
  values.forEach((value, i) => out.writeUInt32LE(value >>> 0, i * 4));
  return out;
}

export function toWords(bytes: Bytes): number[] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: view.length >> 2 }, (_, i) => view.readUInt32LE(i * 4));
}

/** Map keys of JavaScript are strings; latin1 keeps bytes one to one. */
export function idOf(bytes: Bytes): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
export function bytesOf(id: string): Buffer { return Buffer.from(id, 'latin1'); }

/** Which rule map holds a shape; undefined when the shape looks at too many words. */
export function keyClass(shape: TupleShape): 0 | 1 | 2 | undefined {
  const found = keyWords.findIndex((limit) => shape.words.length <= limit);
  return found < 0 ? undefined : found as 0 | 1 | 2;
}

/** Words of the packet that the cache's key has not (abi.h): looking at them is noted. */
const uncachedWords: ReadonlyMap<number, number> = new Map([
  [flowWord.FW_IP6_LABEL, CACHE_LOOKS_LABEL], [flowWord.FW_TCP_FLAGS, CACHE_LOOKS_FLAGS],
  [flowWord.FW_PKT_LEN, CACHE_LOOKS_LENGTH]]);

const unsigned = (word: number): number => word >>> 0;

/** CACHE_LOOKS_* of words that are compared. */
const looksOf = (compared: readonly number[]): number =>
  compared.reduce((looks, word) => looks | (uncachedWords.get(word) ?? 0), 0);

export function encodeTuple(shape: TupleShape): Uint8Array {
  return tupleCodec.toBytes({ nwords: shape.words.length, key_class: keyClass(shape) ?? 0,
    looks: looksOf(shape.words),
    word: Uint8Array.from(shape.words), mask: shape.masks.map(unsigned) });
}
export function decodeTuple(bytes: Bytes): TupleShape {
  const { nwords, word, mask } = tupleCodec.fromBytes(bytes);
  return { words: [...word.slice(0, nwords)], masks: mask.slice(0, nwords) };
}

export interface StageHead {
  readonly table: number;
  readonly datapath: number;
  /** Index of what it asks about sets; 0: nothing. */
  readonly sets: number;
  readonly more: number;
  readonly tuples: readonly { readonly tuple: number; readonly max_priority: number }[];
}
export function encodeStage({ table, datapath, sets, more, tuples }: StageHead): Uint8Array {
  return stageCodec.toBytes({ ntuples: tuples.length, table, datapath_hint: datapath, sets,
    more, tuples });
}
export function decodeStage(bytes: Bytes): StageHead {
  const { ntuples, table, datapath_hint: datapath, sets, more, tuples } =
    stageCodec.fromBytes(bytes);
  return { table, datapath, sets, more, tuples: tuples.slice(0, ntuples) };
}

/** struct node without what it leads to, of at most NODE_WORDS words from `first` on. */
export function encodeNode({ order, words: all, masks, values }: ViewNode, first: number,
  { kind, index, stage }: { kind: number; index: number; stage?: number }): Node {
  const end = first + NODE_WORDS, word = all.slice(first, end);
  return { word: Uint8Array.from(word), mask: masks.slice(first, end), order, index,
    value: stage === undefined ? values.slice(first, end) : [stage],
    kind: kind | looksOf(word) << NODE_LOOKS_SHIFT };
}

/** struct rule_key_s, _m, _l. By hand, like encodeRule: there are a hundred thousand of them. */
export function encodeRuleKey(stage: number, tuple: number, key: readonly number[],
  size: number): Buffer {
  const out = zeros(8 + size * 4);
  out.writeUInt32LE(stage, 0);
  out.writeUInt32LE(tuple, 4);
  key.forEach((word, i) => out.writeUInt32LE(word >>> 0, 8 + i * 4));
  return out;
}

export interface RuleValue {
  readonly priority: number; readonly program: number; readonly flow: number;
  readonly args: readonly number[];
}
export function encodeRule(rule: RuleValue): Buffer {
  const out = zeros(ruleCodec.size);
  out.writeUInt16LE(rule.priority, 0);
  out.writeUInt16LE(rule.program, 2);
  out.writeUInt32LE(rule.flow, 4);
  rule.args.forEach((arg, i) => out.writeUInt32LE(arg >>> 0, 8 + i * 4));
  return out;
}
export const decodeRule = (bytes: Bytes): RuleValue => ruleCodec.fromBytes(bytes);

const opBytes = (op: Op) => ({
  code: op.code, dst: op.dst ?? 0, src: op.src ?? 0, shift: op.shift ?? 0,
  mask: unsigned(op.mask ?? 0), imm: unsigned(op.imm ?? 0), arg: op.arg ?? 0,
});

/** Ops that are a program by themselves, which is not written: its index says all. By the first
 * index of each, with the first `imm`. */
const indexed = [
  { code: opCode.OP_RETURN, from: PROGRAM_RETURN, to: 0x10000, imm: 0 },
  { code: opCode.OP_NEXT, from: PROGRAM_NEXT, to: PROGRAM_RETURN, imm: 0 },
  { code: opCode.OP_CALL, from: PROGRAM_CALL, to: PROGRAM_NEXT, imm: TABLE_SUB },
] as const;

/** Index of a program of one op that is not written. */
export function indexOf({ ops: [op, ...rest] }: Program): number | undefined {
  const kind = indexed.find(({ code }) => code === op?.code);
  if (!op || !kind || rest.length > 0 || (op.arg ?? 0) !== 0) return undefined;
  const index = kind.from + (op.imm ?? 0) - kind.imm;
  return index >= kind.from && index < kind.to ? index : undefined;
}

/** The program that an index says, if it is one that is not written. */
export function indexedProgram(index: number): Program | undefined {
  const kind = indexed.find(({ from, to }) => index >= from && index < to);
  return kind && { ops: [{ code: kind.code, imm: index - kind.from + kind.imm }] };
}

/** A program without ops is written as one OP_END, which means the same, so that an index in
 * use is never all zero. Undefined when it has too many ops. */
export function encodeProgram(program: Program): Uint8Array | undefined {
  const ops = program.ops.length > 0 ? program.ops : [{ code: opCode.OP_END }];
  if (ops.length > PROGRAM_OPS) return undefined;
  return programCodec.toBytes({ nops: ops.length, ops: ops.map(opBytes) });
}

/** Some of a group's buckets. */
export const encodeBuckets = (list: readonly (readonly number[])[]): Uint8Array =>
  bucketsCodec.toBytes({ count: list.length, bucket: Array.from({ length: BUCKETS }, (_, i) =>
    ({ words: (list[i] ?? []).map(unsigned) })) });
export function decodeBuckets(bytes: Bytes): number[][] {
  const { count, bucket } = bucketsCodec.fromBytes(bytes);
  return bucket.slice(0, count).map((each) => [...each.words]);
}

export function decodeProgram(bytes: Bytes): Program {
  const { nops, ops } = programCodec.fromBytes(bytes);
  return { ops: ops.slice(0, nops) };
}

/** Whether a rule's arguments fit. */
export const argsFit = (args: readonly number[]): boolean => args.length <= RULE_ARGS;

/** 16 bytes of a UUID's text; all zero for "". */
export function encodeUuid(uuid: string): Buffer {
  const out = zeros(16);
  out.write(uuid.replaceAll('-', ''), 'hex');
  return out;
}
export function decodeUuid(bytes: Bytes): string {
  const hex = Buffer.from(bytes).toString('hex');
  if (/^0*$/.test(hex)) return '';
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
