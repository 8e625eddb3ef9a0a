/**
 * Normal form: a constant, or OR(AND(clause)), where a clause is a comparison or a
 * disjunction of comparisons of one symbol (OVN's expr_normalize of main). A clause that
 * is a disjunction is what OVS's conjunctive match, and our compiler, take as a set.
 * Input: annotated and simplified, so numbers are compared by == only. Where OVN leaves the
 * strings of an intersection in the order of a hash table, ours are sorted.
 */
import type { Expr, Symbol } from './ast.js';
import {
  type AndOr, bitLength, bool, type Cmp, combine, fixed, intCmp, type IntCmp, isIntCmp, maskOf,
  uniqueSymbol,
} from './expr.js';

/** Code point order, as strcmp of UTF-8. */
function compareText(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function compareBig(a: bigint, b: bigint): number { return a < b ? -1 : a > b ? 1 : 0; }

function countBits(mask: bigint): number {
  return bitLength(mask) === 0 ? 0 : mask.toString(2).replaceAll('0', '').length;
}

/** The comparison that both mean together; undefined when they exclude each other. */
function intersect(a: IntCmp, b: IntCmp): IntCmp | undefined {
  const maskA = maskOf(a);
  const maskB = maskOf(b);
  if (((a.constant.value ^ b.constant.value) & maskA & maskB) !== 0n) return undefined;
  return intCmp(a.field, '==', a.constant.value | b.constant.value, maskA | maskB,
    a.constant.format);
}

/** Comparisons of strings: all of one symbol. */
type StringCmp = Cmp & { readonly constant: { readonly kind: 'string'; readonly value: string } };

function crushAndString(args: readonly Expr[], symbol: Symbol): Expr {
  let allowed: ReadonlyMap<string, StringCmp> | undefined;
  for (const arg of args) {
    const crushed = crush(arg, symbol);
    if (crushed.kind === 'bool') {
      if (!crushed.value) return crushed;
      continue;
    }
    const cmps = (crushed.kind === 'or' ? crushed.args : [crushed]) as readonly StringCmp[];
    const known = allowed;
    allowed = new Map(cmps.filter((c) => known?.has(c.constant.value) ?? true)
      .map((c) => [c.constant.value, c]));
  }
  return allowed === undefined ? bool(true)
    : fixed('or', [...allowed.values()].sort((a, b) =>
      compareText(a.constant.value, b.constant.value)));
}

/** Sorted by number of bits, value and mask; duplicates and what others contain left out. */
function withoutSubsets(cmps: readonly IntCmp[], symbol: Symbol): readonly IntCmp[] {
  const keyed = cmps.map((cmp) => {
    const mask = maskOf(cmp);
    return { cmp, value: cmp.constant.value, mask, bits: cmp.constant.mask === undefined
      ? cmp.field.width : countBits(mask) };
  }).sort((a, b) => a.bits - b.bits || compareBig(a.value, b.value) || compareBig(a.mask, b.mask));
  // OVN keeps what came from address sets apart, so that a change of one stays local.
  const merge = symbol.level === 'ordinal' && !cmps.some((c) => c.set?.startsWith('$'));
  const seen = new Map<bigint, Map<bigint, number>>();
  const kept: IntCmp[] = [];
  for (const { cmp, value, mask } of keyed) {
    const same = seen.get(mask);
    const twin = same?.get(value);
    if (twin !== undefined) {
      kept[twin] = withoutSet(kept[twin]!);
      continue;
    }
    const contained = merge && [...seen].some(([wide, values]) =>
      (wide & ~mask) === 0n && values.has(value & wide));
    if (contained) continue;
    if (same === undefined) seen.set(mask, new Map([[value, kept.length]]));
    else same.set(value, kept.length);
    kept.push(cmp);
  }
  return kept;
}

function withoutSet(cmp: IntCmp): IntCmp {
  const { set: _, ...rest } = cmp;
  return rest;
}

function crushOr(args: readonly Expr[], symbol: Symbol): Expr {
  const crushed = fixed('or', args.map((arg) => crush(arg, symbol)));
  if (crushed.kind !== 'or') return crushed;
  if (symbol.width > 0) return fixed('or', withoutSubsets(crushed.args as IntCmp[], symbol));
  const byText = new Map((crushed.args as readonly StringCmp[]).map((c) => [c.constant.value, c]));
  return fixed('or', [...byText.values()].sort((a, b) =>
    compareText(a.constant.value, b.constant.value)));
}

/** The comparisons of each pair from `as` and `bs` that do not exclude each other. */
function product(as: readonly IntCmp[], bs: readonly IntCmp[]): IntCmp[] {
  return as.flatMap((a) => bs.flatMap((b) => intersect(a, b) ?? []));
}

function crushAndNumeric(args: readonly Expr[], symbol: Symbol): Expr {
  let all: IntCmp | undefined;
  const disjunctions: IntCmp[][] = [];
  for (const arg of args) {
    const crushed = crush(arg, symbol);
    if (crushed.kind === 'bool') {
      if (!crushed.value) return crushed;
    } else if (crushed.kind === 'or') {
      disjunctions.push([...crushed.args] as IntCmp[]);
    } else {
      const cmp = crushed as IntCmp;
      const both = all === undefined ? cmp : intersect(all, cmp);
      if (both === undefined) return bool(false);
      all = both;
    }
  }
  const [first, second, ...rest] = disjunctions;
  if (first === undefined) return all ?? bool(true);
  const narrowed = all === undefined ? first : product([all], first);
  const cmps = second === undefined ? narrowed : product(narrowed, second);
  if (cmps.length === 0) return bool(false);
  const or = fixed('or', cmps);
  if (rest.length === 0) return crush(or, symbol);
  return crushAndNumeric([or, ...rest.map((r) => fixed('or', r))], symbol);
}

/** An expression over `symbol` alone as a constant, a comparison or a disjunction of them. */
function crush(expr: Expr, symbol: Symbol): Expr {
  if (expr.kind === 'or') return crushOr(expr.args, symbol);
  if (expr.kind !== 'and') return expr;
  return symbol.width > 0 ? crushAndNumeric(expr.args, symbol) : crushAndString(expr.args, symbol);
}

/** Order of OVN's expr_type. */
const rank: Readonly<Record<Expr['kind'], number>> =
  { cmp: 0, and: 1, or: 2, bool: 3, resident: 4 };

/** Brings terms over one symbol together and crushes them; the others come after. */
function sortTerms(args: readonly Expr[]): Expr {
  const terms = args.map((expr) => ({ expr, symbol: uniqueSymbol(expr) }));
  terms.sort((a, b) => {
    const byKind = rank[a.symbol ? 'cmp' : a.expr.kind] - rank[b.symbol ? 'cmp' : b.expr.kind];
    if (byKind !== 0) return byKind;
    if (a.symbol !== undefined && b.symbol !== undefined) {
      return compareText(a.symbol.name, b.symbol.name) || rank[a.expr.kind] - rank[b.expr.kind];
    }
    const length = (e: Expr): number => e.kind === 'and' || e.kind === 'or' ? e.args.length : 0;
    return length(a.expr) - length(b.expr);
  });
  const out: Expr[] = [];
  for (let i = 0; i < terms.length;) {
    const { expr, symbol } = terms[i]!;
    if (symbol === undefined) {
      out.push(expr);
      i++;
      continue;
    }
    let j = i + 1;
    while (j < terms.length && terms[j]!.symbol === symbol) j++;
    const crushed = crush(combine('and', terms.slice(i, j).map((t) => t.expr)), symbol);
    if (crushed.kind !== 'bool') out.push(crushed);
    else if (!crushed.value) return crushed;
    i = j;
  }
  return out.length === 0 ? bool(true) : combine('and', out);
}

/** Whether this conjunct may stay a disjunction, or has to be multiplied out. */
function staysClause(expr: Expr): boolean {
  if (expr.kind !== 'or') return true;
  const symbol = uniqueSymbol(expr);
  return symbol !== undefined && !symbol.mustCrossproduct;
}

function normalizeAnd(expr: AndOr): Expr {
  const sorted = sortTerms(expr.args);
  if (sorted.kind !== 'and') return sorted.kind === 'or' ? normalizeOr(sorted) : sorted;
  const at = sorted.args.findIndex((arg) => !staysClause(arg));
  if (at < 0) return sorted;
  const others = sorted.args;
  return normalizeOr({ kind: 'or', args: (sorted.args[at] as AndOr).args.map((term) =>
    combine('and', others.map((other, i) => i === at ? term : other))) });
}

function normalizeOr(expr: AndOr): Expr {
  const args: Expr[] = [];
  for (const arg of expr.args) {
    const normal = arg.kind === 'and' ? normalizeAnd(arg as AndOr) : arg;
    if (normal.kind !== 'bool') args.push(normal);
    else if (normal.value) return normal;
  }
  return args.length === 0 ? bool(false) : combine('or', args);
}

/**
 * The normal form of an annotated, simplified expression without is_chassis_resident():
 * resolve that first with `resolveResidents`; what is left of it stays a term of its own.
 */
export function normalize(expr: Expr): Expr {
  if (expr.kind === 'and') return normalizeAnd(expr as AndOr);
  return expr.kind === 'or' ? normalizeOr(expr as AndOr) : expr;
}

/**
 * A bound for the work that `normalize` does: the product of alternatives over all
 * conjunctions. It can be astronomic, for OVN as well: look before you normalise a text
 * that anybody may write.
 */
export function alternatives(expr: Expr): number {
  if (expr.kind === 'and') return expr.args.reduce((n, e) => n * alternatives(e), 1);
  return expr.kind === 'or' ? expr.args.reduce((n, e) => n + alternatives(e), 0) : 1;
}

function isClause(expr: Expr): boolean {
  return expr.kind !== 'bool' && (expr.kind === 'resident' || uniqueSymbol(expr) !== undefined);
}

/** Whether `expr` is in the form that `normalize` returns. For tests. */
export function isNormalized(expr: Expr): boolean {
  if (expr.kind === 'bool' || isIntCmp(expr) || isClause(expr)) return true;
  if (expr.kind === 'and') return expr.args.every(isClause);
  return expr.kind === 'or' && expr.args.every((arg) =>
    isClause(arg) || (arg.kind === 'and' && arg.args.every(isClause)));
}
