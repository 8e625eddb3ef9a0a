/** Runs benchmarks one after the other; one that fails is a note, not the end. */
import { performance } from 'node:perf_hooks';
import type { Bench, Context } from './bench.js';
import { buildCloud, type Cloud } from './cloud.js';
import type { BenchResult } from './figure.js';
import { LabObject } from './lab_object.js';
import { captureMachine } from './machine.js';
import type { Run } from './store.js';

export interface RunOptions {
  readonly quick: boolean;
  readonly seed: number;
  readonly rounds: number;
  readonly command: string;
  progress(text: string): void;
  /** Called with what there is after each benchmark: a run that is cut short leaves that. */
  keep?(run: Run): void;
}

/** Projects of the cloud: 85,000 logical flows, and a handful for a smoke run. */
const projects = { full: 250, quick: 2 } as const;

/** Beyond it a benchmark hangs: the others go on without it. */
const LIMIT_MS = 8 * 60_000;
function inTime<T>(work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      reject(new Error(`it took longer than ${LIMIT_MS / 60_000} minutes`));
    }, LIMIT_MS);
    work.then(resolve, reject).finally(() => { clearTimeout(late); });
  });
}

async function runOne(bench: Bench, context: Context): Promise<BenchResult> {
  const began = performance.now();
  const seconds = (): number => Math.round((performance.now() - began) / 100) / 10;
  const { name, about } = bench;
  try {
    const measured = await inTime(bench.run(context));
    return { bench: name, about, seconds: seconds(), ...measured };
  } catch (error) {
    const text = (error instanceof Error ? error.message : String(error)).slice(0, 500);
    return { bench: name, about, seconds: seconds(), figures: [], notes: [`FAILED: ${text}`] };
  }
}

export async function runBenches(benches: readonly Bench[], options: RunOptions): Promise<Run> {
  const started = new Date(), machine = captureMachine();
  const programs = LabObject.load();
  let cloud: Promise<Cloud> | undefined;
  const results: BenchResult[] = [];
  const { quick, seed, command } = options;
  const sofar = (): Run => ({ started: started.toISOString(), command, seed, quick, machine,
    seconds: Math.round((Date.now() - +started) / 1000), results: [...results] });
  try {
    for (const [i, bench] of benches.entries()) {
      const at = `[${i + 1}/${benches.length}] ${bench.name}`;
      options.progress(at);
      results.push(await runOne(bench, {
        quick: options.quick, rounds: options.rounds, seed: options.seed, programs,
        progress: (text) => { options.progress(`${at}: ${text}`); },
        cloud: () => cloud ??= buildCloud(projects[options.quick ? 'quick' : 'full']),
      }));
      options.keep?.(sofar());
    }
  } finally {
    (await cloud?.catch(() => undefined))?.close();
    programs.close();
  }
  return sofar();
}

export const failures = ({ results }: Run): string[] => results.flatMap(({ bench, notes }) =>
  notes.filter((note) => note.startsWith('FAILED')).map((note) => `${bench}: ${note}`));
