/** Checks every small expression against every small packet: the numbers are in the millions. */
import type { Expr } from './ast.js';
import {
  allRelops, countExpressions, enumerateAssignments, enumerateExpressions, type EnumerateOptions,
  enumerationTable, terminalsOf,
} from './enumerate.js';
import { evaluate, type Packet } from './evaluate.js';
import { brokenInvariant } from './expr.js';
import type { SymbolTable } from './fields.js';
import { formatExpr } from './format.js';
import { Lexer } from './lexer.js';
import { isNormalized, normalize } from './normalize.js';
import { parseExprAt } from './parse.js';
import { simplify } from './simplify.js';

export type Operation = 'convert' | 'simplify' | 'normalize';
export interface Configuration extends EnumerateOptions {
  readonly operation: Operation;
  /** What OVN's test-suite says it tests; it leaves out the first one of each shape. */
  readonly published?: number;
}

function configuration(operation: Operation, published: number | undefined,
  [numbers, bits, strings, terminals]: readonly [number, number, number, number],
  relops = allRelops): Configuration {
  return { operation, numbers, bits, strings, terminals, relops,
    ...(published === undefined ? {} : { published, fixFirst: true }) };
}

/** OVN's own (tests/ovn.at of v23.03.1 and main), and some without a fixed leaf. */
export const configurations: readonly Configuration[] = [
  configuration('convert', undefined, [2, 3, 2, 1]),
  configuration('convert', undefined, [2, 3, 2, 2]),
  configuration('convert', 578, [2, 3, 2, 2]),
  configuration('convert', 67410, [2, 2, 2, 3]),
  configuration('simplify', undefined, [2, 3, 2, 2]),
  configuration('simplify', 490770, [2, 3, 0, 3]),
  configuration('simplify', 21978, [0, 0, 4, 4]),
  configuration('simplify', 127890, [1, 3, 1, 3]),
  configuration('normalize', undefined, [2, 3, 2, 2]),
  configuration('normalize', undefined, [2, 2, 1, 3]),
  configuration('normalize', undefined, [1, 3, 1, 3]),
  configuration('normalize', 1874026, [3, 1, 0, 4]),
  configuration('normalize', 11242, [0, 1, 3, 4]),
  configuration('normalize', 175978, [1, 1, 2, 4]),
  configuration('normalize', 1317600, [3, 1, 0, 5], ['==']),
  configuration('normalize', 368550, [0, 1, 3, 5]),
  configuration('normalize', 216000, [1, 1, 1, 5], ['==']),
];

/** For each packet one bit: whether the expression matches it. */
class TruthTables {
  readonly #packets: readonly Packet[];
  readonly #leaves = new Map<string, bigint>();
  readonly all: bigint;

  constructor(options: EnumerateOptions) {
    this.#packets = [...enumerateAssignments(options)];
    this.all = (1n << BigInt(this.#packets.length)) - 1n;
  }

  #leaf(expr: Expr): bigint {
    const text = formatExpr(expr);
    let table = this.#leaves.get(text);
    if (table === undefined) {
      table = BigInt('0b' + this.#packets.map((p) => Number(evaluate(expr, p))).join(''));
      this.#leaves.set(text, table);
    }
    return table;
  }

  of(expr: Expr): bigint {
    if (expr.kind === 'and') return expr.args.reduce((t, e) => t & this.of(e), this.all);
    if (expr.kind === 'or') return expr.args.reduce((t, e) => t | this.of(e), 0n);
    return this.#leaf(expr);
  }
}

function convert(expr: Expr, table: SymbolTable): Expr {
  const text = formatExpr(expr);
  const lexer = new Lexer(text);
  const parsed = parseExprAt(lexer, table);
  if (parsed === undefined || !lexer.forceEnd()) {
    throw new Error(`${text} does not parse: ${lexer.error?.message}`);
  }
  if (formatExpr(parsed) !== text) throw new Error(`${text} comes back as ${formatExpr(parsed)}`);
  return parsed;
}

const operations: Readonly<Record<Operation, (expr: Expr, table: SymbolTable) => Expr>> = {
  convert, simplify: (expr) => simplify(expr), normalize: (expr) => normalize(simplify(expr)),
};

/**
 * Checks the expressions of one configuration; returns how many. Throws at the first one
 * that changes its meaning or breaks an invariant, with its text.
 */
export function checkConfiguration(options: Configuration): number {
  const table = enumerationTable(options);
  const tables = new TruthTables(options);
  let count = 0;
  for (const expr of enumerateExpressions(options, table)) {
    const modified = operations[options.operation](expr, table);
    count++;
    if (tables.of(expr) !== tables.of(modified)) {
      throw new Error(`${formatExpr(expr)} is not ${formatExpr(modified)}`);
    }
    const broken = brokenInvariant(modified);
    if (broken !== undefined) throw new Error(`${formatExpr(modified)}: ${broken}`);
    if (options.operation === 'normalize' && !isNormalized(modified)) {
      throw new Error(`${formatExpr(expr)}: ${formatExpr(modified)} is not normal`);
    }
  }
  return count;
}

function gcd(a: number, b: number): number { return b === 0 ? a : gcd(b, a % b); }

/** Options that visit about `most` expressions, evenly spread. */
export function sampled<T extends EnumerateOptions>(options: T, most: number): T {
  const table = enumerationTable(options);
  const terminals = terminalsOf(options, table).length;
  let stride = Math.max(1, Math.floor(countExpressions(options, table) / most));
  // A stride that shares a factor with the number of terminals would never meet some.
  while (gcd(stride, terminals) !== 1) stride++;
  return { ...options, stride };
}
