/**
 * The BPF object of a hook, loaded. That takes a second, nearly all of it in the verifier, and to
 * empty the maps some milliseconds: so the tests of a file take turns with it.
 */
import { join } from 'node:path';
import { packageRoot } from '../../base/package_root.js';
import { BpfObject, mapFlags, type BpfMap, type BpfProgram } from '../../libbpf/mod.js';

/** Which object is under test: dataplane_tc.root.test.ts runs the others' tests again. */
export const hook = process.env['OVN_XDP_HOOK'] ?? 'xdp';

const arrays: ReadonlySet<string> = new Set(['array', 'percpu_array']);
/** What is in a ring stays there, so who asks for one of these has the object alone. */
const lasting = ['held', 'holding'] as const;
/** The agent's alone, by another kind of update. */
const untouched: ReadonlySet<string> = new Set(['ringbuf', 'array_of_maps']);
const CHUNK = 4096;

/** Objects that nobody has, by the sizes of their maps. */
const idle = new Map<string, Loaded[]>();

export class Loaded {
  readonly forward: BpfProgram;
  readonly tracer: BpfProgram;
  /** Those that were asked for. */
  readonly #maps = new Map<string, BpfMap>();
  #taken = true;

  private constructor(private readonly object: BpfObject, private readonly sizes: string) {
    this.forward = object.program(`${hook}_forward`);
    this.tracer = object.program(`${hook}_trace`);
  }

  /** Of build/bpf, or the folder that OVN_XDP_BPF names, with maps of these sizes, which are as
   * they are after a load. */
  static take(sizes: Readonly<Record<string, number>>): Loaded {
    const folder = process.env['OVN_XDP_BPF'] ?? join(packageRoot, 'build/bpf');
    const path = join(folder, `${hook}.bpf.o`), name = `${path} ${JSON.stringify(sizes)}`;
    const known = idle.get(name)?.pop();
    if (known) {
      known.#taken = true;
      return known;
    }
    const object = BpfObject.open(path);
    for (const [map, maxEntries] of Object.entries(sizes)) object.changeMap(map, { maxEntries });
    object.load();
    return new Loaded(object, name);
  }

  program(name: string): BpfProgram { return this.object.program(name); }

  map(name: string): BpfMap {
    const map = this.#maps.get(name) ?? this.object.map(name);
    this.#maps.set(name, map);
    return map;
  }

  giveBack(): void {
    if (!this.#taken) return;
    this.#taken = false;
    if (lasting.some((name) => this.#maps.has(name))) return this.#close();
    for (const { name, type, flags } of this.object.maps) {
      const written = this.#maps.has(name) || (flags & mapFlags.readOnlyProgram) === 0;
      if (written && !untouched.has(type)) empty(this.map(name));
    }
    const others = idle.get(this.sizes) ?? [];
    idle.set(this.sizes, [...others, this]);
  }

  #close(): void {
    for (const map of this.#maps.values()) map.close();
    this.forward.close();
    this.tracer.close();
    this.object.close();
  }
}

function empty(map: BpfMap): void {
  const { type, keySize, userValueSize, maxEntries } = map.info;
  if (!arrays.has(type)) {
    for (const key of [...map.keys()]) map.delete(key);
    return;
  }
  for (let from = 0; from < maxEntries; from += CHUNK) {
    const count = Math.min(CHUNK, maxEntries - from);
    const keys = Uint32Array.from({ length: count }, (_, i) => from + i);
    map.updateBatch(new Uint8Array(keys.buffer, 0, count * keySize),
      new Uint8Array(count * userValueSize), count);
  }
}
