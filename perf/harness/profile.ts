/**
 * Where the time goes, for figures that miss their target: what each program took by the
 * kernel's own count, what a packet's walk did, which functions a process was in.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BpfProgram } from '#ts/libbpf/mod.js';
import type { LabObject } from './lab_object.js';
import { packetOps, type MapOps } from './map_ops.js';
import { measure, type Load, type Path } from './path.js';
import type { Compiled, Packet } from './scenes.js';

// ---- Programs ---------------------------------------------------------------------------------

interface Runs { readonly ns: number; readonly runs: number }
const runsOf = ({ info: { runTimeNs, runCount } }: BpfProgram): Runs =>
  ({ ns: Number(runTimeNs), runs: Number(runCount) });

/** Nanoseconds of a frame on this path, by program; what is left is the kernel's: devices,
 * redirects, page pools. The counting itself costs some 20 ns a program. */
export async function programTimes(programs: LabObject, forward: BpfProgram, path: Path,
  load: Load): Promise<string> {
  const parts = { generator: programs.program('generate'), 'our program': forward,
    receiver: programs.program('receive') };
  const stats = BpfProgram.enableStats();
  try {
    const before = Object.values(parts).map(runsOf);
    const { received } = await measure(programs, path, load);
    const total = 1e9 / received;
    const each = Object.entries(parts).map(([name, program], i) => {
      const now = runsOf(program), then = before[i]!;
      return { name, ns: (now.ns - then.ns) / Math.max(1, now.runs - then.runs) };
    });
    const rest = total - each.reduce((sum, { ns }) => sum + ns, 0);
    return `${path.name}: ${total.toFixed(0)} ns a frame, of which `
      + `${[...each, { name: 'the kernel and other processes', ns: rest }]
        .map(({ name, ns }) => `${name} ${ns.toFixed(0)}`).join(', ')}.`;
  } finally {
    stats.close();
  }
}

// ---- Packets ----------------------------------------------------------------------------------

const opsText = (ops: MapOps): string => ['lookups', 'updates', 'deletions'].flatMap((what, i) =>
  ops[i] === 0 ? [] : [`${ops[i]} ${what}`]).join(' and ');

/** What the program asks the kernel for, of packets whose figures are missed. */
export async function packetWork(scene: Compiled, packets: readonly Packet[]): Promise<string[]> {
  if (packets.length === 0) return [];
  return [...await packetOps(scene, packets)].map(([name, { first, walk, cached }]) =>
    `${name}: map entries, ${Object.entries({ 'first of a connection': first, walk, cached })
      .flatMap(([path, ops]) => ops === undefined ? [] : [`${path}: ${opsText(ops)}`])
      .join('; ')}.`);
}

// ---- Processes --------------------------------------------------------------------------------

/** A .cpuprofile of Node (DevTools protocol, Profiler.Profile). */
export interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: {
    readonly functionName: string; readonly url: string } }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** The functions that the process was in most, by its own time, with their files. */
export function functionTimes({ nodes, samples, timeDeltas }: CpuProfile, most = 8): string {
  const names = new Map(nodes.map(({ id, callFrame: { functionName, url } }) =>
    [id, `${functionName || 'anonymous'}${url === '' ? '' : ` (${place(url)})`}`] as const));
  const times = new Map<string, number>();
  samples.forEach((id, i) => {
    const name = names.get(id) ?? 'unknown';
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[i] ?? 0));
  });
  const busy = [...times].filter(([name]) => name !== '(idle)');
  const total = busy.reduce((sum, [, us]) => sum + us, 0);
  const top = busy.sort(([, a], [, b]) => b - a).slice(0, most);
  return `${(total / 1e6).toFixed(1)} s of CPU: ${top.map(([name, us]) =>
    `${name} ${(100 * us / Math.max(1, total)).toFixed(0)} %`).join(', ')}`;
}
const place = (url: string): string => url.split('/').slice(-2).join('/');

/** Node writes it there when a process ends that was started with `cpuProfileIn(dir)`. */
export function readCpuProfile(dir: string): CpuProfile | undefined {
  const file = readdirSync(dir).find((name) => name.endsWith('.cpuprofile'));
  return file === undefined ? undefined
    : JSON.parse(readFileSync(join(dir, file), 'utf8')) as CpuProfile;
}
/** Rarely enough: each sample is a signal, and one makes the verifier give up (EAGAIN). */
const INTERVAL_US = 50_000;
export const cpuProfileIn = (dir: string): readonly string[] =>
  ['--cpu-prof', `--cpu-prof-dir=${dir}`, `--cpu-prof-interval=${INTERVAL_US}`];
