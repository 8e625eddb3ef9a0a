/**
 * Files that an emulated machine has in memory: opening one of the host's by 9p takes some
 * milliseconds, and a program that starts opens many. What is not among them is still there.
 */
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { packageRoot } from '../../base/package_root.js';
import { attempt, run } from '../exec.js';

/** Where the guest looks for programs: no wrappers that a user's own PATH may lead to. */
export const guestPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const programs = ['sh', 'bash', 'cat', 'rm', 'sleep', 'stat', 'timeout', 'which', 'taskset',
  'setpriv', 'nsenter', 'ip', 'tc', 'bridge', 'ethtool', 'sysctl', 'ping', 'ps', 'modprobe',
  'python3', 'tcpdump', 'iperf3', 'ovs-vswitchd', 'ovsdb-server', 'ovsdb-tool', 'ovs-vsctl',
  'ovs-appctl', 'ovn-nbctl', 'ovn-sbctl', 'ovn-northd', 'ovn-controller', 'ovn-appctl',
  'ovn-trace'];
const packages = ['uvu', 'dequal', 'kleur', 'diff', 'mri', 'prom-client', 'tdigest', 'bintrees'];

/** Of Python's library, and of ours. */
const unused = ['test', 'dist-packages', 'config-*', 'idlelib', 'lib2to3', 'pydoc_data',
  'ensurepip', 'distutils', 'tkinter', 'turtledemo', 'unittest', '*.opt-1.pyc', '*.opt-2.pyc'];

const found = (program: string): string[] =>
  attempt(['which', program], { env: { PATH: guestPath } })?.trimEnd().split('\n') ?? [];

/** Shared objects that a program is linked with, by the path that the loader opens. */
const libraries = (file: string): string[] =>
  [...(attempt(['ldd', file]) ?? '').matchAll(/(?:=> |^\t)(\/\S+)/gm)].map(([, path]) => path!);

/** With the folder's own name: `/lib` is a link, and a link of that name must stay one. */
const inItsFolder = (path: string): string => join(realpathSync(dirname(path)), basename(path));

/** Writes an archive of them, less the leading `/`. */
export function packFiles(archive: string): void {
  const executables = programs.flatMap(found);
  const addons = join(packageRoot, 'build/Release');
  // Node itself is one large file, opened once: it is left where it is.
  const linked = [process.execPath, ...executables, ...existsSync(addons) ? readdirSync(addons)
    .filter((name) => name.endsWith('.node')).map((name) => join(addons, name)) : []];
  const ours = ['package.json', 'dist', 'build/Release', 'build/bpf',
    ...packages.map((name) => join('node_modules', name))].map((name) => join(packageRoot, name));
  const python = run(['python3', '-c', 'import os; print(os.__file__)'],
    { env: { PATH: guestPath } }).trimEnd();
  const files = [...executables, ...linked.flatMap(libraries)].map(inItsFolder);
  run(['tar', '-chf', archive, '-C', '/', '--exclude=*.map', '--exclude=*.d.ts',
    ...unused.map((name) => `--exclude=${name}`), '--files-from=-'],
  { input: [...new Set([...files, ...ours, dirname(python)])].filter((path) => existsSync(path))
    .map((path) => path.slice(1)).join('\n') });
}
