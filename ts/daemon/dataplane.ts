/**
 * The loaded programs and their pinned tables. Under the pin directory:
 *
 *   abi-<version>-<digest>/<map>, <program>    one set of tables, the program of each hook
 *   ct-<version>-<digest>/<map>                connections, which outlive a set of tables
 *   links/<device>                             one link per device with XDP or tcx
 *   filters/<device>                           the program of a clsact filter, which is no link
 *   qdiscs/<device>                            the same, where the clsact qdisc is ours, too
 *
 * A set is named after the shapes of all its maps, so a new agent takes over exactly the
 * tables that it understands. Otherwise it makes a set of its own, fills it, and switches
 * link by link; only then the old set goes. Connections are kept across that as long as
 * their own maps have the same shapes.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';
import { layoutProblems } from '../abi/codec.js';
import { ABI_VERSION, structs } from '../abi/generated.js';
import { log } from '../base/log.js';
import { packageRoot } from '../base/package_root.js';
import { unpin } from '../libbpf/link.js';
import { BpfMap } from '../libbpf/map.js';
import { BpfObject } from '../libbpf/object.js';
import { possibleCpus } from '../libbpf/probe.js';
import { BpfProgram } from '../libbpf/program.js';

/** OVN_XDP_BPF is for those who build the programs elsewhere. */
export const objectDir = process.env['OVN_XDP_BPF'] ?? join(packageRoot, 'build/bpf');

/** Where a program can sit: `<kind>.bpf.o` has the programs `<kind>_forward` and `_trace`. */
export const programKinds = ['xdp', 'tc'] as const;
export type ProgramKind = typeof programKinds[number];
export const forwardProgram = (kind: ProgramKind): string => `${kind}_forward`;
export const traceProgram = (kind: ProgramKind): string => `${kind}_trace`;
/** Programs of user space itself, about connections and for frames that were held. */
export const ctPrograms = ['ct_collect', 'ct_expire', 'hand_in'] as const;
export type CtProgram = typeof ctPrograms[number];
/** Also of tables that an earlier build made, which pinned programs that trace. */
const isProgram = (name: string): boolean => ctPrograms.some((program) => program === name) ||
  programKinds.some((kind) => name === forwardProgram(kind) || name === traceProgram(kind));

/** Maps that hold nothing beyond one packet. */
export const isPinned = (map: string): boolean => map !== 'scratch' && !map.startsWith('.');

/** Bumped when these maps mean something else in the same shape. */
const connectionsVersion = 1;
const connectionMaps: ReadonlySet<string> = new Set(['conns', 'conn_count', 'foreign',
  'ct_control', 'ct_stats', 'ct_versions', 'nat_pools', 'zone_owners', 'zone_twins']);

/** Folders of one set, and of the connections. */
interface Folders { readonly setDir: string; readonly ctDir: string }
const pathOf = ({ setDir, ctDir }: Folders, map: string): string =>
  join(connectionMaps.has(map) ? ctDir : setDir, map);

export interface Dataplane extends Folders {
  /** Whether the tables were there already. */
  readonly adopted: boolean;
  readonly maps: ReadonlyMap<string, BpfMap>;
  readonly forward: ReadonlyMap<ProgramKind, BpfProgram>;
  readonly ct: ReadonlyMap<CtProgram, BpfProgram>;
  close(): void;
}
export interface LoadOptions {
  /** Folder of the BPF objects. */
  readonly dir?: string | undefined;
  /** Entries of `conns`, if it has to be made. */
  readonly connections?: number | undefined;
  /** Sets of `cache` for each CPU; its size in entries is four times that. */
  readonly cacheSets?: number | undefined;
}

const digestOf = (shapes: readonly (readonly unknown[])[]): string => createHash('sha256')
  .update(shapes.map((shape) => shape.join()).sort().join('\n')).digest('hex').slice(0, 8);

/** Names of the set of tables that `object` needs, and of the set of connections, whose sizes
 * are free. */
export function setNames(object: BpfObject): { readonly tables: string; readonly ct: string } {
  const maps = object.maps.filter(({ name }) => isPinned(name));
  const tables = maps.filter(({ name }) => !connectionMaps.has(name)).map((map) =>
    [map.name, map.type, map.keySize, map.valueSize, map.maxEntries, map.flags]);
  const ct = maps.filter(({ name }) => connectionMaps.has(name)).map((map) =>
    [map.name, map.type, map.keySize, map.valueSize, map.flags]);
  return { tables: `abi-${ABI_VERSION}-${digestOf(tables)}`,
    ct: `ct-${connectionsVersion}-${digestOf(ct)}` };
}

/** Sets of the connection cache for each of `count` CPUs: a quarter million together, at 848
 * bytes each, but no fewer than 2048 and no more than 32768. */
export const setsForCpus = (count: number): number =>
  Math.max(2048, Math.min(32768, Math.floor(262_144 / count)));

/** Loads the programs over the pinned tables, which are made if they are not there. Nothing
 * is attached. Throws BpfError, for instance when the pin directory is on no BPF file system. */
export function loadDataplane(pinDir: string,
  { dir = objectDir, connections, cacheSets = setsForCpus(cpus().length) }: LoadOptions = {}):
  Dataplane {
  const objects: (readonly [ProgramKind, BpfObject])[] = [];
  try {
    for (const kind of programKinds) objects.push([kind, openObject(kind, dir)]);
    for (const [i, [kind, object]] of objects.entries()) {
      // Half of what the verifier has to do; see loadTracer(). Those of user space are in both.
      const unused = [traceProgram(kind), ...i > 0 ? ctPrograms : []];
      for (const name of unused) object.changeProgram(name, { autoload: false });
      object.changeMap('cache', { maxEntries: Math.max(1, cacheSets * possibleCpus()) });
      if (connections !== undefined) object.changeMap('conns', { maxEntries: connections });
    }
    return load(objects, pinDir);
  } finally {
    for (const [, object] of objects) object.close();
  }
}

function openObject(kind: ProgramKind, dir: string): BpfObject {
  const path = join(dir, `${kind}.bpf.o`);
  if (!existsSync(path)) throw new Error(`no BPF object at ${path}: run "npm run build:native"`);
  return BpfObject.open(path);
}

/** The program that walks a frame and says how, over the tables of `set`. It is loaded when
 * somebody asks. Throws when the tables are of another build. */
export function loadTracer({ setDir, ctDir, maps }: Pick<Dataplane, 'maps' | keyof Folders>,
  kind: ProgramKind, dir = objectDir): BpfProgram {
  const object = openObject(kind, dir), cache = maps.get('cache');
  try {
    if (cache) object.changeMap('cache', { maxEntries: cache.info.maxEntries });
    const { tables, ct } = setNames(object);
    if (tables !== basename(setDir) || ct !== basename(ctDir)) {
      throw new Error(`the tables in ${setDir} are of another build of ovn-xdp: trace with that`);
    }
    for (const { name } of object.programs) {
      object.changeProgram(name, { autoload: name === traceProgram(kind) });
    }
    for (const { name } of object.maps) {
      const reuse = maps.get(name);
      if (reuse) object.changeMap(name, { reuse });
    }
    object.load();
    return object.program(traceProgram(kind));
  } finally {
    object.close();
  }
}

/** The object and this build must agree on every structure, or maps would be misread. */
function checkLayouts(object: BpfObject): void {
  const problems = layoutProblems(structs, (name) => {
    const found = object.btf?.type(name);
    return found?.kind === 'struct' ? found : undefined;
  });
  if (problems.length === 0) return;
  throw new Error('the BPF object is of another build (npm run build makes both): ' +
    problems.join('; '));
}

/** Both objects have the same tables: what the first makes, the second uses. */
function load(objects: readonly (readonly [ProgramKind, BpfObject])[], pinDir: string):
  Dataplane {
  const [names, ...others] = objects.map(([, object]) => setNames(object));
  if (!names || others.some(({ tables, ct }) => tables !== names.tables || ct !== names.ct)) {
    throw new Error('the BPF objects are of two builds');
  }
  const folders = { setDir: join(pinDir, names.tables), ctDir: join(pinDir, names.ct) };
  for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true });
  const maps = new Map<string, BpfMap>();
  const forward = new Map<ProgramKind, BpfProgram>();
  const ct = new Map<CtProgram, BpfProgram>();
  let made = false;
  for (const [kind, object] of objects) {
    made = loadObject(object, folders, maps) || made;
    forward.set(kind, pinProgram(object, forwardProgram(kind), folders.setDir));
    if (ct.size > 0) continue;
    for (const name of ctPrograms) ct.set(name, pinProgram(object, name, folders.setDir));
  }
  log('dataplane', 'INFO', `${made ? 'made' : 'took over'} the tables in ${folders.setDir}`);
  return opened(folders, !made, maps, { forward, ct });
}

/** Adds to `maps`; whether any had to be made. */
function loadObject(object: BpfObject, folders: Folders, maps: Map<string, BpfMap>): boolean {
  checkLayouts(object);
  const names = object.maps.map(({ name }) => name).filter(isPinned);
  const missing = names.filter((name) => !existsSync(pathOf(folders, name)));
  for (const name of names) {
    if (missing.includes(name)) continue;
    const map = maps.get(name) ?? BpfMap.openPinned(pathOf(folders, name));
    object.changeMap(name, { reuse: map });
    maps.set(name, map);
  }
  object.load();
  for (const name of missing) {
    const map = object.map(name);
    map.pin(pathOf(folders, name));
    maps.set(name, map);
  }
  return missing.length > 0;
}

function pinProgram(object: BpfObject, name: string, setDir: string): BpfProgram {
  const program = object.program(name);
  unpin(join(setDir, name));
  program.pin(join(setDir, name));
  return program;
}

function opened(folders: Folders, adopted: boolean, maps: Dataplane['maps'],
  programs: Pick<Dataplane, 'forward' | 'ct'>): Dataplane {
  return { ...folders, adopted, maps, ...programs, close: () => {
    for (const map of maps.values()) map.close();
    for (const program of [...programs.forward.values(), ...programs.ct.values()]) program.close();
  } };
}

/** Folders below `pinDir` with that beginning. */
function foldersOf(pinDir: string, prefix: 'abi-' | 'ct-'): string[] {
  if (!existsSync(pinDir)) return [];
  return readdirSync(pinDir).filter((name) => name.startsWith(prefix))
    .map((name) => join(pinDir, name));
}

export function removeSet(dir: string): void {
  for (const name of readdirSync(dir)) unpin(join(dir, name));
  rmdirSync(dir);
}

/** Removes tables and connections that no program attached by us uses any more: all but those
 * of `keep`. */
export function removeOtherSets(pinDir: string, keep?: Folders): void {
  const ours = new Set(keep ? [keep.setDir, keep.ctDir] : []);
  for (const prefix of ['abi-', 'ct-'] as const) {
    for (const dir of foldersOf(pinDir, prefix)) {
      if (ours.has(dir)) continue;
      log('dataplane', 'INFO', `removing the tables in ${dir}`);
      removeSet(dir);
    }
  }
}

/** The set of a running or dead agent, for the CLI; undefined when nothing is pinned there. */
export function openSet(pinDir: string): Dataplane | undefined {
  const [setDir] = foldersOf(pinDir, 'abi-');
  const [ctDir] = foldersOf(pinDir, 'ct-');
  if (setDir === undefined || ctDir === undefined) return undefined;
  const programOf = (name: string): string => join(setDir, name);
  if (!programKinds.every((kind) => existsSync(programOf(forwardProgram(kind))))) return undefined;
  const paths = [setDir, ctDir].flatMap((dir) => readdirSync(dir)
    .filter((name) => !isProgram(name)).map((name) => [name, join(dir, name)] as const));
  const open = <T extends string>(names: readonly T[], file: (name: T) => string):
    Map<T, BpfProgram> =>
    new Map(names.filter((name) => existsSync(programOf(file(name))))
      .map((name) => [name, BpfProgram.openPinned(programOf(file(name)))]));
  return opened({ setDir, ctDir }, true,
    new Map(paths.map(([name, path]) => [name, BpfMap.openPinned(path)])),
    { forward: open(programKinds, forwardProgram), ct: open(ctPrograms, (name) => name) });
}
