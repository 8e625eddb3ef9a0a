/**
 * Parser for matches. Recursive descent as the language is: `&&` and `||` do not mix
 * without parentheses, so there is no precedence to climb. Errors have OVN's texts (OVN
 * lib/expr.c).
 */
import type { Environment, Expr, Field, ParsedExpr, Relop } from './ast.js';
import { bool, combine, intCmp, not } from './expr.js';
import type { Entry, SymbolTable } from './fields.js';
import { expandTemplates, Lexer } from './lexer.js';
import { ones } from './literal.js';
import {
  type Constants, type Context, context, type Member, noEnvironment, parseConstants, parseField,
  settle, type SetUse, typeCheck,
} from './operand.js';

export { noEnvironment, parseConstant, parseConstantSet, parseField } from './operand.js';

const MAX_PAREN_DEPTH = 100;

const relops: ReadonlySet<string> = new Set<Relop>(['==', '!=', '<', '<=', '>', '>=']);
const turned: Readonly<Record<Relop, Relop>> =
  { '==': '==', '!=': '!=', '<': '>', '<=': '>=', '>': '<', '>=': '<=' };

function atRelop(lexer: Lexer): boolean { return relops.has(lexer.type); }

function parseRelop(lexer: Lexer): Relop | undefined {
  const { type } = lexer;
  if (!relops.has(type)) {
    lexer.syntaxError('expecting relational operator');
    return undefined;
  }
  lexer.get();
  return type as Relop;
}

const levelName = { nominal: 'nominal', boolean: 'Boolean', ordinal: 'ordinal' } as const;

/** What is wrong with an inequality (< <= > >=), or undefined. */
function inequalityProblem({ symbol }: Field, constants: Constants): string | undefined {
  const only = 'Only == and != operators may be used';
  if (constants.inCurlies) return `${only} with value sets.`;
  if (symbol.level !== 'ordinal') {
    return `${only} with ${levelName[symbol.level]} field ${symbol.name}.`;
  }
  const first = constants.members[0]?.constant;
  if (first === undefined) return `${only} to compare a field against an empty value set.`;
  if (first.kind === 'int' && first.mask !== undefined) {
    return `${only} with masked constants.  Consider using subfields instead (e.g. `
      + 'eth.src[0..15] > 0x1111 in place of eth.src > 00:00:00:00:11:11/00:00:00:00:ff:ff).';
  }
  return undefined;
}

/** What is wrong with a comparison of a nominal field, or undefined. */
function nominalProblem(ctx: Context, { symbol }: Field, relop: Relop,
  constants: Constants): string | undefined {
  const { name } = symbol;
  if (symbol.expansion === undefined) {
    return relop === (ctx.not ? '!=' : '==') ? undefined : `Nominal field ${name} may only be `
      + "tested for equality (taking enclosing `!' operators into account).";
  }
  for (const { constant } of constants.members) {
    const bit = constant.kind === 'int' && (constant.value & 1n) !== 0n;
    if (bit === ((relop === '!=') !== ctx.not)) {
      return `Nominal predicate ${name} may only be tested positively, e.g. \`${name}' or `
        + `\`${name} == 1' but not \`!${name}' or \`${name} == 0'.`;
    }
  }
  return undefined;
}

function makeOneCmp(entry: Entry, { low, width }: Field, relop: Relop, member: Member): Expr {
  const { constant, set, whole } = member;
  if (whole !== undefined) {
    return { kind: 'cmp', field: entry.whole, relop, constant, set: set!, whole: true };
  }
  if (constant.kind === 'string') {
    const node = { kind: 'cmp', field: entry.whole, relop, constant } as const;
    return set === undefined ? node : { ...node, set };
  }
  const { value, mask, format } = constant;
  if (width === entry.symbol.width) {
    return intCmp(entry.whole, relop, value, mask ?? entry.ones, format, set);
  }
  // The check against the symbol's width lets through what is too wide for the sub-field:
  // OVN cuts it off.
  const shift = BigInt(low);
  const bits = ones(width);
  return intCmp(entry.whole, relop, (value & bits) << shift,
    mask === undefined ? bits << shift : (mask & bits) << shift, format, set);
}

function makeCmp(ctx: Context, field: Field, relop: Relop,
  given: Constants): Expr | undefined {
  const { lexer } = ctx;
  const equality = relop === '==' || relop === '!=';
  const constants = settle(ctx, field, equality, given);
  if (!typeCheck(lexer, field, constants)) return undefined;
  const problem = (equality ? undefined : inequalityProblem(field, constants))
    ?? (field.symbol.level === 'nominal' ? nominalProblem(ctx, field, relop, constants)
      : undefined);
  if (problem !== undefined) {
    lexer.fail(problem);
    return undefined;
  }
  if (constants.members.length === 0) return bool(relop === '!=');
  const entry = ctx.table!.entry(field.symbol.name)!;
  if (constants.members.length === 1) {
    return makeOneCmp(entry, field, relop, constants.members[0]!);
  }
  return combine(relop === '==' ? 'or' : 'and',
    constants.members.map((member) => makeOneCmp(entry, field, relop, member)));
}

function parseResident(ctx: Context): Expr | undefined {
  const { lexer } = ctx;
  lexer.get();
  lexer.get();
  if (lexer.type !== 'string') {
    lexer.syntaxError('expecting string');
    return undefined;
  }
  const port = lexer.s;
  lexer.get();
  return lexer.forceMatch(')') ? { kind: 'resident', port, not: false } : undefined;
}

/** An expression, and whether `!` may stand right before it. */
interface Primary { readonly expr: Expr | undefined; readonly atomic: boolean }
const failed: Primary = { expr: undefined, atomic: false };

function compound(expr: Expr | undefined): Primary { return { expr, atomic: false }; }
function atomic(expr: Expr | undefined): Primary { return { expr, atomic: true }; }

function parseParenthesized(ctx: Context): Primary {
  if (ctx.depth >= MAX_PAREN_DEPTH) {
    ctx.lexer.fail('Parentheses nested too deeply.');
    return failed;
  }
  ctx.depth++;
  const expr = parseAndOr(ctx);
  ctx.depth--;
  return ctx.lexer.forceMatch(')') ? atomic(expr) : failed;
}

/** What a field alone is compared with. */
const zero: Constants = {
  members: [{ constant: { kind: 'int', value: 0n, format: 'hexadecimal' } }],
  type: 'integer', inCurlies: false,
};

/** `field RELOP constants`, a field alone, or a function. */
function parseFieldFirst(ctx: Context): Primary {
  const { lexer } = ctx;
  if (lexer.atCall()) {
    if (lexer.s === 'is_chassis_resident') return atomic(parseResident(ctx));
    lexer.fail('parsing function name');
    return failed;
  }
  const field = parseField(lexer, ctx.table);
  if (field === undefined) return failed;
  if (atRelop(lexer)) {
    const relop = parseRelop(lexer)!;
    const constants = parseConstants(ctx);
    return constants === undefined ? failed : compound(makeCmp(ctx, field, relop, constants));
  }
  if (field.width === 0 || lexer.type === '=') {
    lexer.syntaxError('expecting relational operator');
    return failed;
  }
  if (field.width > 1 && !ctx.not) {
    lexer.fail('Explicit `!= 0\' is required for inequality test of multibit field against 0.');
    return failed;
  }
  return atomic(makeCmp(ctx, field, '!=', zero));
}

function isAscending(relop: Relop): boolean | undefined {
  return relop === '<' || relop === '<=' ? true : relop === '>' || relop === '>=' ? false
    : undefined;
}

/** `constants RELOP field`, a range `x < field < y`, or the constants 0 and 1. */
function parseConstantFirst(ctx: Context): Primary {
  const { lexer } = ctx;
  const first = parseConstants(ctx);
  if (first === undefined) return failed;
  const only = first.members.length === 1 && !first.inCurlies ? first.members[0]!.constant
    : undefined;
  if (!atRelop(lexer) && only?.kind === 'int' && only.format === 'decimal'
    && only.mask === undefined && only.value <= 1n) {
    return atomic(bool(only.value === 1n));
  }
  const relop1 = parseRelop(lexer);
  const field = relop1 && parseField(lexer, ctx.table);
  if (relop1 === undefined || field === undefined) return failed;
  if (!atRelop(lexer)) return compound(makeCmp(ctx, field, turned[relop1], first));

  const relop2 = parseRelop(lexer)!;
  const second = parseConstants(ctx);
  if (second === undefined) return failed;
  const ascending = isAscending(relop1);
  if (ascending === undefined || ascending !== isAscending(relop2)) {
    lexer.fail("Range expressions must have the form `x < field < y' or `x > field > y', with "
      + "each `<' optionally replaced by `<=' or `>' by `>=').");
    return failed;
  }
  const low = makeCmp(ctx, field, turned[relop1], first);
  const high = makeCmp(ctx, field, relop2, second);
  return low === undefined || high === undefined ? failed : compound(combine('and', [low, high]));
}

function parsePrimary(ctx: Context): Primary {
  const { lexer } = ctx;
  if (lexer.match('(')) return parseParenthesized(ctx);
  return lexer.type === 'id' ? parseFieldFirst(ctx) : parseConstantFirst(ctx);
}

function parseNot(ctx: Context): Expr | undefined {
  if (!ctx.lexer.match('!')) return parsePrimary(ctx).expr;
  ctx.not = !ctx.not;
  const operand = parsePrimary(ctx);
  ctx.not = !ctx.not;
  if (operand.expr === undefined) return undefined;
  if (!operand.atomic) {
    ctx.lexer.fail('Missing parentheses around operand of !.');
    return undefined;
  }
  return not(operand.expr);
}

function parseAndOr(ctx: Context): Expr | undefined {
  const { lexer } = ctx;
  const first = parseNot(ctx);
  const operator = lexer.type;
  if (first === undefined || (operator !== '&&' && operator !== '||')) return first;
  const operands = [first];
  while (lexer.match(operator)) {
    const operand = parseNot(ctx);
    if (operand === undefined) return undefined;
    operands.push(operand);
  }
  // Not a match: the other one, or we would still be in the loop.
  if ((lexer.type as string) === '&&' || (lexer.type as string) === '||') {
    lexer.fail('&& and || must be parenthesized when used together.');
    return undefined;
  }
  return combine(operator === '&&' ? 'and' : 'or', operands);
}

/** Parses an expression at the lexer's place; undefined after a problem. */
export function parseExprAt(lexer: Lexer, table: SymbolTable,
  env: Environment = noEnvironment): Expr | undefined {
  return lexer.error === undefined ? parseAndOr(context(lexer, table, env)) : undefined;
}

/** A parsed text and the sets it used: it is the same while those are. */
interface ParsedWithUses extends ParsedExpr { readonly used: readonly SetUse[] }

const nothing: readonly never[] = Object.freeze([]);

function parseText(text: string, table: SymbolTable, env: Environment): ParsedWithUses {
  const lexer = new Lexer(text);
  const ctx = context(lexer, table, env);
  const expr = parseAndOr(ctx);
  lexer.forceEnd();
  const used = ctx.used.length === 0 ? nothing : ctx.used;
  return lexer.error === undefined ? { expr: expr!, problems: nothing, used }
    : { problems: [lexer.error], used };
}

/** States of one text that are kept: one port group text stands for many datapaths. */
const MAX_STATES = 8;

/** What a text was parsed to; one result for each state of the sets that it uses. */
type Known = ParsedWithUses | readonly ParsedWithUses[];
const cache = new WeakMap<SymbolTable, Map<string, Known>>();

function isCurrent({ used }: ParsedWithUses, env: Environment): boolean {
  // Asks for each set, even after a difference: an environment may take note of that.
  return used.filter(({ kind, name, members }) => env[kind]?.(name) !== members).length === 0;
}

/**
 * Parses a match. Never throws on data: `problems[0].message` is OVN's error text. Equal
 * texts are parsed once, as long as the environment gives the same arrays for the sets
 * that they use; it is asked for each of these every time. Templates are expanded first;
 * ranges then refer to the expanded text. An unknown template variable is a problem: OVN
 * skips such a flow.
 */
export function parseExpr(text: string, table: SymbolTable,
  env: Environment = noEnvironment): ParsedExpr {
  const expanded = text.includes('^')
    ? expandTemplates(text, (name) => env.template(name)) ?? text : text;
  let texts = cache.get(table);
  if (texts === undefined) cache.set(table, texts = new Map());
  const known = texts.get(expanded);
  const states = known === undefined ? nothing : 'problems' in known ? [known] : known;
  for (const state of states) if (isCurrent(state, env)) return state;
  const parsed = parseText(expanded, table, env);
  texts.set(expanded, states.length === 0 ? parsed
    : [parsed, ...states.slice(0, MAX_STATES - 1)]);
  return parsed;
}

/** Forgets what was parsed, for example after the texts of a database have gone. */
export function forgetParsed(table: SymbolTable): void { cache.delete(table); }
