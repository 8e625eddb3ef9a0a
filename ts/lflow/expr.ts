/**
 * Building blocks of expressions. Invariants (those of OVN lib/expr.c): an `and` never is
 * a direct child of an `and`, nor an `or` of an `or`; both have at least two children; a
 * comparison's value has no 1-bit outside its mask. Nodes are never changed once made.
 */
import type { Constant, Expr, Field, Relop, Symbol } from './ast.js';
import { ones } from './literal.js';

export type Cmp = Extract<Expr, { kind: 'cmp' }>;
export type AndOr = Extract<Expr, { kind: 'and' | 'or' }>;
/** A comparison of a number. */
export type IntCmp = Cmp & { readonly constant: Extract<Constant, { kind: 'int' }> };

export const TRUE: Expr = Object.freeze({ kind: 'bool', value: true });
export const FALSE: Expr = Object.freeze({ kind: 'bool', value: false });

export function bool(value: boolean): Expr { return value ? TRUE : FALSE; }

export function isIntCmp(expr: Expr): expr is IntCmp {
  return expr.kind === 'cmp' && expr.constant.kind === 'int';
}

/** The mask of a comparison, also when it is left out. */
export function maskOf(cmp: IntCmp): bigint {
  return cmp.constant.mask ?? ones(cmp.field.width);
}

/** A numeric comparison: `field` is the whole of its symbol. */
export function intCmp(field: Field, relop: Relop, value: bigint, mask: bigint,
  format: Extract<Constant, { kind: 'int' }>['format'] = 'hexadecimal', set?: string): IntCmp {
  const constant = mask === ones(field.width) ? { kind: 'int', value, format } as const
    : { kind: 'int', value, mask, format } as const;
  return set === undefined ? { kind: 'cmp', field, relop, constant }
    : { kind: 'cmp', field, relop, constant, set };
}

/** Same comparison with another value and mask. */
export function withBits(cmp: IntCmp, relop: Relop, value: bigint, mask: bigint): IntCmp {
  return intCmp(cmp.field, relop, value, mask, cmp.constant.format, cmp.set);
}

/** `and` or `or` of all: children of the same kind are merged, a single one stands alone. */
export function combine(kind: 'and' | 'or', exprs: readonly Expr[]): Expr {
  if (exprs.length === 1) return exprs[0]!;
  // Loops, because this is where much of the time of parsing goes.
  const args: Expr[] = [];
  for (const expr of exprs) {
    if (expr.kind !== kind) args.push(expr);
    else for (const arg of expr.args) args.push(arg);
  }
  return { kind, args };
}

/**
 * `and` or `or` of all without constants: they decide it or drop out. No child is true,
 * one child is that child.
 */
export function fixed(kind: 'and' | 'or', exprs: readonly Expr[]): Expr {
  const decides = kind === 'or';
  if (!exprs.some((e) => e.kind === 'bool')) {
    return exprs.length === 0 ? bool(!decides) : combine(kind, exprs);
  }
  const rest = exprs.filter((e) => e.kind !== 'bool' || e.value === decides);
  if (rest.some((e) => e.kind === 'bool')) return bool(decides);
  return fixed(kind, rest);
}

const inverse: Readonly<Record<Relop, Relop>> =
  { '==': '!=', '!=': '==', '<': '>=', '<=': '>', '>': '<=', '>=': '<' };

/** The negation, pushed down to the leaves. */
export function not(expr: Expr): Expr {
  switch (expr.kind) {
    case 'bool': return bool(!expr.value);
    case 'cmp': return { ...expr, relop: inverse[expr.relop] };
    case 'resident': return { ...expr, not: !expr.not };
    default: return { kind: expr.kind === 'and' ? 'or' : 'and', args: expr.args.map(not) };
  }
}

/** The one symbol that all leaves of `expr` compare, if there is just one. */
export function uniqueSymbol(expr: Expr): Symbol | undefined {
  if (expr.kind === 'cmp') return expr.field.symbol;
  if (expr.kind !== 'and' && expr.kind !== 'or') return undefined;
  let unique: Symbol | undefined;
  for (const arg of expr.args) {
    const symbol = uniqueSymbol(arg);
    if (symbol === undefined || (unique !== undefined && symbol !== unique)) return undefined;
    unique = symbol;
  }
  return unique;
}

/** Replaces `is_chassis_resident()` by what `resident` says about its port. */
export function resolveResidents(expr: Expr, resident: (port: string) => boolean): Expr {
  if (expr.kind === 'resident') return bool(resident(expr.port) !== expr.not);
  if (expr.kind !== 'and' && expr.kind !== 'or') return expr;
  return fixed(expr.kind, expr.args.map((e) => resolveResidents(e, resident)));
}

/** Number of bits up to the highest 1-bit. */
export function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(2).length;
}

/** Index of the lowest 1-bit of a value that is not zero. */
export function lowestBit(value: bigint): number {
  return bitLength(value & -value) - 1;
}

/** First bit and number of bits if the 1-bits of `mask` are adjacent, else undefined. */
export function bitRange(mask: bigint): { readonly low: number; readonly width: number }
  | undefined {
  if (mask === 0n) return undefined;
  const low = lowestBit(mask);
  const run = mask >> BigInt(low);
  return (run & (run + 1n)) === 0n ? { low, width: bitLength(run) } : undefined;
}

/** Checks the invariants above; what is broken, or undefined. For tests. */
export function brokenInvariant(expr: Expr): string | undefined {
  if (isIntCmp(expr)) {
    return (expr.constant.value & ~maskOf(expr)) === 0n ? undefined : 'value outside of mask';
  }
  if (expr.kind !== 'and' && expr.kind !== 'or') return undefined;
  if (expr.args.length < 2) return `${expr.kind} of ${expr.args.length}`;
  for (const arg of expr.args) {
    const broken = arg.kind === expr.kind ? `${expr.kind} in ${expr.kind}` : brokenInvariant(arg);
    if (broken !== undefined) return broken;
  }
  return undefined;
}
