/**
 * Annotation: prerequisites are added, sub-fields become bits of the fields they belong
 * to, predicates become what they stand for (semantics of OVN lib/expr.c).
 */
import type { Expr, Symbol } from './ast.js';
import {
  type Cmp, combine, isIntCmp, intCmp, maskOf, not, uniqueSymbol,
} from './expr.js';
import type { SymbolTable } from './fields.js';
import { parseExpr } from './parse.js';

/** An annotated expression or OVN's text of what is wrong with it. */
export type Annotated = { readonly expr: Expr } | { readonly problem: string };

/** Annotated prerequisites and expansions by their text, for each table. */
const texts = new WeakMap<SymbolTable, Map<string, Annotated>>();

/** Symbols that are being expanded: meeting one again would never end. */
type Nesting = ReadonlySet<string>;
const none: Nesting = new Set();

/** Annotates the text of a prerequisite or expansion, of the symbol `of` if there is one. */
function annotateText(text: string, table: SymbolTable, nesting: Nesting,
  of?: string): Annotated {
  let known = texts.get(table);
  if (known === undefined) texts.set(table, known = new Map());
  const before = known.get(text);
  if (before !== undefined) return before;
  const { expr, problems } = parseExpr(text, table);
  const result = expr === undefined ? { problem: problems[0]!.message }
    : annotateIn(expr, table, true, of === undefined ? nesting : new Set(nesting).add(of));
  // What goes well does so wherever it is used; what is wrong depends on the nesting.
  if ('expr' in result) {
    known.set(text, result);
    return result;
  }
  return { problem: `Error parsing expression \`${text}' encountered as prerequisite or predicate `
    + `of initial expression: ${result.problem}` };
}

function annotateCmp(cmp: Cmp, table: SymbolTable, prereqs: boolean,
  nesting: Nesting): Annotated {
  const { symbol } = cmp.field;
  const required = prereqs ? symbol.prereqs : undefined;
  if (nesting.has(symbol.name)) {
    return { problem: `Recursive expansion of symbol \`${symbol.name}'.` };
  }
  let expr: Expr = cmp;
  const condition = required === undefined ? undefined
    : annotateText(required, table, nesting, symbol.name);
  if (condition !== undefined && 'problem' in condition) return condition;
  if (symbol.parent !== undefined && isIntCmp(cmp)) {
    const shift = BigInt(symbol.low!);
    expr = intCmp(table.entry(symbol.parent)!.whole, cmp.relop, cmp.constant.value << shift,
      maskOf(cmp) << shift, cmp.constant.format, cmp.set);
  } else if (symbol.expansion !== undefined && isIntCmp(cmp)) {
    const expansion = annotateText(symbol.expansion, table, nesting, symbol.name);
    if ('problem' in expansion) return expansion;
    const positive = (cmp.constant.value === 1n) !== (cmp.relop === '!=');
    expr = positive ? expansion.expr : not(expansion.expr);
  }
  return { expr: condition === undefined ? expr : combine('and', [expr, condition.expr]) };
}

function annotateIn(expr: Expr, table: SymbolTable, prereqs: boolean,
  nesting: Nesting): Annotated {
  if (expr.kind === 'cmp') return annotateCmp(expr, table, prereqs, nesting);
  if (expr.kind !== 'and' && expr.kind !== 'or') return { expr };
  // When all terms compare one symbol its prerequisites stand once, beside them all.
  const symbol = prereqs ? uniqueSymbol(expr) : undefined;
  const required = symbol?.prereqs;
  const condition = required === undefined ? undefined : annotateText(required, table, nesting);
  if (condition !== undefined && 'problem' in condition) return condition;
  const args: Expr[] = [];
  let changed = false;
  for (const arg of expr.args) {
    const annotated = annotateIn(arg, table, prereqs && symbol === undefined, nesting);
    if ('problem' in annotated) return annotated;
    args.push(annotated.expr);
    changed ||= annotated.expr !== arg;
  }
  const terms = changed ? combine(expr.kind, args) : expr;
  return { expr: condition === undefined ? terms : combine('and', [terms, condition.expr]) };
}

/** Annotates an expression that was parsed with `table`. */
export function annotate(expr: Expr, table: SymbolTable): Annotated {
  return annotateIn(expr, table, true, none);
}

/** Parses and annotates a prerequisite: of a field, or of an action. */
export function annotatePrereq(text: string, table: SymbolTable): Annotated {
  return annotateText(text, table, none);
}

/** The annotated prerequisites of a symbol and of the field it is a part of. */
export function fieldPrereqs(symbol: Symbol, table: SymbolTable):
  { readonly exprs: readonly Expr[] } | { readonly problem: string } {
  const exprs: Expr[] = [];
  for (let s: Symbol | undefined = symbol; s !== undefined;
    s = s.parent === undefined ? undefined : table.get(s.parent)) {
    if (s.prereqs === undefined) continue;
    const prereq = annotateText(s.prereqs, table, none);
    if ('problem' in prereq) return prereq;
    exprs.push(prereq.expr);
  }
  return { exprs };
}
