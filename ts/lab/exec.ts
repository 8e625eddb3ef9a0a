/** Commands of the host, run to their end or started; each may sit in a network namespace. */
import { execFileSync, spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { existsSync } from 'node:fs';

export interface RunOptions {
  /** Name of a network namespace (a file in /run/netns). */
  readonly netns?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly timeoutMs?: number;
}

/**
 * `ip netns exec` would remount /sys and hide bpffs, so nsenter it is. The locale is fixed
 * because tests read the output of commands.
 */
export function inNetns(netns: string | undefined, argv: readonly string[]): readonly string[] {
  return netns === undefined ? argv : ['nsenter', `--net=/run/netns/${netns}`, ...argv];
}

/** Debian's own, where it is: what PATH leads to may be a wrapper that takes ten times as long. */
export const python3 = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';

function environment(extra: RunOptions['env']): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: 'C', ...extra };
}

export class CommandError extends Error {
  constructor(argv: readonly string[], why: string, readonly output: string) {
    super(`${argv.join(' ')}: ${why}\n${output.slice(-2000)}`);
    this.name = 'CommandError';
  }
}

interface Failure {
  status?: number | null; signal?: string | null; stdout?: string; stderr?: string;
}

/** Keeps this process on one CPU: each has a connection cache of its own. */
export function stayOnOneCpu(): void {
  run(['taskset', '-p', '-c', '0', `${process.pid}`]);
}

/** Runs to the end and returns standard output. Throws CommandError with both streams. */
export function run(argv: readonly string[], options: RunOptions = {}): string {
  const [program, ...args] = inNetns(options.netns, argv);
  try {
    return execFileSync(program as string, args, {
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'pipe'],
      input: options.input ?? '',
      timeout: (options.timeoutMs ?? 60_000) * patience,
      maxBuffer: 256 << 20,
      env: environment(options.env),
    });
  } catch (error) {
    const failure = error as Failure & Error;
    const why = failure.status === undefined || failure.status === null
      ? failure.signal ?? failure.message : `exit ${failure.status}`;
    throw new CommandError(argv, why, (failure.stdout ?? '') + (failure.stderr ?? ''));
  }
}

/** Like run(), but a failure is an answer: undefined. */
export function attempt(argv: readonly string[], options: RunOptions = {}): string | undefined {
  try {
    return run(argv, options);
  } catch (error) {
    if (error instanceof CommandError) return undefined;
    throw error;
  }
}

export interface Finished {
  readonly status: number; readonly stdout: string; readonly stderr: string;
}

export function start(
  argv: readonly string[], options: RunOptions & { readonly stdio?: StdioOptions } = {},
): ChildProcess {
  const [program, ...args] = inNetns(options.netns, argv);
  return spawn(program as string, args, {
    stdio: options.stdio ?? ['ignore', 'pipe', 'pipe'], env: environment(options.env),
  });
}

/** Runs beside the event loop, for traffic that several ends make at once. */
export function runAsync(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = start(argv, options);
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => { stdout += chunk.toString(); });
  child.stderr?.on('data', (chunk: Buffer) => { stderr += chunk.toString(); });
  const timer = setTimeout(() => child.kill('SIGKILL'),
    (options.timeoutMs ?? 60_000) * patience);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ status: code ?? 1, stdout, stderr });
    });
  });
}

export const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => { setTimeout(resolve, ms); });

/** How much slower than usual this machine is; kernel_matrix.ts says it of emulated ones. */
export const patience = Number(process.env['OVN_XDP_PATIENCE'] ?? 1);
/** The same for waits that are always waited out, to hear that nothing more comes. */
export const calm = Number(process.env['OVN_XDP_CALM'] ?? Math.min(patience, 3));

/** Asks until the answer is neither undefined nor false; throws naming `what` when time is up. */
export async function until<T>(
  what: string, timeoutMs: number, ask: () => T | Promise<T>,
): Promise<Exclude<T, undefined | false>> {
  const end = Date.now() + timeoutMs * patience;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer as Exclude<T, undefined | false>;
    if (Date.now() > end) throw new Error(`timed out after ${timeoutMs} ms waiting for ${what}`);
    await sleep(50 * calm);
  }
}
