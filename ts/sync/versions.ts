/**
 * What keeps entries of the connection cache honest (bpf/abi.h, cache_versions): counters
 * that are odd while something about their datapaths changes, so that no entry is used or
 * made meanwhile, and are another even number after it, so that none made before is used.
 * An agent that dies in between leaves them odd: those datapaths walk until the next one.
 */
import { CACHE_VERSIONS } from '../abi/generated.js';
import type { Deltas } from './edit.js';
import type { Image } from './image.js';
import type { Bytes, MapPort } from './port.js';
import { bytesOf, toWords, words } from './wire.js';

/** control.epoch: odd while anything changes that cached packets depend on, and another even
 * number after it. Entries that were looked at under the same even one hold without a look at
 * anything that only user space changes; while it is odd, or was left so by an agent that died,
 * everything is looked at. */
export class Epoch {
  readonly #port: MapPort;
  #depth = 0;
  #value: number | undefined;

  constructor(port: MapPort) { this.#port = port; }

  get value(): number { return this.#value ??= toWords(this.#control())[4] ?? 0; }

  /** Makes a change, at once. Others may be under way meanwhile. It may throw: counters that it
   * has left odd go on to say that nothing holds. */
  during(change: () => void): void {
    try {
      this.#begin();
      change();
    } finally {
      this.#end();
    }
  }

  async across(change: () => Promise<void>): Promise<void> {
    try {
      this.#begin();
      await change();
    } finally {
      this.#end();
    }
  }

  #begin(): void {
    this.#depth += 1;
    if (this.value % 2 === 0) this.#write(this.value + 1);
  }

  #end(): void {
    this.#depth -= 1;
    if (this.#depth === 0) this.#write(this.value + 1);
  }

  /** The last odd number, which no entry can have (CACHE_UNCHECKED), is left out. */
  #write(value: number): void {
    this.#value = value % (2 ** 32 - 2);
    const [active = 0, generation = 0, enabled = 0, sets = 0] = toWords(this.#control());
    this.#port.put('control', [[words(0), words(active, generation, enabled, sets, this.#value)]]);
  }

  #control(): Bytes { return this.#port.get('control', words(0)) ?? words(0, 0, 0, 0, 0); }
}

/** Slot 0 stands for all datapaths; so it does when more than this many change at once. */
const MANY = 64;

export class Versions {
  readonly #port: MapPort;
  readonly #epoch: Epoch;
  readonly #values = new Map<number, number>();

  /** What an earlier agent left odd is made even: it says no more than that nothing cached
   * before holds, and the tables as they are decide again. */
  constructor(port: MapPort, epoch: Epoch) {
    this.#port = port;
    this.#epoch = epoch;
    for (const [key, value] of port.entries('cache_versions')) {
      const [slot = 0] = toWords(key), [version = 0] = toWords(value);
      if (version !== 0) this.#values.set(slot, version);
    }
    const odd = [...this.#values].filter(([, version]) => version % 2 === 1).map(([slot]) => slot);
    if (odd.length > 0 || epoch.value % 2 === 1) epoch.during(() => { this.#add(odd); });
  }

  /** Makes a change that decides about packets of these datapaths; 0: of all. When it throws,
   * they stay without a cache. */
  async around(datapaths: Iterable<number>, change: () => void | Promise<void>): Promise<void> {
    const slots = new Set([...datapaths].map((datapath) => datapath % CACHE_VERSIONS));
    const few = slots.size > MANY || slots.has(0) ? [0] : [...slots];
    if (few.length === 0) return void await change();
    await this.#epoch.across(async () => {
      this.#add(few);
      await change();
      this.#add(few);
    });
  }

  #add(slots: readonly number[]): void {
    if (slots.length === 0) return;
    for (const slot of slots) {
      this.#values.set(slot, ((this.#values.get(slot) ?? 0) + 1) % 2 ** 32);
    }
    this.#port.put('cache_versions', slots.map((slot) =>
      [words(slot), words(this.#values.get(slot) ?? 0)] as const));
  }
}

const firstWord = (key: string): number => toWords(bytesOf(key.slice(0, 4)))[0] ?? 0;

/** Datapaths whose packets are treated otherwise after `deltas` than by `enforced`; 0: any. */
export function touched(enforced: Image,
  { datapaths, ifaces, tunnel_sources, providers, net_macs }: Deltas): Set<number> {
  const found = new Set<number>();
  for (const [key] of datapaths.put) found.add(firstWord(key));
  for (const key of datapaths.remove) found.add(firstWord(key));
  const before = [...ifaces.put.map(([key]) => key), ...ifaces.remove]
    .flatMap((key) => enforced.ifaces.get(key) ?? []);
  for (const row of [...ifaces.put.map(([, row]) => row), ...before]) {
    found.add(toWords(row)[1] ?? 0);
  }
  for (const [key, row] of providers.put) {
    for (const each of [row, enforced.providers.get(key)]) {
      if (each) found.add(toWords(each)[0] ?? 0);
    }
  }
  for (const key of providers.remove) {
    found.add(toWords(enforced.providers.get(key) ?? words(0))[0] ?? 0);
  }
  for (const [key] of net_macs.put) found.add(firstWord(key));
  for (const key of net_macs.remove) found.add(firstWord(key));
  if (tunnel_sources.put.length + tunnel_sources.remove.length > 0) found.add(0);
  return found;
}

/** Datapaths of rows whose key begins with one. */
export const datapathsOf = (keys: Iterable<string>): Set<number> =>
  new Set([...keys].map(firstWord));
