/** Stock Debian kernels for kernel_vm.ts, made of packages that debian.ts unpacks. */
import { createHash } from 'node:crypto';
import {
  existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../base/package_root.js';
import { cached, cacheDir, privateApt, unpack } from '../debian.js';
import { attempt, run } from '../exec.js';

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

const initScript = join(packageRoot, 'ts/lab/kernels/kernel_vm.init.sh');
/** What reaches the host's root; depmod knows what these need. */
const initModules = ['virtio_pci', '9pnet_virtio', '9p', 'overlay'];

function busybox(): string {
  return join(cached('busybox', (tree, dir) => {
    unpack(privateApt(dir, 'bookworm'), dir, 'busybox-static', tree);
  }), 'bin/busybox');
}

function fetchKernel(suite: string, tree: string, dir: string): void {
  const apt = privateApt(dir, suite);
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
  const tree = cached(name, (work, apt) => { fetchKernel(kernelSuites[name], work, apt); });
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
