/**
 * Stock Debian kernels for kernel_vm.ts: downloaded with an apt state of their own, unpacked
 * below ~/.cache/ovn-xdp (or $XDG_CACHE_HOME/ovn-xdp), never installed. A newer kernel of a
 * suite is taken when the kernel's folder there is removed.
 */
import { createHash } from 'node:crypto';
import {
  existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync,
  symlinkSync, writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../base/package_root.js';
import { attempt, run } from './exec.js';

/** Name of a kernel -> the suite whose linux-image-amd64 it is. */
export const kernelSuites = {
  '6.1': 'bookworm', '6.12': 'bookworm-backports', newest: 'sid',
} as const;
export type KernelName = keyof typeof kernelSuites;
export const kernelNames = Object.keys(kernelSuites) as readonly KernelName[];

export interface KernelImage {
  readonly name: KernelName;
  /** As `uname -r` says it. */
  readonly version: string;
  readonly vmlinuz: string;
  readonly initrd: string;
  /** Folder that is /lib/modules for this kernel. */
  readonly modules: string;
}

const cacheDir = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'ovn-xdp');
const initScript = join(packageRoot, 'ts/lab/kernel_vm.init.sh');
/** What reaches the host's root; depmod knows what these need. */
const initModules = ['virtio_pci', '9pnet_virtio', '9p', 'overlay'];
const downloadMs = 600_000;

/** The mirror of this machine's own apt, so that nothing else is contacted. */
function mirror(): string {
  const file = '/etc/apt/sources.list.d/debian.sources';
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  return /^URIs:\s*(\S+)/m.exec(text)?.[1] ?? 'http://deb.debian.org/debian';
}

/** apt with its state below `dir`. */
function privateApt(dir: string, suite: string): (...argv: readonly string[]) => string {
  for (const name of ['lists/partial', 'cache/archives/partial']) {
    mkdirSync(join(dir, name), { recursive: true });
  }
  const list = join(dir, 'sources.list');
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  writeFileSync(list, `deb [signed-by=${keyring}] ${mirror()} ${suite} main\n`);
  const settings = {
    'Dir::Etc::sourcelist': list, 'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State::lists': join(dir, 'lists'), 'Dir::Cache': join(dir, 'cache'),
    'APT::Sandbox::User': 'root', 'APT::Default-Release': '', 'Acquire::Languages': 'none',
  };
  const options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  return (program, ...args) => run(
    ['env', '-C', dir, program as string, '-qq', ...options, ...args], { timeoutMs: downloadMs });
}

/** Downloads `pkg`, unpacks it into `into`, and returns what it depends on. */
function unpack(apt: ReturnType<typeof privateApt>, dir: string, pkg: string, into: string):
  string {
  apt('apt-get', 'download', pkg);
  const file = readdirSync(dir).find((name) => name.startsWith(`${pkg}_`));
  if (file === undefined) throw new Error(`apt-get download ${pkg} left no file`);
  run(['dpkg-deb', '-x', join(dir, file), into], { timeoutMs: downloadMs });
  const depends = run(['dpkg-deb', '-f', join(dir, file), 'Depends']);
  rmSync(join(dir, file));
  return depends;
}

/** Runs `fill` on a folder of its own, which then becomes `dir`: two at once do no harm. */
function cached(dir: string, fill: (work: string, apt: string) => void): string {
  if (existsSync(dir)) return dir;
  mkdirSync(cacheDir, { recursive: true });
  const work = mkdtempSync(join(cacheDir, '.work-'));
  try {
    mkdirSync(join(work, 'tree'));
    fill(join(work, 'tree'), join(work, 'apt'));
    if (!existsSync(dir)) renameSync(join(work, 'tree'), dir);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return dir;
}

function busybox(): string {
  return join(cached(join(cacheDir, 'busybox'), (tree, dir) => {
    const apt = privateApt(dir, 'bookworm');
    apt('apt-get', 'update');
    unpack(apt, dir, 'busybox-static', tree);
  }), 'bin/busybox');
}

function fetchKernel(suite: string, tree: string, dir: string): void {
  const apt = privateApt(dir, suite);
  apt('apt-get', 'update');
  const meta = apt('apt-cache', 'show', '--no-all-versions', 'linux-image-amd64');
  const pkg = /^Depends:.*?(linux-image-[0-9][^ ,(]*)/m.exec(meta)?.[1];
  if (pkg === undefined) throw new Error(`${suite} has no linux-image-amd64`);
  // Since 7.0 the image is in parts: vmlinuz and the modules are packages of their own.
  const parts = unpack(apt, dir, pkg, tree)
    .matchAll(/linux-(?:base|binary|modules)-[0-9][^ ,(]*/g);
  for (const part of new Set([...parts].map(([name]) => name))) unpack(apt, dir, part, tree);
  if (!existsSync(join(tree, 'lib'))) symlinkSync('usr/lib', join(tree, 'lib'));
  rmSync(join(tree, 'usr/share'), { recursive: true, force: true });
  const version = versionOf(tree);
  run(['depmod', '-b', tree, version]);
  const vmlinuz = join(tree, 'boot', `vmlinuz-${version}`);
  if (existsSync(vmlinuz)) return;
  mkdirSync(join(tree, 'boot'), { recursive: true });
  linkSync(join(tree, 'lib/modules', version, 'vmlinuz'), vmlinuz);
}

function versionOf(tree: string): string {
  const [version] = readdirSync(join(tree, 'lib/modules'));
  if (version === undefined) throw new Error(`no modules below ${tree}`);
  return version;
}

const decompressors: Readonly<Record<string, readonly string[]>> = {
  xz: ['xz', '-dc'], zst: ['zstd', '-qdc'], gz: ['gzip', '-dc'], ko: ['cat'],
};

/** Packs busybox, the init script and the modules that reach the host's root. */
function makeInitrd(tree: string, version: string, initrd: string): void {
  const root = mkdtempSync(join(cacheDir, '.initrd-'));
  try {
    mkdirSync(join(root, 'bin'));
    mkdirSync(join(root, 'modules'));
    run(['cp', busybox(), join(root, 'bin/busybox')]);
    run(['install', '-m', '755', initScript, join(root, 'init')]);
    const files = initModules.flatMap((name) =>
      run(['modprobe', '-d', tree, '-S', version, '--show-depends', name]).split('\n'))
      .flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? []);
    for (const [i, file] of [...new Set(files)].entries()) {
      const name = `${String(i).padStart(3, '0')}.ko`;
      const how = decompressors[file.slice(file.lastIndexOf('.') + 1)] ?? ['cat'];
      run(['sh', '-c', '"$@" > "$0"', join(root, 'modules', name), ...how, file]);
    }
    run(['sh', '-c', 'cd "$0" && find . | cpio -o -H newc --quiet | gzip -1 > "$1"', root,
      `${initrd}.${process.pid}`]);
    renameSync(`${initrd}.${process.pid}`, initrd);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Whether a kernel can be run without a download. */
export const isCached = (name: KernelName): boolean => existsSync(join(cacheDir, name));

/** The kernel, downloaded if it is not there. Throws when the download fails. */
export function kernelImage(name: KernelName): KernelImage {
  const tree = cached(join(cacheDir, name),
    (work, apt) => { fetchKernel(kernelSuites[name], work, apt); });
  const version = versionOf(tree);
  const digest = createHash('sha256').update(readFileSync(initScript)).digest('hex').slice(0, 8);
  const initrd = join(tree, `initrd-${digest}.gz`);
  if (!existsSync(initrd)) makeInitrd(tree, version, initrd);
  return { name, version, initrd, vmlinuz: join(tree, 'boot', `vmlinuz-${version}`),
    modules: join(tree, 'lib/modules') };
}

/** What this machine lacks for emulated machines; undefined: nothing. */
export function lacksForVm(): string | undefined {
  const programs = ['qemu-system-x86_64', 'modprobe', 'depmod', 'cpio', 'dpkg-deb', 'apt-get'];
  const missing = programs.filter((name) => attempt(['which', name]) === undefined);
  return missing.length === 0 ? undefined : `not installed: ${missing.join(' ')}`;
}
