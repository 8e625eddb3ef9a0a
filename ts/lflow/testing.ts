/**
 * What `ovstest test-ovn SUBCOMMAND` of OVN's test-suite prints, for the subcommands about
 * matches: one input a line, with the symbols, address sets, port groups and ports that
 * OVN's tests use unless others are given (OVN tests/test-ovn.c).
 */
import type { Environment, Expr } from './ast.js';
import { annotate } from './annotate.js';
import { evaluate, type Packet } from './evaluate.js';
import { resolveResidents } from './expr.js';
import { field, symbolTable, SymbolTable } from './fields.js';
import { formatField, formatExpr } from './format.js';
import { formatToken, Lexer } from './lexer.js';
import { type Microflow, parseMicroflow } from './microflow.js';
import { normalize } from './normalize.js';
import { addressSetConstants, noEnvironment } from './operand.js';
import { parseExpr } from './parse.js';
import { simplify } from './simplify.js';

export interface TestOptions {
  readonly table: SymbolTable;
  readonly release: string;
  readonly env: Environment;
  /** Ports that is_chassis_resident() is true for. */
  readonly ports: ReadonlySet<string>;
}

/** Symbols that OVN's tests add, to see errors that the real ones never give. */
const testSymbols = [
  field('bad_prereq', 64, { prereqs: 'xyzzy' }),
  field('self_recurse', 64, { prereqs: 'self_recurse != 0' }),
  field('mutual_recurse_1', 64, { prereqs: 'mutual_recurse_2 != 0' }),
  field('mutual_recurse_2', 64, { prereqs: 'mutual_recurse_1 != 0' }),
  field('big_string', 0, { storage: 64 }),
].map(({ symbol }) => symbol);

export const testAddressSets: Readonly<Record<string, readonly string[]>> = {
  set1: ['10.0.0.1', '10.0.0.2', '10.0.0.3'],
  set2: ['::1', '::2', '::3'],
  set3: ['00:00:00:00:00:01', '00:00:00:00:00:02', '00:00:00:00:00:03'],
  set4: [],
};
export const testPortGroups: Readonly<Record<string, readonly string[]>> =
  { pg1: ['lsp1', 'lsp2', 'lsp3'], pg_empty: [] };
export const testPorts: Readonly<Record<string, number>> =
  { eth0: 5, eth1: 6, LOCAL: 0xfffe, lsp1: 0x11, lsp2: 0x12, lsp3: 0x13 };

/** An environment from plain objects; templates are not expanded, as in OVN's tests. */
export function environment(addressSets: Readonly<Record<string, readonly string[]>>,
  portGroups: Readonly<Record<string, readonly string[]>>): Environment {
  const sets = new Map(Object.entries(addressSets).map(([name, addresses]) =>
    [name, addressSetConstants(addresses)]));
  const groups = new Map(Object.entries(portGroups));
  return {
    addressSet: (name) => sets.get(name), portGroup: (name) => groups.get(name),
    template: () => undefined,
  };
}

/** The options of OVN's own tests, for a release ("all": OVN main). */
export function testOptions(release = 'all'): TestOptions {
  return {
    table: new SymbolTable([...symbolTable(release).symbols(), ...testSymbols]), release,
    env: environment(testAddressSets, testPortGroups), ports: new Set(Object.keys(testPorts)),
  };
}

/** Subcommand "lex": the tokens of a line, separated by spaces. */
export function lexLine(line: string): string {
  const tokens: string[] = [];
  for (const lexer = new Lexer(line); lexer.type !== 'end'; lexer.get()) {
    tokens.push(formatToken(lexer));
  }
  return tokens.join(' ');
}

/** Stages of a match, in the order in which they are applied. */
const stages = ['parse-expr', 'annotate-expr', 'simplify-expr', 'normalize-expr'] as const;
export type ExprCommand = (typeof stages)[number];

/** The expression after this stage, or OVN's error text. */
export function exprAfter(command: ExprCommand, line: string, options: TestOptions):
  { readonly expr: Expr } | { readonly problem: string } {
  const steps = stages.indexOf(command);
  const { expr, problems } = parseExpr(line, options.table, options.env);
  if (expr === undefined) return { problem: problems[0]!.message };
  if (steps === 0) return { expr };
  const annotated = annotate(expr, options.table);
  if (steps === 1 || 'problem' in annotated) return annotated;
  const simple = resolveResidents(simplify(annotated.expr, options),
    (port) => options.ports.has(port));
  return { expr: steps === 2 ? simple : normalize(simple) };
}

/** Subcommands "parse-expr" to "normalize-expr": the canonical text, or the error. */
export function exprLine(command: ExprCommand, line: string, options: TestOptions): string {
  const result = exprAfter(command, line, options);
  return 'expr' in result ? formatExpr(result.expr) : result.problem;
}

/** OVN's tests take port names for numbers: no number is 0. */
function portNumber(name: string): bigint {
  return BigInt(/^\s*([+-]?\d+)/.exec(name)?.[1] ?? 0);
}

function portsAsNumbers(expr: Expr): Expr {
  if (expr.kind === 'cmp' && expr.constant.kind === 'string') {
    const value = String(portNumber(expr.constant.value));
    return { ...expr, constant: { kind: 'string', value } };
  }
  return expr.kind === 'and' || expr.kind === 'or'
    ? { kind: expr.kind, args: expr.args.map(portsAsNumbers) } : expr;
}

function testPacket({ fields }: Microflow, table: SymbolTable): Packet {
  return (name) => {
    const port = (of: string): bigint => portNumber(String(fields.get(of) ?? ''));
    if (table.get(name)?.width === 0) return String(port(name));
    // __inport and __outport are the registers behind the ports.
    return fields.get(name) ?? (name.startsWith('__') ? port(name.slice(2)) : 0n);
  };
}

/**
 * Subcommand "evaluate-expr MICROFLOW": "1" or "0" for a line, or the error. Port names
 * are numbers. A wrong microflow is the problem returned instead of a function.
 */
export function evaluator(microflow: string, release = 'all'):
  { readonly evaluateLine: (line: string) => string } | { readonly problem: string } {
  const table = symbolTable(release);
  const flow = parseMicroflow(microflow, table);
  if (flow.problems.length > 0) return { problem: flow.problems[0]!.message };
  const packet = testPacket(flow, table);
  return { evaluateLine: (line) => {
    const { expr, problems } = parseExpr(line, table, noEnvironment);
    if (expr === undefined) return problems[0]!.message;
    const annotated = annotate(expr, table);
    if ('problem' in annotated) return annotated.problem;
    return evaluate(portsAsNumbers(annotated.expr), packet) ? '1' : '0';
  } };
}

/**
 * Subcommand "dump-symtab", sorted, without the plain fields: OVN prints their OpenFlow
 * names, which this project has no use for.
 */
export function dumpSymbols(table: SymbolTable): string[] {
  return table.symbols().flatMap((symbol) => {
    if (symbol.expansion !== undefined) return [`${symbol.name} = ${symbol.expansion}`];
    const parent = symbol.parent === undefined ? undefined : table.get(symbol.parent);
    if (parent === undefined) return [];
    const whole = { symbol: parent, low: symbol.low!, width: symbol.width };
    return [`${symbol.name} = ${formatField(whole)}`];
  }).sort();
}

/**
 * Runs `each` on the lines of a test input: lines that start with # are printed as they
 * are, a # later starts a comment, blank lines stay blank.
 */
export function testLines(input: string, each: (line: string) => string): string {
  const lines = input.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line) => {
    if (line.startsWith('#')) return line + '\n';
    const text = line.replace(/#.*/, '');
    return (/^[ \t]*$/.test(text) ? '' : each(text)) + '\n';
  }).join('');
}
