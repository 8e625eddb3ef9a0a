/**
 * What is tried on other kernels, each part in a machine of its own: the verifier on every
 * program, the test-run floor, OVN over OVS's kernel datapath, offloads and throughput.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
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

type Cells = ReadonlyMap<string, ReadonlyMap<string, number | string>>;

/** Names by kernels; of a name that a kernel has not there is a dash. */
export function tableByKernel(cells: Cells, width = 10): string {
  const names = [...new Set([...cells.values()].flatMap((one) => [...one.keys()]))].sort();
  const row = (name: string, values: readonly (string | number)[]): string =>
    name.padEnd(20) + values.map((value) => String(value).padStart(width)).join('');
  return [row('', [...cells.keys()]), ...names.map((name) =>
    row(name, [...cells.values()].map((one) => one.get(name) ?? '-')))].join('\n');
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
/** What fits into an ordinary run of the tests: a frame's way. */
export const quickFloor = testRuns('/dataplane_switch\\.root\\.');

const testFile = (file: string, args: readonly string[], options: VmRun): Part =>
  async (kernel) => {
    const { stdout, stderr, status, seconds } =
      await runInKernel(kernel, node(file, ...args), options);
    const { passed, failed } = parseTotals(stdout, status);
    return { passed, failed, seconds, notes: failed === 0 ? notesIn(stdout) : [stdout, stderr] };
  };
const guestTest = (file: string, ...args: readonly string[]): Part => testFile(file, args, ovn);
/** A lab's test over OVS's kernel datapath instead of its userspace. */
const overKernel = (file: string, env: Readonly<Record<string, string>>): Part =>
  testFile(file, [], { ...ovn, timeoutMs: 1_500_000,
    env: { ...ovn.env, OVN_XDP_OTHER_KERNEL: '1', OVN_XDP_DATAPATH: 'system', ...env } });

/** Those that take longest first, so that both machines are busy until the end. */
export const parts = {
  cost: counting(executed, node('../../perf/instructions/cost.guest.js'),
    { ...ovn, icount: true, timeoutMs: 1_500_000 }),
  conntrack: overKernel('../../daemon/conntrack.lab.test.js',
    { OVN_XDP_TRANSFERS: '4' }),
  differential: overKernel('../frames/differential.lab.test.js',
    // There OVS takes longer for a first packet than elsewhere is waited for silence.
    { OVN_XDP_ARENAS: '2', OVN_XDP_FRAMES: '128', OVN_XDP_SEED: '5', OVN_XDP_CALM: '8' }),
  sequences: overKernel('../sequences/sequences.lab.test.js', { OVN_XDP_SEQUENCES: '48' }),
  // What a kernel could do otherwise: how frames are read and written, maps, clocks, atomics.
  floor: testRuns('^lab/dataplane/(dataplane_(switch|tunnel|rewrite)|conntrack_states|cache|nat)'
    + '\\.root\\.'),
  offloads: guestTest('kernel_offloads.guest.js', '4', 'csum'),
  offloads6: guestTest('kernel_offloads.guest.js', '6', 'zero'),
  speed: guestTest('kernel_speed.guest.js'),
  datapath: guestTest('kernel_datapath.guest.js', '4', 'csum'),
  datapath_nic: guestTest('kernel_datapath.guest.js', '4', 'csum', 'nic'),
  datapath_zero: guestTest('kernel_datapath.guest.js', '4', 'zero'),
  datapath6: guestTest('kernel_datapath.guest.js', '6', 'zero'),
  datapath6_csum: guestTest('kernel_datapath.guest.js', '6', 'csum'),
  pktgen: guestTest('../../perf/pktgen/nic.guest.js'),
  loads: counting(verified, node('kernel_loads.guest.js'), { timeoutMs: 600_000 }),
} as const satisfies Readonly<Record<string, Part>>;
export type PartName = keyof typeof parts;
export const partNames = Object.keys(parts) as readonly PartName[];

/** What no other kernel would tell more of: tried where it is not named together with a kernel. */
const once: Partial<Record<PartName, readonly KernelName[]>> = {
  cost: ['6.1', '6.12'], differential: ['6.1', '6.12'], sequences: ['6.12'], conntrack: ['6.1'],
  datapath: ['6.1'], datapath_nic: ['6.12'], datapath_zero: ['newest'], datapath6: ['6.12'],
  datapath6_csum: ['newest'],
  offloads: ['6.1'], offloads6: ['6.12'], pktgen: ['6.1'], speed: ['6.1', '6.12'],
};

interface Job { readonly kernel: KernelName; readonly part: PartName }

/** In the order of the parts. */
export function jobsOf({ kernels, parts: wanted, everywhere }: Choice): Job[] {
  return partNames.filter((part) => wanted.includes(part)).flatMap((part) =>
    kernels.filter((kernel) => everywhere || once[part]?.includes(kernel) !== false)
      .map((kernel) => ({ kernel, part })));
}

/** Runs it; what throws has failed. */
async function outcomeOf({ kernel, part }: Job): Promise<Outcome> {
  const began = performance.now();
  return parts[part](kernel).catch((error: Error): Outcome => ({ passed: 0, failed: 1,
    seconds: (performance.now() - began) / 1000, notes: [error.message] }));
}

/** Machines at a time: each has one CPU. */
const machines = Math.min(2, availableParallelism());

/** By kernel what became of each part. */
type Outcomes = ReadonlyMap<KernelName, ReadonlyMap<PartName, Outcome>>;

/** Result and seconds, part by kernel. */
export const resultTable = (outcomes: Outcomes): string =>
  tableByKernel(new Map([...outcomes].map(([kernel, byPart]) => [kernel, new Map(
    [...byPart].map(([part, { failed, seconds }]) =>
      [part, `${failed === 0 ? 'ok' : 'FAILED'} ${seconds.toFixed(0)} s`]))])), 15);

/** Runs the parts on the kernels, two machines at a time; `say` gets lines for each part when it
 * has ended, and tables at the end. */
export async function runMatrix(choice: Choice, say: (line: string) => void):
  Promise<{ passed: number; failed: number }> {
  const began = performance.now(), jobs = jobsOf(choice);
  const outcomes = new Map(choice.kernels.map((kernel) =>
    [kernel, new Map<PartName, Outcome>()] as const));
  for (const kernel of choice.kernels) say(`Linux ${kernelImage(kernel).version} (${kernel})`);
  const worker = async (): Promise<void> => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
      const outcome = await outcomeOf(job);
      outcomes.get(job.kernel)!.set(job.part, outcome);
      say(`  ${outcome.failed === 0 ? 'ok    ' : 'FAILED'} ${job.kernel} ${job.part}: `
        + `${outcome.passed} passed, ${outcome.failed} failed (${outcome.seconds.toFixed(0)} s)`);
      for (const note of outcome.notes) say(note.replace(/^/gm, '    '));
    }
  };
  await Promise.all(Array.from({ length: machines }, worker));
  for (const part of choice.parts) {
    const counts = new Map([...outcomes].flatMap(([kernel, byPart]) => {
      const counted = byPart.get(part)?.instructions;
      return counted === undefined ? [] : [[kernel, counted] as const];
    }));
    if (counts.size > 0) say(`${part}\n${tableByKernel(counts)}`);
  }
  say(resultTable(outcomes));
  say(`${((performance.now() - began) / 60_000).toFixed(1)} minutes`);
  const all = [...outcomes.values()].flatMap((byPart) => [...byPart.values()]);
  return { passed: all.reduce((sum, { passed }) => sum + passed, 0),
    failed: all.reduce((sum, { failed }) => sum + failed, 0) };
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
