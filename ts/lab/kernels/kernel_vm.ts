/**
 * Runs a command on another kernel: qemu without KVM boots a stock Debian kernel over this
 * machine's own root, read-only below an overlay, so that the built project, node, OVN and OVS
 * run there unchanged. About 3 s until the command starts; 10 to 20 times slower than here.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { patience } from '../exec.js';
import { guestPath, packFiles } from './kernel_files.js';
import { kernelImage, type KernelImage, type KernelName } from './kernel_image.js';

export interface VmRun {
  /** Loaded before the command; one that the kernel does not have is named on the console. */
  readonly modules?: readonly string[];
  /** One, as a rule: emulated CPUs wait for each other where two machines share two cores. */
  readonly cpus?: number;
  readonly memoryMiB?: number;
  /** Multiplied by OVN_XDP_PATIENCE, as a lab's waits are. */
  readonly timeoutMs?: number;
  /** The command starts when the machine has been up for that long. */
  readonly uptimeS?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** One CPU, and a nanosecond of its clock is an instruction. */
  readonly icount?: boolean;
}

export interface VmResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The kernel's messages. */
  readonly console: string;
  readonly seconds: number;
}

/** OVS before 3.1.1 sees no CPU in the first 10 s of uptime, and with at most two CPUs then
 * loses every upcall for good (openvswitch commit b354cee2e). */
export const ovsUptimeS = 11;

const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

function commandScript(argv: readonly string[], env: Readonly<Record<string, string>>): string {
  const keep = Object.fromEntries(['HOME', 'OVN_XDP_BPF', 'XDG_CACHE_HOME']
    .flatMap((name) => process.env[name] === undefined ? [] : [[name, process.env[name]!]]));
  // Emulated, code that is compiled while it runs costs more than it saves: a third of the time.
  const node = { NODE_OPTIONS: '--jitless' };
  const exports = Object.entries({ LANG: 'C.UTF-8', PATH: guestPath, ...node, ...keep, ...env })
    .map(([name, value]) => `export ${name}=${quote(value)}\n`).join('');
  return `cd ${quote(process.cwd())}\n${exports}exec ${argv.map(quote).join(' ')}\n`;
}

function share(path: string, tag: string, readonly: boolean): string[] {
  return ['-virtfs', `local,path=${path},mount_tag=${tag},security_model=none,multidevs=remap`
    + (readonly ? ',readonly=on' : '')];
}

function qemuArgs(image: KernelImage, dir: string, options: VmRun): string[] {
  const { cpus = 1, memoryMiB = 3072, modules = [], uptimeS = 0, icount = false } = options;
  const accel = icount
    ? ['-accel', 'tcg,thread=single', '-icount', 'shift=0,sleep=on', '-smp', '1']
    : ['-accel', 'tcg,thread=multi', '-smp', `${cpus}`];
  return [...accel,
    // qemu executes `rep movsb` byte by byte; with these off the kernel copies in words.
    '-cpu', 'max,-erms,-fsrm', '-m', `${memoryMiB}`,
    '-display', 'none', '-nodefaults', '-no-reboot',
    '-kernel', image.vmlinuz, '-initrd', image.initrd,
    '-append', ['console=ttyS0', 'panic=-1', 'quiet', `ovn_xdp.modules=${image.modules}`,
      `ovn_xdp.load=${modules.join()}`, `ovn_xdp.uptime=${uptimeS}`].join(' '),
    '-serial', `file:${join(dir, 'console')}`,
    ...share('/', 'host', true), ...share(join(dir, 'shared'), 'shared', false)];
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

const tail = (text: string, lines: number): string =>
  text.trimEnd().split('\n').slice(-lines).join('\n');

async function ended(child: ChildProcess, timeoutMs: number): Promise<boolean> {
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).finally(() => { clearTimeout(timer); });
  return late;
}

const running = new Set<{ child: ChildProcess; dir: string }>();
function cleanUp(): void {
  for (const { child, dir } of running) {
    child.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  }
}
let watching = false;
function cleanUpAtExit(): void {
  if (watching) return;
  watching = true;
  process.on('exit', cleanUp);
  for (const [signal, number] of [['SIGHUP', 1], ['SIGINT', 2], ['SIGTERM', 15]] as const) {
    process.once(signal, () => process.exit(128 + number));
  }
}

/** The machine ended before its command began. */
class NoBoot extends Error {}

/**
 * Runs `argv` there, in this process's folder, and returns when the machine is gone again. A
 * failing command is an answer, not an error. Throws when the kernel cannot be had, when time
 * is up, and when the machine ended before the command did.
 */
export async function runInKernel(name: KernelName, argv: readonly string[], options: VmRun = {}):
  Promise<VmResult> {
  const image = kernelImage(name);
  try {
    return await boot(image, argv, options);
  } catch (error) {
    if (!(error instanceof NoBoot)) throw error;
    // Now and then an emulated CPU meets half of an instruction that another one patches.
    return boot(image, argv, options);
  }
}

async function boot(image: KernelImage, argv: readonly string[], options: VmRun):
  Promise<VmResult> {
  const timeoutMs = (options.timeoutMs ?? 300_000) * patience;
  const dir = mkdtempSync(join(tmpdir(), 'ovn-xdp-vm-'));
  const shared = join(dir, 'shared');
  mkdirSync(shared);
  writeFileSync(join(shared, 'command.sh'), commandScript(argv, options.env ?? {}));
  const began = performance.now();
  packFiles(join(shared, 'files.tar'));
  // With pdeathsig the machine ends with this process, even when that is killed.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64',
    ...qemuArgs(image, dir, options)], { stdio: ['ignore', 'ignore', 'pipe'] });
  const entry = { child, dir };
  running.add(entry);
  cleanUpAtExit();
  let qemu = '';
  child.stderr.on('data', (chunk: Buffer) => { qemu += chunk.toString(); });
  try {
    const late = await ended(child, timeoutMs);
    const [status, stdout, stderr] = ['status', 'stdout', 'stderr']
      .map((file) => read(join(shared, file))) as [string, string, string];
    const console = read(join(dir, 'console'));
    if (status === '') {
      const Why = late || existsSync(join(shared, 'stdout')) ? Error : NoBoot;
      throw new Why(`Linux ${image.version}: ${late ? `timed out after ${timeoutMs / 1000} s`
        : 'the machine ended before its command'}\n${tail(qemu + console, 20)}\n`
        + `${tail(stdout, 20)}\n${tail(stderr, 20)}`);
    }
    return { status: Number(status), stdout, stderr, console,
      seconds: (performance.now() - began) / 1000 };
  } finally {
    running.delete(entry);
    rmSync(dir, { recursive: true, force: true });
  }
}
