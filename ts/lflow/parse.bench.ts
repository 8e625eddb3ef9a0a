/**
 * How long matches take to parse and annotate, as a multiple of JSON.parse of the same
 * rows: `node parse.bench.js ROWS.json [RELEASE]`. ROWS.json is an array of Logical_Flow
 * rows, as `southboundRows` of ts/lab/openstack_shape.ts writes it.
 */
import { readFileSync } from 'node:fs';
import { annotate } from './annotate.js';
import type { Environment } from './ast.js';
import { symbolTable } from './fields.js';
import { noEnvironment } from './operand.js';
import { forgetParsed, parseExpr } from './parse.js';

interface Row { readonly match: string }
export interface ParseTimes {
  readonly rows: number; readonly problems: number;
  /** Medians of the runs. */
  readonly jsonMs: number; readonly parseMs: number;
}

/** Every set exists, with a few members of its kind. */
const everySet: Environment = (() => {
  const ipv4 = [10, 11].map((i) => ({ kind: 'int', value: BigInt(i), format: 'ipv4' } as const));
  const ports = ['a', 'b'];
  return { ...noEnvironment, addressSet: () => ipv4, portGroup: () => ports };
})();

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

function timed<T>(work: () => T): readonly [T, number] {
  const started = performance.now();
  const result = work();
  return [result, performance.now() - started];
}

function parseAll(rows: readonly Row[], release: string): number {
  const table = symbolTable(release);
  forgetParsed(table);
  let problems = 0;
  for (const { match } of rows) {
    const { expr } = parseExpr(match, table, everySet);
    if (expr === undefined || 'problem' in annotate(expr, table)) problems++;
  }
  return problems;
}

/** Both times for a text of rows, each run `runs` times, in turn. */
export function measureParse(json: string, release: string, runs = 7): ParseTimes {
  const jsonTimes: number[] = [];
  const parseTimes: number[] = [];
  let rows: readonly Row[] = [];
  let problems = 0;
  for (let i = 0; i < runs; i++) {
    const [parsed, jsonMs] = timed(() => JSON.parse(json) as readonly Row[]);
    rows = parsed;
    const [count, parseMs] = timed(() => parseAll(parsed, release));
    problems = count;
    jsonTimes.push(jsonMs);
    parseTimes.push(parseMs);
  }
  return { rows: rows.length, problems, jsonMs: median(jsonTimes), parseMs: median(parseTimes) };
}

if (process.argv[1]?.endsWith('lflow/parse.bench.js') === true) {
  const [, , file, release = '23.03'] = process.argv;
  if (file === undefined) throw new Error('usage: node parse.bench.js ROWS.json [RELEASE]');
  const { rows, problems, jsonMs, parseMs } = measureParse(readFileSync(file, 'utf8'), release);
  console.log(`${rows} rows: JSON.parse ${jsonMs.toFixed(0)} ms, parse and annotate `
    + `${parseMs.toFixed(0)} ms, ratio ${(parseMs / jsonMs).toFixed(2)}, ${problems} problems`);
}
