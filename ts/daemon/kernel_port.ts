/** MapPort over the kernel's maps: the tables that sync/ writes. */
import { BpfMap, u32Bytes } from '../libbpf/map.js';
import { possibleCpus } from '../libbpf/probe.js';
import type { Bytes, HashMap, MapName, MapPort } from '../sync/port.js';

/** Entries read in one call of the kernel. */
const chunk = 4096;
const withoutBatches: ReadonlySet<MapName> = new Set<MapName>(['devmap', 'control']);

export class KernelPort implements MapPort {
  readonly #maps: ReadonlyMap<string, BpfMap>;
  readonly #inner = BpfMap.create({ type: 'array', name: 'grace', keySize: 4, valueSize: 4,
    maxEntries: 1 });

  /** `maps`: the dataplane's maps by name; they stay the caller's. */
  constructor(maps: ReadonlyMap<string, BpfMap>) { this.#maps = maps; }

  capacity(map: MapName | 'cache'): number {
    const { maxEntries } = this.#map(map).info;
    return map === 'cache' ? Math.floor(maxEntries / possibleCpus()) : maxEntries;
  }
  get(map: MapName, key: Bytes): Bytes | undefined { return this.#map(map).lookup(key); }

  put(map: MapName, entries: readonly (readonly [Bytes, Bytes])[]): void {
    const target = this.#map(map);
    const full = target.info.perCpu
      ? entries.map(([key, value]) => [key, onEveryCpu(target, value)] as const) : entries;
    if (full.length === 1 || withoutBatches.has(map)) {
      for (const [key, value] of full) target.update(key, value);
    } else if (full.length > 0) {
      target.updateBatch(Buffer.concat(full.map(([key]) => key)),
        Buffer.concat(full.map(([, value]) => value)), full.length);
    }
  }

  delete(map: HashMap, keys: readonly Bytes[]): void {
    const target = this.#map(map);
    if (withoutBatches.has(map)) {
      for (const key of keys) target.delete(key);
      return;
    }
    // A batch stops at an absent key; it is skipped.
    for (let at = 0; at < keys.length;) {
      const rest = keys.slice(at);
      at += target.deleteBatch(Buffer.concat(rest), rest.length) + 1;
    }
  }

  keys(map: HashMap): Bytes[] { return [...this.#map(map).keys()]; }
  entries(map: MapName): Iterable<[Bytes, Bytes]> { return this.#map(map).entries(chunk); }

  /** The kernel waits for readers when an inner map is replaced from user space
   * (kernel/bpf/syscall.c, maybe_wait_bpf_programs). */
  grace(): void {
    const grace = this.#maps.get('grace');
    if (!grace) throw new Error('dataplane: no map "grace"');
    grace.setInner(u32Bytes(0), this.#inner);
  }

  close(): void { this.#inner.close(); }

  #map(name: MapName | 'cache'): BpfMap {
    const map = this.#maps.get(name);
    if (!map) throw new Error(`dataplane: the BPF object has no map "${name}"`);
    return map;
  }
}

/** One CPU's value as the kernel takes it for all of them. */
function onEveryCpu(map: BpfMap, value: Bytes): Bytes {
  const all = new Uint8Array(map.info.userValueSize);
  for (const slot of map.perCpuValues(all)) slot.set(value);
  return all;
}

