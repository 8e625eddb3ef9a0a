import type * as Native from '../../native/index.js';
import { BpfError } from './error.js';
import { mapTypes, nameOf, type MapType } from './kinds.js';
import { native } from './native.js';

const ENOSPC = 28;
const E2BIG = 7;

export interface MapSpec {
  readonly type: MapType;
  /** At most 15 bytes of letters, digits, "_" and ".". */
  readonly name?: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** Of `mapFlags`. */
  readonly flags?: number;
  /** For maps of maps: any map of the inner maps' shape. */
  readonly inner?: BpfMap;
}

export interface MapInfo {
  readonly name: string;
  readonly id: number;
  readonly type: MapType | `type ${number}`;
  readonly keySize: number;
  /** Of one value on one CPU. */
  readonly valueSize: number;
  /** Of what `lookup` gives and `update` takes: on per-CPU maps, every possible CPU's value,
   * each at the next multiple of 8 bytes. */
  readonly userValueSize: number;
  readonly perCpu: boolean;
  readonly maxEntries: number;
  readonly flags: number;
}

/** One batch of entries: `count` keys and values, one after the other. */
export interface Batch {
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
  readonly count: number;
}

/**
 * A loaded map. Keys and values are bytes whose lengths must be those in `info`, else a
 * RangeError is thrown before the kernel is asked. Errors of the kernel are BpfError.
 * Values of a map of maps are descriptors when written and map ids when read (4 bytes).
 */
export class BpfMap {
  readonly info: MapInfo;
  readonly #native: Native.Map;

  /** @internal */
  constructor(made: Native.Map) {
    this.#native = made;
    this.info = { ...made.info, type: nameOf(mapTypes, made.info.type) };
  }

  static create(spec: MapSpec): BpfMap {
    return new BpfMap(native.createMap(mapTypes[spec.type], spec.name ?? '', spec.keySize,
      spec.valueSize, spec.maxEntries, spec.flags ?? 0, spec.inner?.fd));
  }

  static openPinned(path: string): BpfMap { return new BpfMap(native.openPinned(path, 'map')); }
  static fromId(id: number): BpfMap { return new BpfMap(native.mapById(id)); }

  /** Valid until close(). */
  get fd(): number { return this.#native.fd; }

  lookup(key: Uint8Array, flags?: number | bigint): Uint8Array | undefined {
    return this.#native.lookup(key, flags);
  }

  /** Hash maps, queues and stacks. */
  lookupAndDelete(key: Uint8Array): Uint8Array | undefined {
    return this.#native.lookupAndDelete(key);
  }

  /** `flags`: of `updateFlags`; EEXIST and ENOENT answer noExist and exist. */
  update(key: Uint8Array, value: Uint8Array, flags?: number | bigint): void {
    this.#native.update(key, value, flags);
  }

  /** Sets the inner map at `key` of a map of maps. Returns after an RCU grace period: programs
   * that still use the old inner map have ended. */
  setInner(key: Uint8Array, inner: BpfMap): void {
    this.#native.update(key, u32Bytes(inner.fd));
  }

  /** Opens the inner map at `key`; the caller closes it. */
  openInner(key: Uint8Array): BpfMap | undefined {
    const id = this.#native.lookup(key);
    return id === undefined ? undefined : BpfMap.fromId(new Uint32Array(id.slice().buffer)[0]!);
  }

  /** False: there was no such key. */
  delete(key: Uint8Array): boolean { return this.#native.delete(key); }

  /** The key after `key`, or the first. Hash maps start again when `key` is gone: to walk a
   * map that changes, use entries(). */
  nextKey(key?: Uint8Array): Uint8Array | undefined { return this.#native.nextKey(key); }

  /**
   * Up to `count` entries after `cursor`, which remembers the place. `done` comes with the last
   * batch. ENOSPC: a hash bucket holds more than `count` entries; ask for more.
   */
  lookupBatch(cursor: MapCursor, count: number, remove = false): Batch & { done: boolean } {
    const keys = new Uint8Array(count * this.info.keySize);
    const values = new Uint8Array(count * this.info.userValueSize);
    const got = this.#native.lookupBatch(
      cursor.place, cursor.first, keys, values, count, remove);
    cursor.first = false;
    return {
      keys: keys.subarray(0, got.count * this.info.keySize),
      values: values.subarray(0, got.count * this.info.userValueSize),
      ...got,
    };
  }

  /** Writes `count` entries; the message of a failure says how many were written before it.
   * The only flag that kernels take here is BPF_F_LOCK. */
  updateBatch(keys: Uint8Array, values: Uint8Array, count: number, flags?: number | bigint): void {
    this.#native.updateBatch(keys, values, count, flags);
  }

  /** How many were deleted: fewer than `count` when an absent key stopped it. */
  deleteBatch(keys: Uint8Array, count: number): number {
    return this.#native.deleteBatch(keys, count);
  }

  cursor(): MapCursor {
    return { first: true, place: new Uint8Array(Math.max(4, this.info.keySize)) };
  }

  /**
   * Every entry that is in the map from the beginning of the walk to its end, once; what is
   * added or deleted meanwhile may or may not appear. `chunk` entries are read at a time.
   */
  *entries(chunk = 256): IterableIterator<[key: Uint8Array, value: Uint8Array]> {
    const { keySize, userValueSize } = this.info;
    const cursor = this.cursor();
    for (let size = Math.min(chunk, Math.max(1, this.info.maxEntries)); ;) {
      let batch;
      try {
        batch = this.lookupBatch(cursor, size);
      } catch (error) {
        if (!(error instanceof BpfError)) throw error;
        if (error.errno === ENOSPC) { size *= 2; continue; }
        if (cursor.first && ['ENOTSUPP', 'EINVAL', 'EOPNOTSUPP'].includes(error.code)) {
          yield* this.#entriesByKey();
          return;
        }
        throw error;
      }
      for (let i = 0; i < batch.count; i += 1) {
        yield [batch.keys.subarray(i * keySize, (i + 1) * keySize),
          batch.values.subarray(i * userValueSize, (i + 1) * userValueSize)];
      }
      if (batch.done) return;
    }
  }

  *keys(): IterableIterator<Uint8Array> { for (const [key] of this.entries()) yield key; }

  /** For map types without batches: all keys first, without a pause in which this thread could
   * change the map, then the values that are still there. */
  *#entriesByKey(): IterableIterator<[Uint8Array, Uint8Array]> {
    const keys: Uint8Array[] = [];
    for (let key = this.nextKey(); key !== undefined; key = this.nextKey(key)) {
      keys.push(key);
      // Another process deletes faster than we walk: each restart visits the same keys again.
      if (keys.length > 2 * this.info.maxEntries) {
        throw new BpfError(`walk map ${this.info.name}: it changes too fast`, E2BIG);
      }
    }
    const seen = new Set<string>();
    for (const key of keys) {
      const name = Buffer.from(key).toString('latin1');
      if (seen.has(name)) continue;
      seen.add(name);
      const value = this.lookup(key);
      if (value !== undefined) yield [key, value];
    }
  }

  /** The value of each possible CPU out of a value of a per-CPU map: views, not copies. */
  perCpuValues(value: Uint8Array): Uint8Array[] {
    const stride = Math.ceil(this.info.valueSize / 8) * 8;
    return Array.from({ length: value.length / stride }, (_, cpu) =>
      value.subarray(cpu * stride, cpu * stride + this.info.valueSize));
  }

  /** From now on user space cannot write; programs still can. */
  freeze(): void { this.#native.freeze(); }
  pin(path: string): void { native.pin(this.fd, path); }
  close(): void { this.#native.close(); }
  [Symbol.dispose](): void { this.close(); }
}

/** Where a walk by batches is. Made by BpfMap.cursor(). */
export interface MapCursor {
  first: boolean;
  readonly place: Uint8Array;
}

/** A u32 in host byte order. */
export function u32Bytes(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** A u64 in host byte order. */
export function u64Bytes(value: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(value).buffer);
}
