/**
 * The loaded programs and their pinned tables. Under the pin directory:
 *
 *   abi-<version>-<digest>/<map>, <program>    one set of tables, programs of both hooks
 *   links/<device>                             one link per device with XDP or tcx
 *   filters/<device>                           the program of a clsact filter, which is no link
 *
 * A set is named after the shapes of all its maps, so a new agent takes over exactly the
 * tables that it understands. Otherwise it makes a set of its own, fills it, and switches
 * link by link; only then the old set goes.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { layoutProblems } from '../abi/codec.js';
import { ABI_VERSION, structs } from '../abi/generated.js';
import { log } from '../base/log.js';
import { packageRoot } from '../base/package_root.js';
import { unpin } from '../libbpf/link.js';
import { BpfMap } from '../libbpf/map.js';
import { BpfObject } from '../libbpf/object.js';
import { BpfProgram } from '../libbpf/program.js';

/** OVN_XDP_BPF is for those who build the programs elsewhere. */
export const objectDir = process.env['OVN_XDP_BPF'] ?? join(packageRoot, 'build/bpf');

/** Where a program can sit: `<kind>.bpf.o` has the programs `<kind>_forward` and `_trace`. */
export const programKinds = ['xdp', 'tc'] as const;
export type ProgramKind = typeof programKinds[number];
export const forwardProgram = (kind: ProgramKind): string => `${kind}_forward`;
export const traceProgram = (kind: ProgramKind): string => `${kind}_trace`;
const isProgram = (name: string): boolean => programKinds.some((kind) =>
  name === forwardProgram(kind) || name === traceProgram(kind));

/** Maps that hold nothing beyond one packet. */
const isPinned = (map: string): boolean => map !== 'scratch' && !map.startsWith('.');

export interface Dataplane {
  readonly setDir: string;
  /** Whether the tables were there already. */
  readonly adopted: boolean;
  readonly maps: ReadonlyMap<string, BpfMap>;
  readonly forward: ReadonlyMap<ProgramKind, BpfProgram>;
  close(): void;
}

/** Name of the set of tables that `object` needs. */
export function setName(object: BpfObject): string {
  const shapes = object.maps.filter(({ name }) => isPinned(name)).map((map) =>
    [map.name, map.type, map.keySize, map.valueSize, map.maxEntries, map.flags].join())
    .sort().join('\n');
  const digest = createHash('sha256').update(shapes).digest('hex').slice(0, 8);
  return `abi-${ABI_VERSION}-${digest}`;
}

/** Loads the programs over the pinned tables, which are made if they are not there. Nothing
 * is attached. Throws BpfError, for instance when the pin directory is on no BPF file system. */
export function loadDataplane(pinDir: string, dir = objectDir): Dataplane {
  const objects: (readonly [ProgramKind, BpfObject])[] = [];
  try {
    for (const kind of programKinds) {
      const path = join(dir, `${kind}.bpf.o`);
      if (!existsSync(path)) {
        throw new Error(`no BPF object at ${path}: run "npm run build:native"`);
      }
      objects.push([kind, BpfObject.open(path)]);
    }
    return load(objects, pinDir);
  } finally {
    for (const [, object] of objects) object.close();
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
  const sets = objects.map(([, object]) => setName(object));
  const setDir = join(pinDir, sets[0]!);
  if (sets.some((name) => name !== sets[0])) throw new Error('the BPF objects are of two builds');
  mkdirSync(setDir, { recursive: true });
  const maps = new Map<string, BpfMap>();
  const forward = new Map<ProgramKind, BpfProgram>();
  let made = false;
  for (const [kind, object] of objects) {
    made = loadObject(object, setDir, maps) || made;
    forward.set(kind, pinProgram(object, forwardProgram(kind), setDir));
    pinProgram(object, traceProgram(kind), setDir).close();
  }
  log('dataplane', 'INFO', `${made ? 'made' : 'took over'} the tables in ${setDir}`);
  return opened(setDir, !made, maps, forward);
}

/** Adds to `maps`; whether any had to be made. */
function loadObject(object: BpfObject, setDir: string, maps: Map<string, BpfMap>): boolean {
  checkLayouts(object);
  const names = object.maps.map(({ name }) => name).filter(isPinned);
  const missing = names.filter((name) => !existsSync(join(setDir, name)));
  for (const name of names) {
    if (missing.includes(name)) continue;
    const map = maps.get(name) ?? BpfMap.openPinned(join(setDir, name));
    object.changeMap(name, { reuse: map });
    maps.set(name, map);
  }
  object.load();
  for (const name of missing) {
    const map = object.map(name);
    map.pin(join(setDir, name));
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

function opened(setDir: string, adopted: boolean, maps: Dataplane['maps'],
  forward: Dataplane['forward']): Dataplane {
  return { setDir, adopted, maps, forward, close: () => {
    for (const map of maps.values()) map.close();
    for (const program of forward.values()) program.close();
  } };
}

/** Sets of tables below `pinDir`, the given one left out. */
function otherSets(pinDir: string, keep?: string): string[] {
  if (!existsSync(pinDir)) return [];
  return readdirSync(pinDir).filter((name) => name.startsWith('abi-'))
    .map((name) => join(pinDir, name)).filter((dir) => dir !== keep);
}

export function removeSet(dir: string): void {
  for (const name of readdirSync(dir)) unpin(join(dir, name));
  rmdirSync(dir);
}

/** Removes tables that no program attached by us uses any more. */
export function removeOtherSets(pinDir: string, keep?: string): void {
  for (const dir of otherSets(pinDir, keep)) {
    log('dataplane', 'INFO', `removing the tables in ${dir}`);
    removeSet(dir);
  }
}

/** The set of a running or dead agent, for the CLI; undefined when nothing is pinned there. */
export function openSet(pinDir: string): Dataplane | undefined {
  const [setDir] = otherSets(pinDir);
  if (setDir === undefined) return undefined;
  const programOf = (kind: ProgramKind): string => join(setDir, forwardProgram(kind));
  if (!programKinds.every((kind) => existsSync(programOf(kind)))) return undefined;
  const names = readdirSync(setDir).filter((name) => !isProgram(name));
  const maps = new Map(names.map((name) => [name, BpfMap.openPinned(join(setDir, name))]));
  return opened(setDir, true, maps, new Map(programKinds.map((kind) =>
    [kind, BpfProgram.openPinned(programOf(kind))])));
}
