/**
 * All small expressions over small symbol tables, and all packets for them: for checking
 * that parsing, simplifying, normalising and compiling keep what an expression means.
 * The shapes and terminals are those of OVN's exhaustive test (tests/test-ovn.c), so
 * that the numbers of expressions can be compared with OVN's published ones.
 */
import type { Expr, Relop } from './ast.js';
import { bool, intCmp } from './expr.js';
import { type Entry, field, SymbolTable } from './fields.js';
import { ones } from './literal.js';
import type { Packet } from './evaluate.js';

export interface EnumerateOptions {
  /** Leaves of each expression. */
  readonly terminals: number;
  /** Numeric symbols n0, n1, … of `bits` bits each. */
  readonly numbers: number;
  readonly bits: number;
  /** String symbols s0, s1, …, compared with "0" and "1". */
  readonly strings: number;
  readonly relops: readonly Relop[];
  /** The first leaf always is `n0 == 0/0` (or the first there is), as in OVN's test. */
  readonly fixFirst?: boolean;
  /** Every stride-th expression only. */
  readonly stride?: number;
}

export const allRelops: readonly Relop[] = ['==', '!=', '<', '<=', '>', '>='];

/** The symbols n0 … and s0 …, as a table to parse with. */
export function enumerationTable({ numbers, bits, strings }: EnumerateOptions): SymbolTable {
  return new SymbolTable([
    ...Array.from({ length: numbers }, (_, i) => field(`n${i}`, bits).symbol),
    ...Array.from({ length: strings }, (_, i) => field(`s${i}`, 0).symbol),
  ]);
}

/** Comparisons of one number: all values under all masks that the operator allows. */
function* numericTerminals(entry: Entry, relop: Relop): Generator<Expr> {
  const all = ones(entry.symbol.width);
  for (let mask = 0n; mask <= all; mask++) {
    const low = mask & -mask;
    const adjacent = mask !== 0n && ((mask + low) & mask) === 0n;
    if (relop !== '==' && relop !== '!=' && !adjacent) continue;
    for (let value = 0n; value <= mask; value++) {
      if ((value & ~mask) === 0n) yield intCmp(entry.whole, relop, value, mask);
    }
  }
}

/** Everything that may stand at a leaf. */
export function terminalsOf(options: EnumerateOptions, table: SymbolTable): readonly Expr[] {
  const out: Expr[] = [];
  for (let i = 0; i < options.numbers; i++) {
    for (const relop of options.relops) {
      out.push(...numericTerminals(table.entry(`n${i}`)!, relop));
    }
  }
  for (let i = 0; i < options.strings; i++) {
    const { whole } = table.entry(`s${i}`)!;
    for (const value of ['0', '1']) {
      out.push({ kind: 'cmp', field: whole, relop: '==', constant: { kind: 'string', value } });
    }
  }
  return [...out, bool(false), bool(true)];
}

/** A tree's shape: a leaf, or the shapes of its two or more children. */
type Shape = readonly Shape[];
const leaf: Shape = [];

/** Ways to write n as a sum of positive numbers, in order. */
function* compositions(n: number): Generator<readonly number[]> {
  if (n === 0) yield [];
  for (let first = 1; first <= n; first++) {
    for (const rest of compositions(n - first)) yield [first, ...rest];
  }
}

function cross(lists: readonly (readonly Shape[])[]): readonly Shape[] {
  return lists.reduce<readonly Shape[]>((acc, list) =>
    acc.flatMap((head) => list.map((shape) => [...head, shape])), [[]]);
}

/** Shapes with n leaves. */
export function shapes(n: number): readonly Shape[] {
  if (n === 1) return [leaf];
  return [...compositions(n)].filter((parts) => parts.length > 1)
    .flatMap((parts) => cross(parts.map(shapes)));
}

/** The expression of this shape with the leaves that `next` gives; and/or alternate. */
function build(shape: Shape, kind: 'and' | 'or', next: () => Expr): Expr {
  if (shape.length === 0) return next();
  return { kind, args: shape.map((s) => build(s, kind === 'and' ? 'or' : 'and', next)) };
}

/** How many expressions `enumerateExpressions` has without a stride. */
export function countExpressions(options: EnumerateOptions, table: SymbolTable): number {
  const free = options.terminals - (options.fixFirst === true ? 1 : 0);
  const kinds = options.terminals === 1 ? 1 : 2;
  return kinds * shapes(options.terminals).length * terminalsOf(options, table).length ** free;
}

/**
 * All expressions with these leaves. Only the table given may be used to look at them:
 * symbols are compared by identity.
 */
export function* enumerateExpressions(options: EnumerateOptions,
  table: SymbolTable): Generator<Expr> {
  const terminals = terminalsOf(options, table);
  const { fixFirst = false, stride = 1 } = options;
  const perShape = terminals.length ** (options.terminals - (fixFirst ? 1 : 0));
  let skipped = 0;
  for (const kind of options.terminals === 1 ? ['and'] as const : ['and', 'or'] as const) {
    for (const shape of shapes(options.terminals)) {
      let i = skipped;
      for (; i < perShape; i += stride) {
        // The digits of i name the leaves.
        let rest = i;
        let first = fixFirst;
        yield build(shape, kind, () => {
          if (first) { first = false; return terminals[0]!; }
          const terminal = terminals[rest % terminals.length]!;
          rest = Math.floor(rest / terminals.length);
          return terminal;
        });
      }
      skipped = i - perShape;
    }
  }
}

/** All values of all symbols: one packet each. */
export function* enumerateAssignments(
  { numbers, bits, strings }: EnumerateOptions): Generator<Packet> {
  const count = 2 ** (numbers * bits + strings);
  for (let i = 0; i < count; i++) {
    const values = new Map<string, bigint | string>();
    for (let n = 0; n < numbers; n++) {
      values.set(`n${n}`, BigInt((i >>> (n * bits)) & (2 ** bits - 1)));
    }
    for (let s = 0; s < strings; s++) {
      values.set(`s${s}`, String((i >>> (numbers * bits + s)) & 1));
    }
    yield (name) => values.get(name)!;
  }
}
