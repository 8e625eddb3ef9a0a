/**
 * What the parsers of actions share: the lexer, where the action stands, what it requires
 * so far, and the operand checks of OVN. Problems stick to the lexer (the first one counts),
 * so a parser may go on after one; every loop must end when there is one.
 */
import type { Action, ActionContext, Constant, Environment, Expr, Field } from './ast.js';
import { type ActionSpec, type Release, prereqOf } from './actions.js';
import { fieldPrereqs } from './annotate.js';
import { combine } from './expr.js';
import { parseField } from './operand.js';
import { parseExpr } from './parse.js';
import type { SymbolTable } from './fields.js';
import type { Lexer } from './lexer.js';

export interface ActionState {
  readonly lexer: Lexer;
  readonly context: ActionContext;
  readonly release: Release;
  readonly environment: Environment;
  readonly symbols: SymbolTable;
  /** Blocks around this action. */
  readonly depth: number;
  /** What actions may write here. */
  readonly writes: 'default' | 'ct_commit';
  prereqs: Expr | undefined;
}

/** Parses the rest of an action after its keyword; undefined after a problem. */
export type ActionParser = (state: ActionState, spec: ActionSpec) => Action | undefined;
/** The same for `dst = keyword`, with the lexer at the keyword. */
export type ResultParser = (state: ActionState, spec: ActionSpec, dst: Field) =>
  Action | undefined;

/** Adds a prerequisite. */
export function require(state: ActionState, prereq: Expr | undefined): void {
  if (prereq === undefined) return;
  const { prereqs } = state;
  state.prereqs = prereqs === undefined ? prereq : combine('and', [prereqs, prereq]);
}

/** Adds what the action itself requires. */
export function requireSpec(state: ActionState, spec: ActionSpec): void {
  const text = prereqOf(spec, state.release);
  if (text !== undefined) require(state, parseExpr(text, state.symbols).expr);
}

/** A field with its prerequisites, unchecked. */
export function field(state: ActionState): Field | undefined {
  const { lexer, symbols } = state;
  const parsed = parseField(lexer, symbols);
  if (parsed === undefined || lexer.error !== undefined) return undefined;
  if (parsed.symbol.expansion !== undefined) {
    lexer.fail(`Predicate symbol ${parsed.symbol.name} used where lvalue required.`);
    return undefined;
  }
  const prereqs = fieldPrereqs(parsed.symbol, symbols);
  if ('problem' in prereqs) {
    lexer.fail(prereqs.problem);
    return undefined;
  }
  for (const prereq of prereqs.exprs) require(state, prereq);
  return parsed;
}

/** Why a field is not `bits` wide (0: a string), or undefined. */
function widthProblem({ symbol: { name }, low, width }: Field, bits: number): string | undefined {
  if (width === bits) return undefined;
  if (width === 0) return `Cannot use string field ${name} where numeric field is required.`;
  if (bits === 0) return `Cannot use numeric field ${name} where string field is required.`;
  return `Cannot use ${width}-bit field ${name}[${low}..${low + width - 1}] `
    + `where ${bits}-bit field is required.`;
}

function mayWrite({ symbol }: Field, writes: ActionState['writes']): boolean {
  const { scope = 'default' } = symbol;
  return !symbol.readonly && (scope === 'any' || scope === writes);
}

/** Checks width (0: a string) and, with `write`, that the field may be written here. */
export function check(state: ActionState, f: Field, bits: number, write: boolean): boolean {
  const problem = widthProblem(f, bits) ?? (write && !mayWrite(f, state.writes)
    ? `Field ${f.symbol.name} is not modifiable.` : undefined);
  if (problem !== undefined) state.lexer.fail(problem);
  return problem === undefined;
}

/** A field of `bits` bits that is read. */
export function operand(state: ActionState, bits: number): Field | undefined {
  const parsed = field(state);
  return parsed !== undefined && check(state, parsed, bits, false) ? parsed : undefined;
}

/** A decimal number below 2**16. */
export function uint16(state: ActionState, what: string): number | undefined {
  const { lexer } = state;
  if (lexer.isInt() && lexer.value <= 0xffffn) return lexer.getInt();
  lexer.syntaxError(`expecting ${what}`);
  return undefined;
}

/** The current token if it is a decimal number; the token is not taken. */
export function decimal(lexer: Lexer): bigint | undefined {
  return lexer.type === 'integer' && lexer.format === 'decimal' ? lexer.value : undefined;
}

/** The current token if it is an IPv4 or IPv6 address; the token is not taken. */
export function address(lexer: Lexer): Constant | undefined {
  const { format, value } = lexer;
  if (lexer.type !== 'integer' || (format !== 'ipv4' && format !== 'ipv6')) return undefined;
  return { kind: 'int', format, value };
}

/** Takes `name =`; reports `detail`, or what is missing, otherwise. */
export function argument(lexer: Lexer, name: string, detail: string): boolean {
  if (!lexer.matchId(name)) {
    lexer.syntaxError(detail);
    return false;
  }
  return lexer.forceMatch('=');
}

/** Takes one of these names as an identifier. */
export function oneOf<T extends string>(lexer: Lexer, names: readonly T[]): T | undefined {
  return names.find((name) => lexer.matchId(name));
}

/** `true` or `false`, as a name or a string. */
export function trueOrFalse(lexer: Lexer): boolean | undefined {
  for (const word of ['true', 'false']) {
    if (lexer.matchString(word) || lexer.matchId(word)) return word === 'true';
  }
  lexer.syntaxError('expecting true or false');
  return undefined;
}

/** Takes a string; reports `detail` otherwise. */
export function quoted(lexer: Lexer, detail: string): string | undefined {
  if (lexer.type !== 'string') {
    lexer.syntaxError(detail);
    return undefined;
  }
  const { s } = lexer;
  lexer.get();
  return s;
}

/** How many tables a pipeline has. */
export function tablesOf({ tables, egressTables = tables }: ActionContext,
  pipeline: ActionContext['pipeline']): number {
  return pipeline === 'egress' ? egressTables : tables;
}

/** Actions that go on in the next table need one. OVN compares with the table's own number. */
export function hasNextTable({ context, lexer }: ActionState, message: string): boolean {
  if (context.table < tablesOf(context, context.pipeline)) return true;
  lexer.fail(message);
  return false;
}
