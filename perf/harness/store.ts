/** One run as files: run.json with everything, trials.csv with a line for each pair. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '#ts/base/package_root.js';
import type { BenchResult } from './figure.js';
import type { Machine } from './machine.js';

export interface Run {
  readonly started: string;
  readonly seconds: number;
  readonly command: string;
  readonly seed: number;
  readonly quick: boolean;
  readonly machine: Machine;
  readonly results: readonly BenchResult[];
}

export const outDir = join(packageRoot, 'perf/out');

/** RFC 4180: quoted where a comma, quote or line end would tear the line. */
export const csvCell = (value: string | number): string =>
  /[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);

export function trialsCsv({ results }: Run): string {
  const head = ['bench', 'figure', 'round', 'ours', 'base', 'ours_value', 'base_value', 'unit',
    'ratio', 'x', 'series'];
  const rows = results.flatMap(({ bench, figures }) => figures.flatMap((f) =>
    f.pairs.map(({ ours, base }, round) => [bench, f.name, round, f.ours, f.base, ours, base,
      f.unit, ours / base, f.x ?? '', f.series ?? ''])));
  return [head, ...rows].map((row) => row.map(csvCell).join(',') + '\n').join('');
}

export function save(run: Run, dir = outDir): string {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'run.json'), `${JSON.stringify(run, null, 1)}\n`);
  writeFileSync(join(dir, 'trials.csv'), trialsCsv(run));
  return join(dir, 'run.json');
}

/** Throws when no run was made yet. */
export function load(dir = outDir): Run {
  try {
    return JSON.parse(readFileSync(join(dir, 'run.json'), 'utf8')) as Run;
  } catch (error) {
    throw new Error(`no run in ${dir}; make one with "npm run bench": ${String(error)}`);
  }
}
