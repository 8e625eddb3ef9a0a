import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type * as Native from '../../native/index.js';
import { Btf, type BtfType } from './btf.js';
import { mapTypes, nameOf, programTypes, type MapType, type ProgramType } from './kinds.js';
import { BpfMap, u32Bytes } from './map.js';
import { native } from './native.js';
import { BpfProgram } from './program.js';

export interface OpenOptions {
  /** Folder of a BPF file system for maps that declare `pinning`; default /sys/fs/bpf. */
  readonly pinPath?: string;
  /** Prefix of the names of data section maps; default: the file's name. */
  readonly name?: string;
}

export interface ProgramSpec {
  readonly name: string;
  readonly section: string;
  readonly type: ProgramType | `type ${number}`;
  readonly autoload: boolean;
  /** Before the verifier's rewriting. */
  readonly instructions: number;
}

export interface ProgramChanges {
  readonly type?: ProgramType;
  /** A value of `attachTypes`. */
  readonly attachType?: number;
  readonly autoload?: boolean;
  readonly flags?: number;
  /** Loads for that device only (hardware offload, XDP metadata with flags). */
  readonly ifindex?: number;
}

export interface ObjectMapSpec {
  readonly name: string;
  readonly type: MapType | `type ${number}`;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly pinPath: string | undefined;
  /** Types of key and value, when the program declares them. */
  readonly key: BtfType;
  readonly value: BtfType;
}

export interface MapChanges {
  readonly maxEntries?: number;
  readonly autocreate?: boolean;
  /** Take this map, which must have the same shape, instead of creating one. */
  readonly reuse?: BpfMap;
  /** For a map of maps: any map of its inner maps' shape; must stay open until load(). */
  readonly inner?: BpfMap;
  /** null: do not pin, whatever the object says. */
  readonly pinPath?: string | null;
  readonly ifindex?: number;
}

/** A global variable of the BPF program. */
export interface Variable {
  readonly name: string;
  readonly section: string;
  readonly size: number;
  readonly type: BtfType;
  get(): Uint8Array;
  /** Constants (`.rodata`) can be set before load() only; after it: EPERM. */
  set(value: Uint8Array | number | bigint | boolean): void;
}

/**
 * A compiled BPF object: open, adjust, load. Before load() nothing of it is in the kernel and
 * everything can be changed; after it, maps and programs can be taken out. What was taken out
 * lives on its own and is closed by whoever took it.
 */
export class BpfObject {
  readonly btf: Btf | undefined;
  readonly #native: Native.Object;
  #loaded = false;

  private constructor(made: Native.Object) {
    this.#native = made;
    const raw = made.btf();
    this.btf = raw === undefined ? undefined : new Btf(raw);
  }

  /** Reads an ELF file, or takes its bytes. */
  static open(source: string | Uint8Array, options: OpenOptions = {}): BpfObject {
    const elf = typeof source === 'string' ? readFileSync(source) : source;
    const name = options.name
      ?? (typeof source === 'string' ? basename(source).replace(/(\.bpf)?\.o$/, '') : 'object');
    return new BpfObject(new native.Object(elf, name, options.pinPath));
  }

  get programs(): ProgramSpec[] {
    return this.#native.programs().map(({ name, section, type, autoload, instructions }) =>
      ({ name, section, type: nameOf(programTypes, type), autoload, instructions }));
  }

  /** The maps that the program declares; data sections are variables. */
  get maps(): ObjectMapSpec[] {
    const typeOf = (id: number): BtfType => this.btf?.typeById(id) ?? { kind: 'void' };
    return this.#native.maps().filter((map) => !map.internal).map((map) => ({
      name: map.name, type: nameOf(mapTypes, map.type), keySize: map.keySize,
      valueSize: map.valueSize, maxEntries: map.maxEntries, flags: map.flags,
      pinPath: map.pinPath, key: typeOf(map.keyTypeId), value: typeOf(map.valueTypeId),
    }));
  }

  /** Before load(). ENOENT: no such program. */
  changeProgram(name: string, changes: ProgramChanges): void {
    const { type, ...others } = changes;
    this.#native.setProgram(name, {
      ...others, ...(type === undefined ? {} : { type: programTypes[type] }) });
  }

  /** Before load(). ENOENT: no such map. */
  changeMap(name: string, changes: MapChanges): void {
    const { reuse, inner, ...others } = changes;
    this.#native.setMap(name, {
      ...others,
      ...(reuse === undefined ? {} : { reuseFd: reuse.fd }),
      ...(inner === undefined ? {} : { innerFd: inner.fd }),
    });
  }

  /** Global variables of all data sections, by name. Undefined when the object has none such. */
  variable(name: string): Variable | undefined {
    for (const section of this.btf?.sections() ?? []) {
      const found = this.btf?.variables(section).find((each) => each.name === name);
      if (found === undefined || this.#initial(section) === undefined) continue;
      const { offset, size, type } = found;
      return {
        name, section, size, type,
        get: () => this.#readSection(section).slice(offset, offset + size),
        set: (value) => {
          const bytes = value instanceof Uint8Array ? value : scalarBytes(value, size);
          if (bytes.length !== size) {
            throw new RangeError(`${name} must have ${size} bytes, not ${bytes.length}`);
          }
          const all = this.#readSection(section);
          all.set(bytes, offset);
          this.#writeSection(section, all);
        },
      };
    }
    return undefined;
  }

  /**
   * Creates the maps and loads the programs. A program that the verifier refuses is a BpfError
   * (EACCES or EINVAL) whose message ends with the verifier's last words; `log` has all of them.
   * After a failure only close() is left.
   */
  load(): void {
    this.#native.load();
    this.#loaded = true;
  }

  map(name: string): BpfMap { return new BpfMap(this.#native.map(name)); }
  program(name: string): BpfProgram { return new BpfProgram(this.#native.program(name)); }
  close(): void { this.#native.close(); }
  [Symbol.dispose](): void { this.close(); }

  // Sections such as ".maps" and "license" are in the BTF too, but no map stands for them.
  #initial(section: string): Uint8Array | undefined {
    return section.startsWith('.') && section !== '.maps'
      ? this.#native.initialValue(section) : undefined;
  }

  #readSection(section: string): Uint8Array {
    if (!this.#loaded) return this.#initial(section) ?? new Uint8Array(0);
    using map = this.map(section);
    return map.lookup(u32Bytes(0)) ?? new Uint8Array(0);
  }

  #writeSection(section: string, value: Uint8Array): void {
    if (!this.#loaded) {
      this.#native.setInitialValue(section, value);
      return;
    }
    using map = this.map(section);
    map.update(u32Bytes(0), value);
  }
}

/** An integer or flag in host byte order. */
function scalarBytes(value: number | bigint | boolean, size: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, BigInt(value), true);
  if (![1, 2, 4, 8].includes(size)) throw new RangeError(`a variable of ${size} bytes needs bytes`);
  return bytes.subarray(0, size);
}
