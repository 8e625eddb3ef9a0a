/**
 * What a lab leaves on the machine, and how it goes away again. Everything carries the lab's
 * id in its name, so that a lab can be removed by anybody who knows the id, and one whose
 * owner died (even by SIGKILL) is found and removed when the next lab starts.
 *
 *   /run/ovn-xdp-lab-<id>/            run directory; `owner` names the process that owns it
 *   /run/netns/ox-<id>-*              network namespaces; each process of the lab lives in one
 *   /sys/fs/bpf/ovn-xdp-<id>-*        pins of the agents
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attempt } from './exec.js';

const runRoot = '/run';
const runPrefix = 'ovn-xdp-lab-';
const netnsRoot = '/run/netns';
const bpffs = '/sys/fs/bpf';

export const runDirOf = (id: string): string => join(runRoot, runPrefix + id);
export const netnsPrefixOf = (id: string): string => `ox-${id}-`;
export const pinDirOf = (id: string, chassis: string): string =>
  join(bpffs, `ovn-xdp-${id}-${chassis}`);

/** Field 22 of /proc/PID/stat (proc(5)): with it a reused pid is not taken for the owner. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

const kept = 'kept';

/** Creates the run directory, owned by this process. */
export function createRunDir(id: string): string {
  const dir = runDirOf(id);
  mkdirSync(dir);
  writeFileSync(join(dir, 'owner'), `${process.pid} ${startTime(process.pid) ?? ''}\n`);
  return dir;
}

/** From now on the lab outlives its process: only removeLab() takes it away. */
export function keepLab(id: string): void {
  writeFileSync(join(runDirOf(id), 'owner'), `${kept}\n`);
}

function ownerIsGone(id: string): boolean {
  let owner: string;
  try {
    owner = readFileSync(join(runDirOf(id), 'owner'), 'utf8').trim();
  } catch {
    // Between mkdir and the owner's write a live lab looks like this: leave it alone.
    return false;
  }
  if (owner === kept || owner === '') return false;
  const [pid, time] = owner.split(' ');
  return startTime(Number(pid)) !== time;
}

function list(dir: string, prefix: string): string[] {
  return existsSync(dir) ? readdirSync(dir).filter((name) => name.startsWith(prefix)) : [];
}

/** Waits without the event loop, because a lab is also removed from exit handlers. */
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

export function processesIn(netns: string): number[] {
  return (attempt(['ip', 'netns', 'pids', netns]) ?? '').split('\n')
    .filter((line) => line !== '').map(Number).filter((pid) => pid !== process.pid);
}

function kill(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Already gone.
    }
  }
}

/**
 * Ends every process of the lab and removes all that carries its id. Idempotent. SIGKILL,
 * because nothing in a lab is worth an orderly end.
 */
export function removeLab(id: string): void {
  const namespaces = list(netnsRoot, netnsPrefixOf(id));
  for (let i = 0; i < 80; i += 1) {
    const living = namespaces.flatMap(processesIn);
    if (living.length === 0) break;
    kill(living);
    pause(25);
  }
  for (const name of namespaces) attempt(['ip', 'netns', 'del', name]);
  for (const name of list(bpffs, `ovn-xdp-${id}-`)) {
    rmSync(join(bpffs, name), { recursive: true, force: true });
  }
  rmSync(runDirOf(id), { recursive: true, force: true });
}

/** Removes labs whose owner no longer lives; labs of living owners are not touched. */
export function sweepStaleLabs(): string[] {
  const stale = list(runRoot, runPrefix).map((name) => name.slice(runPrefix.length))
    .filter(ownerIsGone);
  for (const id of stale) removeLab(id);
  return stale;
}

const mine = new Set<string>();
let watching = false;

/** Removes the lab when this process ends: normally, by exception or by a signal. */
export function removeAtExit(id: string): void {
  mine.add(id);
  if (watching) return;
  watching = true;
  process.on('exit', () => { for (const lab of mine) removeLab(lab); });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // exit() runs the handler above; 128 + n is the shell's convention for a signal.
    process.once(signal, () => process.exit(128 + ({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 })[signal]));
  }
}

export function forgetAtExit(id: string): void { mine.delete(id); }
