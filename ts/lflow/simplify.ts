/**
 * Simplification: comparisons of numbers become tests for equality under a mask, so that
 * `tcp.dst >= 1024` is a disjunction of prefixes. The result's text is that of OVN's
 * expr_simplify.
 */
import type { Expr, Relop } from './ast.js';
import {
  bitRange, bool, combine, fixed, type IntCmp, isIntCmp, maskOf, withBits,
} from './expr.js';

export interface SimplifyOptions {
  /**
   * The OVN release whose text is wanted. Before 26.03 (stable releases: some earlier ones)
   * the terms of `!=` overlap (`x[0] || x[1]`); later each one excludes those before it.
   * Both mean the same.
   */
  readonly release?: string;
}

/** One term for each bit of the mask: that bit differs, and the bits above it do not. */
function simplifyNe(cmp: IntCmp, overlap: boolean): Expr {
  const { value } = cmp.constant;
  const terms: Expr[] = [];
  let above = maskOf(cmp);
  while (above !== 0n) {
    const bit = above & -above;
    const mask = overlap ? bit : above;
    terms.push(withoutSet(withBits(cmp, '==', (value & mask) ^ bit, mask)));
    above ^= bit;
  }
  // No bit to compare: 0/0 equals everything, so nothing differs from it.
  return terms.length === 0 ? bool(false) : combine('or', terms);
}

function withoutSet(cmp: IntCmp): IntCmp {
  if (cmp.set === undefined) return cmp;
  const { set: _, ...rest } = cmp;
  return rest;
}

function simplifyInequality(cmp: IntCmp, overlap: boolean): Expr {
  const { relop, constant: { value } } = cmp;
  const mask = maskOf(cmp);
  const bits = bitRange(mask)!;
  const less = relop === '<' || relop === '<=';
  const orEqual = relop === '<=' || relop === '>=';
  // Nothing is beyond the largest or smallest value: < and > then are !=.
  if (value === (less ? mask : 0n)) return orEqual ? bool(true) : simplifyNe(cmp, overlap);

  const terms: Expr[] = orEqual ? [withBits(cmp, '==', value, mask)] : [];
  for (let i = bits.low; i < bits.low + bits.width; i++) {
    const bit = 1n << BigInt(i);
    if (((value & bit) !== 0n) !== less) continue;
    // Equal above this bit, less or greater in it, anything below.
    const kept = mask & -bit;
    terms.push(withBits(cmp, '==', (value ^ bit) & kept, kept));
  }
  return terms.length === 0 ? bool(false) : combine('or', terms);
}

const cases: Readonly<Record<Relop, (cmp: IntCmp, overlap: boolean) => Expr>> = {
  '==': (cmp) => maskOf(cmp) === 0n ? bool(true) : cmp,
  '!=': simplifyNe, '<': simplifyInequality, '<=': simplifyInequality, '>': simplifyInequality,
  '>=': simplifyInequality,
};

function simplifyIn(expr: Expr, overlap: boolean): Expr {
  if (isIntCmp(expr)) return expr.whole ? expr : cases[expr.relop](expr, overlap);
  if (expr.kind !== 'and' && expr.kind !== 'or') return expr;
  let changed = false;
  const args = expr.args.map((arg) => {
    const simple = simplifyIn(arg, overlap);
    changed ||= simple !== arg || simple.kind === 'bool';
    return simple;
  });
  return changed ? fixed(expr.kind, args) : expr;
}

/** An equivalent expression that compares numbers for equality only. */
export function simplify(expr: Expr, { release = 'all' }: SimplifyOptions = {}): Expr {
  return simplifyIn(expr, release < '26.03');
}
