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
}

/** Projects of the cloud: 85,000 logical flows, and a handful for a smoke run. */
const projects = { full: 250, quick: 2 } as const;

async function runOne(bench: Bench, context: Context): Promise<BenchResult> {
  const began = performance.now();
  const seconds = (): number => Math.round((performance.now() - began) / 100) / 10;
  const { name, about } = bench;
  try {
    const measured = await bench.run(context);
    return { bench: name, about, seconds: seconds(), ...measured };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { bench: name, about, seconds: seconds(), figures: [], notes: [`FAILED: ${text}`] };
  }
}

export async function runBenches(benches: readonly Bench[], options: RunOptions): Promise<Run> {
  const started = new Date(), machine = captureMachine();
  const programs = LabObject.load();
  let cloud: Promise<Cloud> | undefined;
  const results: BenchResult[] = [];
  try {
    for (const [i, bench] of benches.entries()) {
      const at = `[${i + 1}/${benches.length}] ${bench.name}`;
      options.progress(at);
      results.push(await runOne(bench, {
        quick: options.quick, rounds: options.rounds, seed: options.seed, programs,
        progress: (text) => { options.progress(`${at}: ${text}`); },
        cloud: () => cloud ??= buildCloud(projects[options.quick ? 'quick' : 'full']),
      }));
    }
  } finally {
    (await cloud?.catch(() => undefined))?.close();
    programs.close();
  }
  const { quick, seed, command } = options;
  return { started: started.toISOString(), seconds: Math.round((Date.now() - +started) / 1000),
    command, seed, quick, machine, results };
}

export const failures = ({ results }: Run): string[] => results.flatMap(({ bench, notes }) =>
  notes.filter((note) => note.startsWith('FAILED')).map((note) => `${bench}: ${note}`));
