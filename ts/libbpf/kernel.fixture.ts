/** A network namespace and a BPF file system of a test's own. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../base/package_root.js';
import { BpfObject, ensureBpffs } from './mod.js';

const prefix = 'libbpf-ts-';
const netnsRoot = '/run/netns';
const run = (command: string, ...args: string[]): void => {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
};

/** For child processes whose output is compared: the runner asks for colours. */
export const plainEnv = { ...process.env, FORCE_COLOR: '0' };

export const objectPath = (name: string): string =>
  join(packageRoot, 'build/bpf', `${name}.bpf.o`);

/** test_basic.bpf.o, loaded. */
export function loadBasic(): BpfObject {
  const object = BpfObject.open(objectPath('test_basic'));
  object.load();
  return object;
}

/** What a killed test left: its process is in the names. */
function sweep(root: string, remove: (name: string) => void): void {
  if (!existsSync(root)) return;
  for (const name of readdirSync(root)) {
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) remove(name);
  }
}

const removeBpffs = (name: string): void => {
  run('umount', join('/run', name));
  rmdirSync(join('/run', name));
};
const removeNetns = (name: string): void => run('ip', 'netns', 'del', name);

let count = 0;
const fresh = (): string => {
  count += 1;
  return `${prefix}${process.pid}-${count}`;
};

/** Mounts a BPF file system; returns its path and how to remove it. */
export function makeBpffs(): { path: string; remove: () => void } {
  sweep('/run', removeBpffs);
  const name = fresh();
  mkdirSync(join('/run', name));
  ensureBpffs(join('/run', name));
  return { path: join('/run', name), remove: () => removeBpffs(name) };
}

/** A namespace with a veth pair "left" and "right", both up, without IPv6. */
export function makeNetns(): { name: string; path: string; remove: () => void } {
  sweep(netnsRoot, removeNetns);
  const name = fresh();
  run('ip', 'netns', 'add', name);
  const remove = (): void => removeNetns(name);
  try {
    const inside = (...args: string[]): void => run('nsenter', `--net=/run/netns/${name}`, ...args);
    inside('sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1');
    inside('ip', 'link', 'add', 'left', 'type', 'veth', 'peer', 'name', 'right');
    inside('ip', 'link', 'set', 'left', 'up');
    inside('ip', 'link', 'set', 'right', 'up');
  } catch (error) {
    remove();
    throw error;
  }
  return { name, path: join(netnsRoot, name), remove };
}

/** Waits up to two seconds for something to become true. */
export async function eventually(what: string, check: () => boolean): Promise<void> {
  for (let i = 0; i < 200; i += 1) {
    if (check()) return;
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
  throw new Error(`never happened: ${what}`);
}

/** 64 bytes of Ethernet with a broadcast destination; byte 14 is `mark`. */
export function frame(mark = 0): Uint8Array {
  const bytes = new Uint8Array(64);
  bytes.fill(0xff, 0, 6);
  bytes.set([2, 0, 0, 0, 0, 1, 0x88, 0xb5, mark], 6);
  return bytes;
}

/** Whether a BpfError of that code comes out of `call`. For assert.throws. */
export const hasCode = (code: string) => (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

/** uvu's throws() would take a class for a predicate and call it. */
export const isA = (kind: abstract new (...args: never[]) => Error) =>
  (error: unknown): boolean => error instanceof kind;
