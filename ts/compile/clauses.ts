/**
 * Matches that are plain conjunctions, clause by clause: the hundred thousand matches of a cloud
 * are made of far fewer clauses, so each of these is parsed once. What a clause means does not
 * depend on the others: prerequisites are conjunctions, too (clauses.test.ts).
 */
import { annotate } from '../lflow/annotate.js';
import type { Environment, Expr } from '../lflow/ast.js';
import type { SymbolTable } from '../lflow/fields.js';
import { forgetParsed, parseExpr } from '../lflow/parse.js';
import { simplify } from '../lflow/simplify.js';
import { compileMatch, type MatchContext, type Operand } from './match.js';

/** More clauses than northd writes; then the whole text is parsed. */
const MAX_CLAUSES = 64;
/** Clauses that are remembered: more than a large cloud has; then anew. */
const CLAUSES = 100_000;

const QUOTE = 0x22, AMPERSAND = 0x26, BAR = 0x7c, SLASH = 0x2f, STAR = 0x2a, BACKSLASH = 0x5c,
  CARET = 0x5e;
const opening = new Set([0x28, 0x7b, 0x5b]), closing = new Set([0x29, 0x7d, 0x5d]);

/** The operands of `&&` at the top; undefined when the text is not surely a conjunction of such:
 * comments, escapes, templates and a byte zero may hide what it is. */
export function clausesOf(match: string): readonly string[] | undefined {
  const clauses: string[] = [];
  let from = 0, depth = 0, quoted = false;
  for (let at = 0; at < match.length; at++) {
    const c = match.charCodeAt(at);
    if (c === QUOTE) quoted = !quoted;
    if (c === BACKSLASH || c === 0) return undefined;
    if (quoted) continue;
    const next = match.charCodeAt(at + 1);
    if (c === CARET || (c === SLASH && (next === SLASH || next === STAR))) return undefined;
    if (opening.has(c)) depth += 1;
    else if (closing.has(c)) depth -= 1;
    else if (depth === 0 && c === BAR) return undefined;
    else if (depth === 0 && c === AMPERSAND && next === AMPERSAND) {
      clauses.push(match.slice(from, at).trim());
      if (clauses.length >= MAX_CLAUSES) return undefined;
      at += 1;
      from = at + 1;
    }
  }
  clauses.push(match.slice(from).trim());
  return quoted || depth !== 0 ? undefined : clauses;
}

/** What clauses come to that refer to no set, by their text. */
const known = new WeakMap<SymbolTable, Map<string, Operand>>();

/** Forgets clauses: nobody needs them between one large compilation and the next. */
export function forgetClauses(table: SymbolTable): void {
  known.delete(table);
  forgetParsed(table);
}

const nobody: MatchContext = {
  port: () => { throw new Error('compile: a clause without names asks for a port'); },
  resident: () => { throw new Error('compile: a clause without names asks for a port'); },
};

export interface Language { readonly table: SymbolTable; readonly release: string }

/** Annotated and simplified; terms, if those are the same everywhere. Undefined when something
 * is wrong with it. */
function operandOf(clause: string, { table, release }: Language, environment: Environment):
  Operand | undefined {
  const { expr } = parseExpr(clause, table, environment);
  const annotated = expr && annotate(expr, table);
  if (!annotated || !('expr' in annotated)) return undefined;
  return settled(simplify(annotated.expr, { release }), clause.includes('"') || isOfSets(clause));
}
const isOfSets = (clause: string): boolean => /[@$]/.test(clause);

function settled(expr: Expr, named: boolean): Operand {
  if (named) return expr;
  const { terms, widened } = compileMatch([expr], nobody);
  return widened === undefined ? terms : expr;
}

/** Operands whose conjunction is the match; undefined when it has to be parsed as a whole, which
 * then also says what is wrong. */
export function operandsOf(match: string, language: Language, environment: Environment):
  readonly Operand[] | undefined {
  const clauses = clausesOf(match);
  if (!clauses) return undefined;
  let memory = known.get(language.table);
  if (!memory || memory.size > CLAUSES) known.set(language.table, memory = new Map());
  const operands: Operand[] = [];
  for (const clause of clauses) {
    const before = memory.get(clause);
    const operand = before ?? operandOf(clause, language, environment);
    if (!operand) return undefined;
    if (!before && !isOfSets(clause)) memory.set(clause, operand);
    operands.push(operand);
  }
  return operands;
}

const prerequisites = new WeakMap<Expr, { readonly of: SymbolTable; readonly operand: Operand }>();

/** As operandsOf() of what an action list requires. */
export function prerequisite(prereqs: Expr, { table, release }: Language): Operand | undefined {
  const before = prerequisites.get(prereqs);
  if (before?.of === table) return before.operand;
  const annotated = annotate(prereqs, table);
  if (!('expr' in annotated)) return undefined;
  const operand = simplify(annotated.expr, { release });
  prerequisites.set(prereqs, { of: table, operand });
  return operand;
}
