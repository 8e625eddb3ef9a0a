/**
 * Packages of Debian's suites, unpacked below ~/.cache/ovn-xdp (or $XDG_CACHE_HOME/ovn-xdp) with
 * an apt state of their own; nothing is installed. What a folder there holds is taken anew when
 * the folder is removed.
 */
import {
  existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run } from './exec.js';

export const cacheDir =
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'ovn-xdp');
const downloadMs = 600_000;

/** The mirror of this machine's own apt, so that nothing else is contacted. */
function mirror(): string {
  const file = '/etc/apt/sources.list.d/debian.sources';
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  return /^URIs:\s*(\S+)/m.exec(text)?.[1] ?? 'http://deb.debian.org/debian';
}

/** Runs apt's programs with their state below `dir`. */
export type Apt = (...argv: readonly string[]) => string;

/** apt for one suite, its lists read. */
export function privateApt(dir: string, suite: string): Apt {
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
  const apt: Apt = (program, ...args) => run(
    ['env', '-C', dir, program as string, '-qq', ...options, ...args], { timeoutMs: downloadMs });
  apt('apt-get', 'update');
  return apt;
}

/** Downloads `pkg`, unpacks it into `into`, and returns what it depends on. */
export function unpack(apt: Apt, dir: string, pkg: string, into: string): string {
  apt('apt-get', 'download', pkg);
  const file = readdirSync(dir).find((name) => name.startsWith(`${pkg}_`));
  if (file === undefined) throw new Error(`apt-get download ${pkg} left no file`);
  run(['dpkg-deb', '-x', join(dir, file), into], { timeoutMs: downloadMs });
  const depends = run(['dpkg-deb', '-f', join(dir, file), 'Depends']);
  rmSync(join(dir, file));
  return depends;
}

/**
 * The folder `name` of the cache; when it is not there, `fill` makes it in a folder of its own,
 * which then takes its place: two at once do no harm. `apt` is a folder for privateApt().
 */
export function cached(name: string, fill: (tree: string, apt: string) => void): string {
  const dir = join(cacheDir, name);
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
