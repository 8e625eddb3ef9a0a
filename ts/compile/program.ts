/** Interning: equal action programs and equal tuple shapes are one object each. */
import { opCode, puntReason } from '../abi/generated.js';
import type { Buckets, Op, Program, TupleShape } from './model.js';
import type { PuntReason } from './limits.js';
import type { Term } from './match.js';

const programs = new Map<string, Program>();
const texts = new WeakMap<Program, string>();
const shapes = new Map<string, TupleShape>();
const shapeTexts = new WeakMap<TupleShape, string>();

function opText(op: Op): string {
  const then = op.then ? `(${programText(op.then)})` : '';
  return [op.code, op.dst ?? 0, op.src ?? 0, op.shift ?? 0, op.mask ?? 0, op.imm ?? 0,
    op.arg ?? 0].join('.') + then;
}

/** A text that is equal for equal programs. */
export function programText(program: Program): string {
  let text = texts.get(program);
  if (text === undefined) {
    text = program.ops.map(opText).join(';');
    texts.set(program, text);
  }
  return text;
}

/** The one object for these ops. */
export function intern(ops: readonly Op[]): Program {
  const program: Program = { ops };
  const text = programText(program);
  const known = programs.get(text);
  if (known) return known;
  programs.set(text, program);
  return program;
}

/** An address as FW_IP_SRC holds it. */
export function addressWords(ip: bigint): readonly [number, number, number, number] {
  const word = (shift: bigint): number => Number(ip >> shift & 0xffffffffn);
  return [word(96n), word(64n), word(32n), word(0n)];
}

const bucketsByText = new Map<string, Buckets>();
const bucketTexts = new WeakMap<Buckets, string>();

/** A text that is equal for equal buckets. */
export const bucketsText = (buckets: Buckets | undefined): string =>
  buckets ? bucketTexts.get(buckets) ?? buckets.words.join(';') : '';

/** The one object for these buckets. */
export function internBuckets(words: Buckets['words']): Buckets {
  const buckets: Buckets = { words };
  const text = bucketsText(buckets);
  const known = bucketsByText.get(text);
  if (known) return known;
  if (bucketsByText.size >= BUCKETS_KNOWN) bucketsByText.clear();
  bucketsByText.set(text, buckets);
  bucketTexts.set(buckets, text);
  return buckets;
}
/** Unlike programs these come and go with every backend; then anew. */
const BUCKETS_KNOWN = 100_000;

/** The one object for a term's shape. */
export function shapeOf(term: Term): TupleShape {
  if (term.shape) return term.shape;
  const text = term.words.join() + '/' + term.masks.join();
  let shape = shapes.get(text);
  if (!shape) {
    shape = { words: term.words, masks: term.masks };
    shapes.set(text, shape);
    shapeTexts.set(shape, text);
  }
  return term.shape = shape;
}

/** The same term with its shape's own arrays: there are a hundred thousand of them. */
export function lean(term: Term): Term {
  const shape = shapeOf(term);
  return term.words === shape.words ? term
    : { words: shape.words, masks: shape.masks, values: term.values, shape };
}

/** A text that is equal for equal shapes. */
export function shapeText(shape: TupleShape): string {
  return shapeTexts.get(shape) ?? shape.words.join() + '/' + shape.masks.join();
}

const punts: Readonly<Record<PuntReason, number>> = {
  UNSUPPORTED_PORT: puntReason.PUNT_UNSUPPORTED_PORT,
  UNSUPPORTED_MATCH: puntReason.PUNT_UNSUPPORTED_MATCH,
  UNSUPPORTED_ACTION: puntReason.PUNT_UNSUPPORTED_ACTION,
  CONNTRACK: puntReason.PUNT_CONNTRACK,
  CONTROLLER: puntReason.PUNT_CONTROLLER,
};

/** The program that abstains. */
export function punt(reason: PuntReason): Program {
  return intern([{ code: opCode.OP_PUNT, imm: punts[reason] }]);
}
export const drop: Program = intern([{ code: opCode.OP_END }]);
/** End of a sub-table: the result its caller reads. */
export function returns(value: number): Program {
  return intern([{ code: opCode.OP_RETURN, imm: value }]);
}
export const isPunt = (program: Program): boolean => program.ops[0]?.code === opCode.OP_PUNT;

/** The table a program goes to when going there is all it does. */
export function plainNext(program: Program): number | undefined {
  const [op] = program.ops;
  return op?.code === opCode.OP_NEXT ? op.imm : undefined;
}
