/**
 * The loaded programs and their pinned tables. Under the pin directory:
 *
 *   abi-<version>-<digest>/<map>, xdp_forward, xdp_trace    one set of tables
 *   links/<device>                                          one link per device
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
export const objectPath = join(process.env['OVN_XDP_BPF'] ?? join(packageRoot, 'build/bpf'),
  'xdp.bpf.o');
export const forwardProgram = 'xdp_forward';
export const traceProgram = 'xdp_trace';
const programNames = [forwardProgram, traceProgram] as const;

/** Maps that hold nothing beyond one packet. */
const isPinned = (map: string): boolean => map !== 'scratch' && !map.startsWith('.');

export interface Dataplane {
  readonly setDir: string;
  /** Whether the tables were there already. */
  readonly adopted: boolean;
  readonly maps: ReadonlyMap<string, BpfMap>;
  readonly forward: BpfProgram;
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
export function loadDataplane(pinDir: string, path = objectPath): Dataplane {
  if (!existsSync(path)) throw new Error(`no BPF object at ${path}: run "npm run build:native"`);
  const object = BpfObject.open(path);
  try {
    return load(object, pinDir);
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

function load(object: BpfObject, pinDir: string): Dataplane {
  checkLayouts(object);
  const setDir = join(pinDir, setName(object));
  mkdirSync(setDir, { recursive: true });
  const names = object.maps.map(({ name }) => name).filter(isPinned);
  const missing = names.filter((name) => !existsSync(join(setDir, name)));
  const maps = new Map<string, BpfMap>();
  for (const name of names) {
    if (missing.includes(name)) continue;
    const map = BpfMap.openPinned(join(setDir, name));
    object.changeMap(name, { reuse: map });
    maps.set(name, map);
  }
  object.load();
  for (const name of missing) {
    const map = object.map(name);
    map.pin(join(setDir, name));
    maps.set(name, map);
  }
  const [forward] = programNames.map((name) => {
    const program = object.program(name);
    unpin(join(setDir, name));
    program.pin(join(setDir, name));
    return program;
  });
  if (!forward) throw new Error(`dataplane: ${object.programs.length} programs`);
  const adopted = missing.length === 0;
  log('dataplane', 'INFO', `${adopted ? 'took over' : 'made'} the tables in ${setDir}`);
  return { setDir, adopted, maps, forward, close: () => {
    for (const map of maps.values()) map.close();
    forward.close();
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
  if (setDir === undefined || !existsSync(join(setDir, forwardProgram))) return undefined;
  const names = readdirSync(setDir).filter((name) => !programNames.some((one) => one === name));
  const maps = new Map(names.map((name) => [name, BpfMap.openPinned(join(setDir, name))]));
  const forward = BpfProgram.openPinned(join(setDir, forwardProgram));
  return { setDir, adopted: true, maps, forward, close: () => {
    for (const map of maps.values()) map.close();
    forward.close();
  } };
}
