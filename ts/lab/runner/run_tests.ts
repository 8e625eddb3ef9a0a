/**
 * The runner behind `npm test`: floor by floor, one process a file, so that a crash is the
 * file's own. The last line of standard output is `N passed, N failed`.
 *
 * OVN_XDP_ALLOW_SKIP=1: a floor that cannot run on this machine is not a failure.
 * Arguments, if any, are patterns: only test files that match one of them run.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism, constants } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../../base/package_root.js';
import { attempt, patience } from '../exec.js';
import { parseTotals, type Totals } from './totals.js';

const buildDir = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

interface Floor {
  readonly name: string;
  readonly files: RegExp;
  readonly parallel: number;
  readonly timeoutMs: number;
  /** What the machine lacks for this floor; undefined: nothing. */
  readonly lacks: () => string | undefined;
}

const isRoot = (): string | undefined => process.getuid?.() === 0 ? undefined : 'not root';
const hasBpffs = (): string | undefined =>
  attempt(['stat', '-fc', '%T', '/sys/fs/bpf'])?.trim() === 'bpf_fs'
    ? undefined : 'no bpf file system on /sys/fs/bpf';
const has = (...programs: readonly string[]): string | undefined => {
  const missing = programs.filter((name) => attempt(['which', name]) === undefined);
  return missing.length === 0 ? undefined : `not installed: ${missing.join(' ')}`;
};

/** The dataplane's tests, but for those that keep all CPUs busy. */
const testRuns = /^lab\/dataplane\/(?!\w*(?:race|flood))\w+\.root\.test\.js$/;

/** A file belongs to the first whose pattern it has. */
const floors: readonly Floor[] = [
  {
    name: 'pure', files: /(?<!\.root|\.lab)\.test\.js$/, parallel: availableParallelism(),
    timeoutMs: 300_000, lacks: () => undefined,
  },
  {
    // Frames through tables of their own, and no device: one does not see the other.
    name: 'test runs', files: testRuns, parallel: availableParallelism(), timeoutMs: 600_000,
    lacks: () => isRoot() ?? hasBpffs(),
  },
  {
    name: 'root', files: /\.root\.test\.js$/, parallel: 1, timeoutMs: 300_000,
    lacks: () => isRoot() ?? hasBpffs() ?? has('ip', 'nsenter', 'ethtool'),
  },
  {
    name: 'lab', files: /\.lab\.test\.js$/, parallel: 1, timeoutMs: 900_000,
    lacks: () => isRoot() ?? hasBpffs() ?? has('ip', 'nsenter', 'ethtool', 'ovsdb-server',
      'ovs-vswitchd', 'ovn-northd', 'ovn-controller', 'ovn-trace', 'python3', 'ping'),
  },
];

/** Compiled tests whose source still exists, relative to the build folder. */
function testFiles(dir = buildDir): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) return testFiles(path);
    const file = relative(buildDir, path);
    const source = join(packageRoot, file.startsWith('perf/') ? '' : 'ts',
      file.replace(/\.js$/, '.ts'));
    return file.endsWith('.test.js') && existsSync(source) ? [file] : [];
  }).sort();
}

const running = new Set<ChildProcess>();
let ended = false;

/** Whoever ends the runner ends its tests: each has time to put its lab away. */
function endWith(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): void {
  ended = true;
  const gone = [...running].map((child) => new Promise((resolve) => {
    child.once('close', resolve);
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), 20_000).unref();
  }));
  void Promise.all(gone).then(() => { process.exit(128 + constants.signals[signal]); });
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => { endWith(signal); });
}

async function runFile(file: string, timeoutMs: number): Promise<Totals> {
  // Nothing begins after the end: endWith() exits.
  if (ended) await new Promise(() => undefined);
  const started = Date.now();
  const child = spawn(process.execPath, ['--enable-source-maps', join(buildDir, file)], {
    cwd: packageRoot, env: { ...process.env, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => { output += chunk.toString(); });
  }
  let late = false;
  // SIGTERM first: a lab goes away on it. A later SIGKILL is swept by the next lab.
  const timers = (['SIGTERM', 'SIGKILL'] as const).map((signal, i) => setTimeout(() => {
    late = true;
    child.kill(signal);
  }, timeoutMs + i * 20_000));
  const code = await new Promise<number | null>((resolve) => { child.once('close', resolve); });
  timers.forEach(clearTimeout);
  running.delete(child);
  const totals = parseTotals(output, code);
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  const name = file.replace(/\.js$/, '');
  console.log(`  ${totals.failed === 0 ? 'ok    ' : 'FAILED'} ${name}: ${totals.passed} passed, `
    + `${totals.failed} failed${totals.skipped > 0 ? `, ${totals.skipped} SKIPPED` : ''}`
    + ` (${seconds} s)`);
  const notes = [...output.matchAll(/^(?:SKIPPED|seed|#).*$/gm)].map(([line]) => line).join('\n');
  const shown = totals.failed > 0 ? output : notes;
  if (shown !== '') console.log(shown.replace(/^/gm, '    '));
  if (late) console.log(`    ended after ${timeoutMs / 1000} s`);
  return totals;
}

async function runFloor(floor: Floor, files: readonly string[]): Promise<Totals> {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  if (files.length === 0) return sum;
  const lacks = floor.lacks();
  if (lacks !== undefined) {
    console.log(`SKIPPED: floor ${floor.name}: ${lacks}`);
    return { ...sum, failed: process.env['OVN_XDP_ALLOW_SKIP'] === '1' ? 0 : files.length };
  }
  console.log(`floor ${floor.name}: ${files.length} files`);
  const waiting = [...files];
  const worker = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const totals = await runFile(file, floor.timeoutMs * patience);
      sum.passed += totals.passed;
      sum.failed += totals.failed;
      sum.skipped += totals.skipped;
    }
  };
  await Promise.all(Array.from({ length: floor.parallel }, worker));
  console.log(`floor ${floor.name}: ${sum.passed} passed, ${sum.failed} failed`);
  return sum;
}

const wanted = process.argv.slice(2).map((pattern) => new RegExp(pattern));
const files = testFiles()
  .filter((file) => wanted.length === 0 || wanted.some((pattern) => pattern.test(file)));
const results: Totals[] = [];
for (const floor of floors) {
  results.push(await runFloor(floor, files.filter((file) =>
    floors.find((one) => one.files.test(file)) === floor)));
}
const passed = results.reduce((sum, totals) => sum + totals.passed, 0);
// No test at all is a build that went wrong, not a success.
const failed = results.reduce((sum, totals) => sum + totals.failed, 0) + (passed === 0 ? 1 : 0);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
