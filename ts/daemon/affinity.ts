/**
 * Keeps what the dataplane knows of balanced clients' backends as it is in OVS, which learns them,
 * and has OVS's flows count as used when the dataplane has used them (docs/load_balancers.md).
 * Nothing is asked of OVS while no packet asks for a backend.
 */
import { affinity as affinityCodec, affinityKey, type AffinityKey } from '../abi/generated.js';
import { log } from '../base/log.js';
import { entriesOf, frameOf, parseLearned, type Session } from '../conntrack/affinity.js';
import { monotonicMs } from '../conntrack/entry.js';
import { batches, mapOf, type Maps } from '../conntrack/table.js';
import { u32Bytes, u64Bytes } from '../libbpf/map.js';
import type { FlowTables } from './openflow.js';

/** OFTABLE_CHK_LB_AFFINITY of OVN 23.03 to 26.03, and after that. */
const tables = [78, 102] as const;
const tickMs = 1000;
/** What OVS has said holds for so long: the programs do not use it when this process is late. */
export const holdsMs = 3000;
/** OVS's flow must outlive its use here until it is told of that, also by a slow process. */
export const marginMs = 10_000;
/** After the last packet without an entry, OVS is asked for so long whether there is one. */
const interestMs = 60_000;
/** Entries whose ends differ by less are equal: OVS says its ages in whole seconds. */
const sameMs = 1500n;
/** In one call of ovs-ofctl. */
const packetsAtOnce = 256;

export interface AffinityStatus { readonly sessions: number; readonly touched: number }
export interface AffinityOptions {
  readonly maps: Maps;
  readonly flows: FlowTables;
  /** The integration bridge, when it is known. */
  readonly bridge: () => string | undefined;
}

const zero = u32Bytes(0);
const hexOf = (key: Uint8Array): string => Buffer.from(key).toString('hex');

export class Affinity {
  readonly #options: AffinityOptions;
  /** As in the map, by keys. */
  readonly #entries = new Map<string, Uint8Array>();
  /** Of which OVS is to be told. */
  readonly #used = new Map<string, AffinityKey>();
  #table: number = tables[0];
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #closed = false;
  #touched = 0;
  #problem = '';

  /** Entries of an agent before this one stay until OVS has been asked; none is used till then. */
  constructor(options: AffinityOptions) {
    this.#options = options;
    for (const [key, value] of this.#map('affinity').entries()) {
      this.#entries.set(hexOf(key), value.slice());
    }
    this.#schedule(0);
  }

  get status(): AffinityStatus {
    return { sessions: this.#entries.size, touched: this.#touched };
  }

  /** No entry is used any more, and OVS is told of those that were. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
    this.#hold(0);
    await this.#guarded(() => this.#tell());
  }

  #map(name: string): ReturnType<typeof mapOf> { return mapOf(this.#options.maps, name); }

  #schedule(ms: number): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      const began = performance.now();
      this.#running = this.#guarded(() => this.#tick()).finally(() => {
        // A long answer may be asked for less often; when it is late nothing is used meanwhile.
        const took = performance.now() - began;
        this.#schedule(Math.max(tickMs - took, 3 * took));
      });
    }, ms);
  }

  async #guarded(what: () => Promise<void>): Promise<void> {
    let problem = '';
    try {
      await what();
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
    if (problem !== '' && problem !== this.#problem) {
      log('affinity', 'WARN',
        `clients of load balancers with affinity are left to OVS: ${problem}`);
    }
    this.#problem = problem;
  }

  async #tick(): Promise<void> {
    await this.#tell();
    const now = monotonicMs();
    if (this.#entries.size === 0 && now > this.#word('affinity_asked') + interestMs) return;
    const sessions = await this.#read();
    if (!sessions) return;
    this.#write(entriesOf(sessions, now, marginMs));
    this.#hold(now + holdsMs);
  }

  #word(name: string): number {
    return Number(new DataView(this.#map(name).lookup(zero)!.buffer).getBigUint64(0, true));
  }

  #hold(until: number): void {
    this.#map('affinity_until').update(zero, u64Bytes(BigInt(until)));
  }

  /** Has OVS's flows of what was used count as used. What cannot be told is told the next time. */
  async #tell(): Promise<void> {
    const { bridge, flows } = this.#options, name = bridge();
    for await (const entries of batches(this.#map('affinity_used'), true)) {
      for (const [key] of entries) this.#used.set(hexOf(key), affinityKey.fromBytes(key));
    }
    if (name === undefined) return;
    const all = [...this.#used];
    for (let at = 0; at < all.length; at += packetsAtOnce) {
      const part = all.slice(at, at + packetsAtOnce);
      await flows.submit(name, this.#table,
        part.map(([, key]) => ({ datapath: key.datapath, frame: frameOf(key) })));
      for (const [id] of part) this.#used.delete(id);
      this.#touched += part.length;
    }
  }

  /** What OVS has learned, wherever its release keeps it. */
  async #read(): Promise<Session[] | undefined> {
    const name = this.#options.bridge();
    if (name === undefined) return undefined;
    for (const table of [this.#table, ...tables.filter((other) => other !== this.#table)]) {
      const lines = await this.#options.flows.dump(name, table);
      const sessions = lines.flatMap((line) => parseLearned(line) ?? []);
      if (sessions.length === 0) continue;
      this.#table = table;
      return sessions;
    }
    return [];
  }

  #write(wanted: ReadonlyMap<string, Uint8Array>): void {
    const map = this.#map('affinity'), room = map.info.maxEntries;
    for (const id of [...this.#entries.keys()]) {
      if (wanted.has(id)) continue;
      map.delete(Buffer.from(id, 'hex'));
      this.#entries.delete(id);
    }
    for (const [id, value] of wanted) {
      const old = this.#entries.get(id);
      if (old ? isSame(old, value) : this.#entries.size >= room) continue;
      map.update(Buffer.from(id, 'hex'), value);
      this.#entries.set(id, value);
    }
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  const [one, other] = [affinityCodec.fromBytes(a), affinityCodec.fromBytes(b)];
  const apart = one.until - other.until;
  return apart > -sameMs && apart < sameMs && Buffer.compare(a.subarray(8), b.subarray(8)) === 0;
}
