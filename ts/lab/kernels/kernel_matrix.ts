/**
 * What is tried on other kernels, each part in a machine of its own: the verifier on every
 * program, the test-run floor, OVN over OVS's kernel datapath, offloads and throughput.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../../base/package_root.js';
import { kernelImage, kernelNames, type KernelName } from './kernel_image.js';
import { ovsUptimeS, runInKernel, type VmRun } from './kernel_vm.js';
import { parseTotals } from '../runner/totals.js';

const here = dirname(fileURLToPath(import.meta.url));
const node = (file: string, ...args: readonly string[]): string[] =>
  [process.execPath, join(here, file), ...args];

/** What OVN over the kernel datapath needs; kernels since 7.0 have some of it built in. */
const ovnModules = ['nfnetlink', 'nf_conntrack_netlink', 'openvswitch', 'vport_geneve', 'geneve',
  'veth', 'sch_ingress', 'cls_bpf', 'bridge', 'tun'];
export const ovn: VmRun = { modules: ovnModules, uptimeS: ovsUptimeS, timeoutMs: 900_000,
  env: { OVN_XDP_PATIENCE: '12' } };

export interface Outcome {
  readonly passed: number; readonly failed: number; readonly seconds: number;
  /** What the guest said of itself, and all it said when something failed. */
  readonly notes: readonly string[];
  /** Of parts that count. */
  readonly instructions?: ReadonlyMap<string, number>;
}
type Part = (kernel: KernelName) => Promise<Outcome>;
const notesIn = (text: string): string[] => text.match(/^(?:#|SKIPPED).*$/gm) ?? [];

// ---- Counts -----------------------------------------------------------------------------------

/** Checked-in counts: of what the verifier walks, which differs by compiler and point release;
 * and of what a packet takes, which repeats within a few parts of a hundred. */
export interface Baseline { readonly file: string; readonly slack: number }
export const verified: Baseline = { file: 'bpf/insn_kernels.txt', slack: 1.25 };
export const executed: Baseline = { file: 'perf/baselines/instructions.txt', slack: 1.05 };

/** Name -> kernel -> instructions. */
export function readBaseline({ file }: Baseline = verified): Map<string, Map<string, number>> {
  const [head = [], ...rows] = readFileSync(join(packageRoot, file), 'utf8')
    .split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.trim().split(/\s+/));
  return new Map(rows.map(([name = '', ...counts]) => [name,
    new Map(counts.map((count, i) => [head[i + 1] ?? '', Number(count)]))]));
}

/** What a guest said: `NAME INSTRUCTIONS` a line. */
export function parseCounts(text: string): Map<string, number> {
  return new Map([...text.matchAll(/^(\w+) (\d+)$/gm)]
    .map(([, name, count]) => [name!, Number(count)]));
}

/** Why `counts` are news; empty: they are not. */
export function newsOf(counts: ReadonlyMap<string, number>, kernel: string,
  baseline: ReadonlyMap<string, ReadonlyMap<string, number>>, { file, slack } = verified):
  string[] {
  // Not every count is kept of every kernel.
  if (![...baseline.values()].some((kernels) => kernels.has(kernel))) return [];
  const gone = [...baseline.keys()].filter((name) => !counts.has(name))
    .map((name) => `${name}: not counted`);
  return [...gone, ...[...counts].flatMap(([name, count]) => {
    const wanted = baseline.get(name)?.get(kernel);
    if (wanted === undefined) return [`${name}: ${count}, not in ${file}`];
    return count > wanted * slack
      ? [`${name}: ${count} instructions, ${wanted} in ${file}`] : [];
  })];
}

/** A guest that counts, against what is checked in. */
const counting = (baseline: Baseline, argv: readonly string[], options: VmRun): Part =>
  async (kernel) => {
    const { stdout, stderr, status, seconds } = await runInKernel(kernel, argv, options);
    const instructions = parseCounts(stdout);
    const news = status === 0 ? newsOf(instructions, kernel, readBaseline(baseline), baseline)
      : [stdout.trimEnd(), stderr.trimEnd()];
    return { passed: instructions.size, failed: news.length, seconds, instructions,
      notes: [...status === 0 ? notesIn(stdout) : [], ...news] };
  };

/** Names by kernels. */
export function instructionTable(counts: ReadonlyMap<string, ReadonlyMap<string, number>>):
  string {
  const names = [...new Set([...counts.values()].flatMap((one) => [...one.keys()]))].sort();
  const row = (name: string, cells: readonly (string | number)[]): string =>
    name.padEnd(20) + cells.map((cell) => String(cell).padStart(10)).join('');
  return [row('', [...counts.keys()]), ...names.map((name) =>
    row(name, [...counts.values()].map((one) => one.get(name) ?? '-')))].join('\n');
}

// ---- Tests in the guest -----------------------------------------------------------------------

/** The runner's tests of those names, less what counts instructions. */
const testRuns = (pattern: string, options: VmRun = {}): Part => async (kernel) => {
  const { stdout, stderr, status, seconds } = await runInKernel(kernel,
    node('../runner/run_tests.js', pattern),
    { timeoutMs: 900_000, ...options,
      // Where the verifier takes seconds, a file may take longer than a machine's own.
      env: { OVN_XDP_OTHER_KERNEL: '1', OVN_XDP_PATIENCE: '3', ...options.env } });
  const [, passed = 0, failed = 1] = (/^(\d+) passed, (\d+) failed$/m.exec(
    stdout.split('\n').reverse().join('\n')) ?? []).map(Number);
  return { passed, failed: status === 0 ? failed : Math.max(1, failed), seconds,
    notes: status === 0 ? stdout.match(/^ +#.*$/gm) ?? [] : [stdout, stderr] };
};
/** A lab's tests over OVS's kernel datapath instead of its userspace. */
const overKernel = (pattern: string, env: Readonly<Record<string, string>>): Part =>
  testRuns(pattern, { ...ovn, timeoutMs: 1_500_000,
    env: { OVN_XDP_DATAPATH: 'system', OVN_XDP_PATIENCE: '12', ...env } });
/** What fits into an ordinary run of the tests: a frame's way. */
export const quickFloor = testRuns('/dataplane_switch\\.root\\.');

const guestTest = (file: string, ...args: readonly string[]): Part => async (kernel) => {
  const { stdout, stderr, status, seconds } =
    await runInKernel(kernel, node(file, ...args), ovn);
  const { passed, failed } = parseTotals(stdout, status);
  return { passed, failed, seconds,
    notes: failed === 0 ? notesIn(stdout) : [stdout, stderr] };
};

export const parts = {
  loads: counting(verified, node('kernel_loads.guest.js'), {}),
  cost: counting(executed, node('../../perf/instructions/cost.guest.js'),
    { ...ovn, icount: true }),
  floor: testRuns('^lab/dataplane/(dataplane|conntrack|cache|synth)\\w*\\.root\\.'),
  datapath: guestTest('kernel_datapath.guest.js', '4', 'csum'),
  datapath_zero: guestTest('kernel_datapath.guest.js', '4', 'zero'),
  datapath6: guestTest('kernel_datapath.guest.js', '6', 'zero'),
  datapath6_csum: guestTest('kernel_datapath.guest.js', '6', 'csum'),
  offloads: guestTest('kernel_offloads.guest.js', '4', 'csum'),
  offloads6: guestTest('kernel_offloads.guest.js', '6', 'zero'),
  differential: overKernel('/differential\\.lab\\.',
    { OVN_XDP_ARENAS: '2', OVN_XDP_FRAMES: '256', OVN_XDP_SEED: '5' }),
  sequences: overKernel('/sequences\\.lab\\.', { OVN_XDP_SEQUENCES: '48' }),
  conntrack: overKernel('^daemon/conntrack\\.lab\\.',
    { OVN_XDP_TRANSFERS: '4' }),
  pktgen: guestTest('../../perf/pktgen/nic.guest.js'),
  speed: guestTest('kernel_speed.guest.js', 'full'),
} as const satisfies Readonly<Record<string, Part>>;
export type PartName = keyof typeof parts;
export const partNames = Object.keys(parts) as readonly PartName[];

/** What no other kernel would tell more of: tried where it is not named together with a kernel. */
const once: Partial<Record<PartName, readonly KernelName[]>> = {
  cost: ['6.1', '6.12'], differential: ['6.1', '6.12'], sequences: ['6.12'], conntrack: ['6.1'],
  datapath: ['6.1'], datapath_zero: ['newest'], datapath6: ['6.12'], datapath6_csum: ['newest'],
  offloads: ['6.1'], offloads6: ['6.12'], pktgen: ['6.1'], speed: ['6.1', '6.12'],
};

/** Runs the parts on the kernels, one machine at a time; `say` gets a line for each. */
export async function runMatrix({ kernels, parts: wanted, everywhere }: Choice,
  say: (line: string) => void): Promise<{ passed: number; failed: number }> {
  const sum = { passed: 0, failed: 0 };
  const counts = new Map<PartName, Map<string, ReadonlyMap<string, number>>>();
  for (const kernel of kernels) {
    say(`Linux ${kernelImage(kernel).version} (${kernel})`);
    for (const part of wanted) {
      if (!everywhere && once[part]?.includes(kernel) === false) continue;
      const began = performance.now();
      const outcome: Outcome = await parts[part](kernel).catch((error: Error): Outcome =>
        ({ passed: 0, failed: 1, seconds: (performance.now() - began) / 1000,
          notes: [error.message] }));
      sum.passed += outcome.passed;
      sum.failed += outcome.failed;
      if (outcome.instructions) {
        counts.set(part, (counts.get(part) ?? new Map()).set(kernel, outcome.instructions));
      }
      say(`  ${outcome.failed === 0 ? 'ok    ' : 'FAILED'} ${part}: ${outcome.passed} passed, `
        + `${outcome.failed} failed (${outcome.seconds.toFixed(0)} s)`);
      for (const note of outcome.notes) say(note.replace(/^/gm, '    '));
    }
  }
  for (const [part, table] of counts) say(`${part}\n${instructionTable(table)}`);
  return sum;
}

const isKernel = (name: string): name is KernelName => kernelNames.some((one) => one === name);
const isPart = (name: string): name is PartName => partNames.some((one) => one === name);

interface Choice { readonly kernels: readonly KernelName[]; readonly parts: readonly PartName[];
  /** Also parts on kernels that are not meant for them. */
  readonly everywhere: boolean }

/** Kernels and parts by name; all where none is named. Undefined: a name that is neither. */
export function choose(names: readonly string[]): Choice | undefined {
  if (!names.every((name) => isKernel(name) || isPart(name))) return undefined;
  const [kernels, some] = [names.filter(isKernel), names.filter(isPart)];
  return { kernels: kernels.length > 0 ? kernels : kernelNames,
    parts: some.length > 0 ? some : partNames,
    everywhere: kernels.length > 0 && some.length > 0 };
}
