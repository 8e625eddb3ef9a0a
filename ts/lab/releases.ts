/**
 * Other releases of OVN and OVS than the installed ones, from Debian's later suites: their
 * programs run with their own libraries, nothing is installed. A lab uses the release whose
 * `releaseEnvironment` its process was started with.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cached, privateApt, unpack, type Apt } from './debian.js';

/** Release of OVN -> the suite that has it. */
export const releaseSuites = { '25.03': 'trixie', newest: 'sid' } as const;
export type ReleaseName = keyof typeof releaseSuites;
export const releaseNames = Object.keys(releaseSuites) as readonly ReleaseName[];

const packages = ['ovn-common', 'ovn-central', 'ovn-host', 'openvswitch-common',
  'openvswitch-switch'];
const programs = ['ovsdb-server', 'ovsdb-tool', 'ovsdb-client', 'ovs-vswitchd', 'ovs-vsctl',
  'ovs-appctl', 'ovs-ofctl', 'ovs-dpctl', 'ovn-northd', 'ovn-controller', 'ovn-nbctl', 'ovn-sbctl',
  'ovn-appctl', 'ovn-trace'];
const programDirs = ['usr/bin', 'usr/sbin', 'usr/lib/openvswitch-switch'];
const library = 'usr/lib/x86_64-linux-gnu';

/** Folder with schemas of OVN and OVS: /usr/share, or a release's. */
export const packageData = process.env['OVN_XDP_PACKAGE_DATA'] ?? '/usr/share';

/** `roots` and the libraries they need; their other programs are the host's. */
function unpackWithLibraries(apt: Apt, dir: string, roots: readonly string[], into: string): void {
  const waiting = [...roots], seen = new Set(roots);
  for (let pkg = waiting.shift(); pkg !== undefined; pkg = waiting.shift()) {
    const depends = unpack(apt, dir, pkg, into);
    for (const [, name] of depends.matchAll(/(?:^|, )(lib[a-z0-9.+-]+)/g)) {
      if (name === undefined || seen.has(name)) continue;
      seen.add(name);
      waiting.push(name);
    }
  }
}

/** A program of the tree as a script in `dir` that starts it with the tree's own loader. */
function wrap(tree: string, name: string, dir: string): void {
  const place = programDirs.find((at) => existsSync(join(tree, at, name)));
  if (place === undefined) throw new Error(`no ${name} below ${tree}`);
  const libraries = join(tree, library);
  writeFileSync(join(dir, name), `#!/bin/sh
exec ${join(libraries, 'ld-linux-x86-64.so.2')} --library-path ${libraries} \\
  --argv0 ${name} ${join(tree, place, name)} "$@"
`, { mode: 0o755 });
}

function fetchRelease(suite: string, tree: string, dir: string): void {
  unpackWithLibraries(privateApt(dir, suite), dir, packages, tree);
  rmSync(join(tree, 'usr/share/doc'), { recursive: true, force: true });
}

/** What a process and its children need to use the release; downloads it if it is not there. */
export function releaseEnvironment(name: ReleaseName): Readonly<Record<string, string>> {
  const tree = cached(`ovn-${name}`,
    (work, apt) => { fetchRelease(releaseSuites[name], work, apt); });
  const bin = join(tree, 'release-bin');
  if (!existsSync(bin)) {
    mkdirSync(bin);
    for (const name of programs) wrap(tree, name, bin);
  }
  return { PATH: `${bin}:${process.env['PATH'] ?? ''}`,
    OVN_XDP_PACKAGE_DATA: join(tree, 'usr/share') };
}
