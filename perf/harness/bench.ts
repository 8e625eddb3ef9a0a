/** What a benchmark is, and what it is given. */
import type { Cloud } from './cloud.js';
import type { BenchResult } from './figure.js';
import type { LabObject } from './lab_object.js';

export interface Context {
  /** A smoke run: small and short, its figures mean nothing. */
  readonly quick: boolean;
  /** How many pairs each figure wants. */
  readonly rounds: number;
  readonly seed: number;
  /** What is being done now, for whoever waits. */
  progress(text: string): void;
  /** perf/bpf/lab.bpf.c, loaded. */
  readonly programs: LabObject;
  /** A database of 85,000 logical flows; built by the first who asks. */
  cloud(): Promise<Cloud>;
}

export type Measured = Pick<BenchResult, 'figures' | 'notes' | 'axis' | 'profile'>;

export interface Bench {
  readonly name: string;
  readonly about: string;
  run(context: Context): Promise<Measured>;
}
