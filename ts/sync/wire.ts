/**
 * Desired state's pieces as the bytes of bpf/abi.h's types. The machine is little-endian
 * (the loader refuses others); byte arrays marked so in abi.h are in network order.
 */
import type { Op, Program, TupleShape } from '../compile/model.js';
import type { Bytes } from './port.js';

export const abi = {
  KEY_WORDS: [2, 6, 16],
  STAGE_TUPLES: 61,
  PROGRAM_OPS: 32,
  RULE_ARGS: 16,
  OP_END: 0,
  OP_PUNT: 5,
  OP_CALL: 7,
  IFACE_VIF: 1,
  IFACE_UPLINK: 2,
  PORT_KIND: { local: 1, remote: 2, patch: 3, punt: 4 },
  DATAPATH_ROUTER: 1,
} as const;

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
export function keyClass(shape: TupleShape): number | undefined {
  const found = abi.KEY_WORDS.findIndex((limit) => shape.words.length <= limit);
  return found < 0 ? undefined : found;
}

/** struct tuple: 84 bytes. */
export function encodeTuple(shape: TupleShape): Buffer {
  const out = Buffer.alloc(84);
  out[0] = shape.words.length;
  out[1] = keyClass(shape) ?? 0;
  shape.words.forEach((word, i) => { out[4 + i] = word; });
  shape.masks.forEach((mask, i) => out.writeUInt32LE(mask >>> 0, 20 + i * 4));
  return out;
}

export function decodeTuple(bytes: Bytes): TupleShape & { keyClass: number } {
  const count = bytes[0] ?? 0;
  return {
    words: [...bytes.subarray(4, 4 + count)],
    masks: toWords(bytes.subarray(20, 20 + count * 4)),
    keyClass: bytes[1] ?? 0,
  };
}

export interface StageHead {
  readonly table: number;
  readonly datapath: number;
  readonly more: number;
  readonly tuples: readonly { readonly tuple: number; readonly priority: number }[];
}

/** struct stage: 256 bytes. */
export function encodeStage(stage: StageHead): Buffer {
  const out = Buffer.alloc(12 + abi.STAGE_TUPLES * 4);
  out.writeUInt16LE(stage.tuples.length, 0);
  out.writeUInt16LE(stage.table, 2);
  out.writeUInt32LE(stage.datapath, 4);
  out.writeUInt32LE(stage.more, 8);
  stage.tuples.forEach(({ tuple, priority }, i) => {
    out.writeUInt16LE(tuple, 12 + i * 4);
    out.writeUInt16LE(priority, 14 + i * 4);
  });
  return out;
}

export function decodeStage(bytes: Bytes): StageHead {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    table: view.readUInt16LE(2),
    datapath: view.readUInt32LE(4),
    more: view.readUInt32LE(8),
    tuples: Array.from({ length: view.readUInt16LE(0) }, (_, i) => ({
      tuple: view.readUInt16LE(12 + i * 4), priority: view.readUInt16LE(14 + i * 4),
    })),
  };
}

export function encodeRuleKey(stage: number, tuple: number, key: readonly number[],
  size: number): Buffer {
  const out = Buffer.alloc(8 + size * 4);
  out.writeUInt32LE(stage, 0);
  out.writeUInt32LE(tuple, 4);
  key.forEach((word, i) => out.writeUInt32LE(word >>> 0, 8 + i * 4));
  return out;
}

export interface RuleValue {
  readonly priority: number; readonly program: number; readonly flow: number;
  readonly args: readonly number[];
}

/** struct rule: 72 bytes. */
export function encodeRule(rule: RuleValue): Buffer {
  const out = Buffer.alloc(8 + abi.RULE_ARGS * 4);
  out.writeUInt16LE(rule.priority, 0);
  out.writeUInt16LE(rule.program, 2);
  out.writeUInt32LE(rule.flow, 4);
  rule.args.forEach((arg, i) => out.writeUInt32LE(arg >>> 0, 8 + i * 4));
  return out;
}

export function decodeRule(bytes: Bytes): RuleValue {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    priority: view.readUInt16LE(0), program: view.readUInt16LE(2), flow: view.readUInt32LE(4),
    args: toWords(bytes.subarray(8)),
  };
}

const opSize = 16;
function encodeOp(op: Op, out: Buffer, at: number): void {
  out[at] = op.code;
  out[at + 1] = op.dst ?? 0;
  out[at + 2] = op.src ?? 0;
  out.writeInt8(op.shift ?? 0, at + 3);
  out.writeUInt32LE((op.mask ?? 0) >>> 0, at + 4);
  out.writeUInt32LE((op.imm ?? 0) >>> 0, at + 8);
  out[at + 12] = op.arg ?? 0;
}

/** struct program: 516 bytes. A program without ops is written as one OP_END, which means the
 * same, so that an index in use is never all zero. Undefined when it has too many ops. */
export function encodeProgram(program: Program): Buffer | undefined {
  const ops = program.ops.length > 0 ? program.ops : [{ code: abi.OP_END }];
  if (ops.length > abi.PROGRAM_OPS) return undefined;
  const out = Buffer.alloc(4 + abi.PROGRAM_OPS * opSize);
  out.writeUInt32LE(ops.length, 0);
  ops.forEach((op, i) => encodeOp(op, out, 4 + i * opSize));
  return out;
}

export function decodeProgram(bytes: Bytes): Program {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ops = Array.from({ length: view.readUInt32LE(0) }, (_, i) => {
    const at = 4 + i * opSize;
    return {
      code: view.readUInt8(at), dst: view.readUInt8(at + 1), src: view.readUInt8(at + 2),
      shift: view.readInt8(at + 3), mask: view.readUInt32LE(at + 4),
      imm: view.readUInt32LE(at + 8), arg: view.readUInt8(at + 12),
    };
  });
  return { ops };
}

/** 16 bytes of a UUID's text; all zero for "". */
export function encodeUuid(uuid: string): Buffer {
  const out = Buffer.alloc(16);
  Buffer.from(uuid.replaceAll('-', ''), 'hex').copy(out);
  return out;
}
export function decodeUuid(bytes: Bytes): string {
  const hex = Buffer.from(bytes).toString('hex');
  if (/^0*$/.test(hex)) return '';
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
