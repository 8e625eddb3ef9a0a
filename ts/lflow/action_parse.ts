/**
 * Parser of the actions of a logical flow: text to typed tree, with OVN's checks and OVN's
 * error texts. Recursive descent over the table in actions.ts; the actions that the table
 * does not describe in full have parsers in action_basic, action_ct, action_controller and
 * action_options.
 */
import type {
  Action, ActionContext, Environment, Expr, Field, ParsedActions, Problem,
} from './ast.js';
import {
  type ActionSpec, allReleases, changedIn, type OperandSpec, resultSpec, statementSpec,
} from './actions.js';
import { basicResults, basicStatements } from './action_basic.js';
import { controllerResults, controllerStatements } from './action_controller.js';
import { commitArguments, ctResults, ctStatements } from './action_ct.js';
import { optionResults, optionStatements } from './action_options.js';
import {
  type ActionParser, type ActionState, check, field, operand, require, requireSpec,
  type ResultParser,
} from './action_state.js';
import { type SymbolTable, symbolTable } from './fields.js';
import { expandTemplates, Lexer, type TokenType } from './lexer.js';
import { noEnvironment, parseConstant } from './operand.js';

/** Blocks may stand in each other this deep, the outermost actions included. */
const MAX_DEPTH = 32;

/** `F = constant` */
function load(state: ActionState, dst: Field): Action | undefined {
  if (!check(state, dst, dst.width, true)) return undefined;
  const value = parseConstant(state.lexer, dst);
  return value === undefined ? undefined : { name: 'load', dst, value };
}

/** Why two fields cannot be assigned or exchanged, or undefined. */
function pairProblem(a: Field, b: Field, exchange: boolean): string | undefined {
  const kind = (f: Field): string => f.symbol.width > 0 ? 'integer' : 'string';
  const named = (f: Field): string => `${kind(f)} field (${f.symbol.name})`;
  if (kind(a) !== kind(b)) {
    return exchange ? `Can't exchange ${named(a)} with ${named(b)}.`
      : `Can't assign ${named(b)} to ${named(a)}.`;
  }
  if (a.width !== b.width) {
    return exchange ? `Can't exchange ${a.width}-bit field with ${b.width}-bit field.`
      : `Can't assign ${b.width}-bit value to ${a.width}-bit destination.`;
  }
  const storage = (f: Field): number => f.symbol.storage ?? 32;
  return a.width > 0 || storage(a) === storage(b) ? undefined
    : `String fields ${a.symbol.name} and ${b.symbol.name} are incompatible for `
      + `${exchange ? 'exchange' : 'assignment'}.`;
}

/** `F = F2` and `F <-> F2` */
function assign(state: ActionState, dst: Field, exchange: boolean): Action | undefined {
  const src = field(state);
  if (src === undefined) return undefined;
  const problem = pairProblem(dst, src, exchange);
  if (problem !== undefined) {
    state.lexer.fail(problem);
    return undefined;
  }
  if (!check(state, dst, dst.width, true)) return undefined;
  if (!check(state, src, src.width, exchange)) return undefined;
  return exchange ? { name: 'exchange', a: dst, b: src } : { name: 'move', dst, src };
}

/** One operand; if it may have several widths, those of the register behind a string count. */
function oneOperand(state: ActionState, spec: ActionSpec, { bits }: OperandSpec):
  Field | undefined {
  if (bits.length === 1) return operand(state, bits[0]!);
  const found = field(state);
  if (found === undefined) return undefined;
  if (bits.includes(found.width || (found.symbol.storage ?? 32))) return found;
  const widths = bits.map((b) => `${b}-bit`).join(' or ');
  state.lexer.fail(`${spec.keyword} requires a ${widths} IP field`);
  return undefined;
}

/** `(F, ...)` as properties of the action. */
function operands(state: ActionState, spec: ActionSpec, specs: readonly OperandSpec[]):
  Record<string, Field> | undefined {
  const { lexer } = state;
  lexer.forceMatch('(');
  const found: Record<string, Field> = {};
  for (const [i, wanted] of specs.entries()) {
    if (i > 0) lexer.forceMatch(',');
    if (lexer.error !== undefined) return undefined;
    const parsed = oneOperand(state, spec, wanted);
    if (parsed === undefined) return undefined;
    found[wanted.key] = parsed;
  }
  lexer.forceMatch(')');
  return found;
}

const call: ActionParser = (state, spec) => {
  const found = operands(state, spec, spec.operands!);
  return found && { name: spec.keyword, ...found } as unknown as Action;
};

const result: ResultParser = (state, spec, dst) => {
  const { lexer } = state;
  const name = spec.keyword;
  lexer.get();
  if (spec.operands !== undefined) {
    if (!check(state, dst, spec.bits!, true)) return undefined;
    const found = operands(state, spec, spec.operands);
    return found && { name, dst, ...found } as unknown as Action;
  }
  lexer.get();
  if (!lexer.match(')')) {
    lexer.fail(`${name} doesn't take any parameters`);
    return undefined;
  }
  if (!check(state, dst, spec.bits!, true)) return undefined;
  requireSpec(state, spec);
  return { name, dst } as unknown as Action;
};

/** `{ actions }` */
function nested(state: ActionState, spec: ActionSpec): readonly Action[] | undefined {
  const { lexer } = state;
  if (!lexer.forceMatch('{')) return undefined;
  const depth = state.depth + 1;
  if (depth === MAX_DEPTH) {
    lexer.fail('maximum depth of nested actions reached');
    return undefined;
  }
  const inner: ActionState =
    { ...state, depth, writes: spec.writes ?? state.writes, prereqs: undefined };
  const actions = actionsUntil(inner, '}');
  if (spec.copies) {
    // What the copy requires comes first.
    const outer = state.prereqs;
    state.prereqs = inner.prereqs;
    require(state, outer);
  } else {
    // A new packet is made so that it suits the inner actions.
    requireSpec(state, spec);
  }
  return actions;
}

const block: ActionParser = (state, spec) => {
  const actions = nested(state, spec);
  return actions && { name: spec.keyword, nested: actions } as unknown as Action;
};

const ctCommit: ActionParser = (state, spec) => {
  if (state.lexer.type === '{') return block(state, spec);
  requireSpec(state, spec);
  return state.release < changedIn.commitBlockOnly && state.lexer.match('(')
    ? commitArguments(state) : { name: 'ct_commit', nested: [] };
};

const special: Readonly<Record<string, ActionParser>> = {
  ...basicStatements, ...ctStatements, ...controllerStatements, ...optionStatements,
  ct_commit: ctCommit,
};
const specialResults: Readonly<Record<string, ResultParser>> = {
  ...basicResults, ...ctResults, ...controllerResults, ...optionResults,
};

const shapes: Readonly<Record<ActionSpec['shape'], (spec: ActionSpec) => ActionParser>> = {
  word: ({ keyword }) => {
    const action = Object.freeze({ name: keyword }) as Action;
    return () => action;
  },
  call: () => call,
  result: () => { throw new Error('a result is no statement'); },
  block: () => block,
  special: ({ keyword }) => special[keyword]!,
};

const parsers = new Map<ActionSpec, ActionParser>();

function parserOf(spec: ActionSpec): ActionParser {
  let parser = parsers.get(spec);
  if (parser === undefined) parsers.set(spec, parser = shapes[spec.shape](spec));
  return parser;
}

/** Actions whose name OVN knows after `=` even without a parenthesis. */
const unmistakable: ReadonlySet<string> = new Set(['dhcp_relay_req_chk', 'dhcp_relay_resp_chk']);

/** `F = ...` and `F <-> ...` */
function setAction(state: ActionState): Action | undefined {
  const { lexer } = state;
  const dst = field(state);
  if (dst === undefined) return undefined;
  if (lexer.match('<->')) return assign(state, dst, true);
  if (!lexer.match('=')) {
    lexer.syntaxError("expecting `=' or `<->'");
    return undefined;
  }
  if (lexer.type !== 'id') return load(state, dst);
  const spec = resultSpec(lexer.s, state.release);
  if (spec === undefined || !(unmistakable.has(spec.keyword) || lexer.lookahead() === '(')) {
    return assign(state, dst, false);
  }
  return (specialResults[spec.keyword] ?? result)(state, spec, dst);
}

/** One action without its semicolon. */
function statement(state: ActionState): Action | undefined {
  const { lexer } = state;
  if (lexer.type !== 'id') {
    if (lexer.type === 'template') lexer.fail('Unexpanded template.');
    else lexer.syntaxError('');
    return undefined;
  }
  const next = lexer.lookahead();
  if (next === '=' || next === '<->' || next === '[') return setAction(state);
  const spec = statementSpec(lexer.s, state.release);
  if (spec === undefined) {
    lexer.syntaxError('expecting action');
    return undefined;
  }
  lexer.get();
  return parserOf(spec)(state, spec);
}

/** Actions up to `sentinel`; undefined after a problem. No actions: drop. */
function actionsUntil(state: ActionState, sentinel: TokenType): readonly Action[] | undefined {
  const { lexer } = state;
  if (lexer.type === 'id' && lexer.s === 'drop' && lexer.lookahead() === ';') {
    lexer.get();
    lexer.get();
    return lexer.forceMatch(sentinel) ? [] : undefined;
  }
  const actions: Action[] = [];
  while (!lexer.match(sentinel)) {
    const action = statement(state);
    lexer.forceMatch(';');
    if (lexer.error !== undefined) return undefined;
    // OVN takes "set_queue(;" and does nothing.
    if (action !== undefined) actions.push(action);
  }
  return actions;
}

function failure(problem: Problem): ParsedActions { return { problems: [problem] }; }

function parseUncached(text: string, context: ActionContext, symbols: SymbolTable,
  environment: Environment): ParsedActions {
  const expanded = expandTemplates(text, (name) => environment.template(name));
  const lexer = new Lexer(expanded ?? text);
  const state: ActionState = {
    lexer, context, environment, symbols, depth: 0, writes: 'default', prereqs: undefined,
    release: context.release ?? allReleases,
  };
  const actions = actionsUntil(state, 'end');
  if (lexer.error !== undefined || actions === undefined) return failure(lexer.error!);
  const prereqs: Expr | undefined = state.prereqs;
  return prereqs === undefined ? { actions, problems: [] } : { actions, prereqs, problems: [] };
}

/** Results by text, for the symbol table and the place in the pipelines. */
const caches = new WeakMap<SymbolTable, Map<string, Map<string, ParsedActions>>>();
/** Texts kept for one place; real databases have far fewer distinct ones. */
const CACHE_LIMIT = 50_000;

/** Forgets what was parsed, so that time can be measured. */
export function forgetActions(symbols: SymbolTable): void { caches.delete(symbols); }

function cacheOf(context: ActionContext, symbols: SymbolTable): Map<string, ParsedActions> {
  let places = caches.get(symbols);
  if (places === undefined) caches.set(symbols, places = new Map());
  const { pipeline, table, tables, egressTables, release } = context;
  const place = `${pipeline} ${table} ${tables} ${egressTables} ${release}`;
  let cache = places.get(place);
  if (cache === undefined || cache.size > CACHE_LIMIT) places.set(place, cache = new Map());
  return cache;
}

/**
 * Parses the actions of a logical flow that stands at `context`. Templates are expanded
 * first; ranges of problems then refer to the expanded text. A template variable without a
 * value is a problem. `symbols` is the ordinary table of the release, in OVN also for flows
 * tagged acl_ct_translation. Equal texts at equal places give the same object. Never throws.
 */
export function parseActions(text: string, context: ActionContext,
  symbols: SymbolTable = symbolTable(context.release),
  environment: Environment = noEnvironment): ParsedActions {
  if (text.includes('^') || (environment.dhcpOption !== undefined && text.includes('put_dhcp'))) {
    return parseUncached(text, context, symbols, environment);
  }
  const cache = cacheOf(context, symbols);
  let parsed = cache.get(text);
  if (parsed === undefined) {
    cache.set(text, parsed = parseUncached(text, context, symbols, environment));
  }
  return parsed;
}
