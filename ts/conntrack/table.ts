/**
 * The pinned tables of connections, read and changed in pieces, so that a million entries need
 * neither a million objects nor a stopped event loop.
 */
import { connKey, conn as connCodec, ctControl as ctControlCodec, ctExpire, ctStat,
  type ConnKey, type CtControl } from '../abi/generated.js';
import { BpfError } from '../libbpf/error.js';
import { u32Bytes, type BpfMap } from '../libbpf/map.js';
import type { BpfProgram } from '../libbpf/program.js';
import { decodeConn, decodeForeign, monotonicMs, type Connection, type Moment } from './entry.js';
import { matches, mayMatch, type Filter } from './filter.js';

export type Maps = ReadonlyMap<string, BpfMap>;

export function mapOf(maps: Maps, name: string): BpfMap {
  const map = maps.get(name);
  if (!map) throw new Error(`connections: no map "${name}"`);
  return map;
}

const pause = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });
const chunk = 512;
type Entry = readonly [key: Uint8Array, value: Uint8Array];

/** All entries by batches of the kernel; others run between two of them. What is added or
 * deleted meanwhile may or may not appear. `remove`: they are taken out of the map. */
export async function* batches(map: BpfMap, remove = false): AsyncGenerator<Entry[]> {
  const { keySize, valueSize } = map.info;
  const cursor = map.cursor();
  for (let size = chunk, done = false; !done;) {
    let batch;
    try {
      batch = map.lookupBatch(cursor, size, remove);
    } catch (error) {
      // A hash bucket holds more than that.
      if (!(error instanceof BpfError) || error.code !== 'ENOSPC') throw error;
      size *= 2;
      continue;
    }
    const { keys, values, count } = batch;
    ({ done } = batch);
    yield Array.from({ length: count }, (_, i): Entry =>
      [keys.subarray(i * keySize, (i + 1) * keySize),
        values.subarray(i * valueSize, (i + 1) * valueSize)]);
    await pause();
  }
}

const zero = u32Bytes(0);
export const readCtControl = (maps: Maps): CtControl =>
  ctControlCodec.fromBytes(mapOf(maps, 'ct_control').lookup(zero)!);

function moment(maps: Maps): Moment {
  const { timeouts, foreign_age: foreignAge } = readCtControl(maps);
  return { now: monotonicMs(), timeouts, foreignAge };
}

const tables = { ours: ['conns', decodeConn], foreign: ['foreign', decodeForeign] } as const;

/** Matching connections, some at a time. */
export async function* connections(maps: Maps, filter: Filter): AsyncGenerator<Connection[]> {
  for (const owner of filter.owners) {
    const [name, decode] = tables[owner];
    for await (const batch of batches(mapOf(maps, name))) {
      const at = moment(maps);
      yield batch.flatMap(([key, value]) => {
        if (!mayMatch(filter, key)) return [];
        const connection = decode(key, value, at);
        return connection && matches(filter, connection) ? [connection] : [];
      });
    }
  }
}

/** Ends one connection unless it has been replaced since. Whether it was there. */
export function expire(program: BpfProgram, key: ConnKey, created: bigint): boolean {
  const { ctxOut } = program.runSyscall(ctExpire.toBytes({ key, created, done: 0 }));
  return ctExpire.fromBytes(ctxOut).done === 1;
}

/** Ends matching connections: ours expire (the collector deletes them later), OVS's are
 * forgotten here, not there. How many. */
export async function flush(maps: Maps, program: BpfProgram, filter: Filter): Promise<number> {
  let count = 0;
  for (const owner of filter.owners) {
    const [name, decode] = tables[owner];
    const map = mapOf(maps, name);
    for await (const batch of batches(map)) {
      const at = moment(maps);
      for (const [key, value] of batch) {
        const connection = mayMatch(filter, key) ? decode(key, value, at) : undefined;
        if (!connection || !matches(filter, connection)) continue;
        const gone = owner === 'foreign' ? map.delete(key)
          : expire(program, connKey.fromBytes(key), connCodec.fromBytes(value).created);
        if (gone) count += 1;
      }
    }
  }
  return count;
}

/** Entries of `conns`, also those that the collector has not deleted yet. */
export function connectionCount(maps: Maps): number {
  const bytes = mapOf(maps, 'conn_count').lookup(zero)!;
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigInt64(0, true));
}

/** Entries of `foreign` that hold. */
export async function foreignCount(maps: Maps): Promise<number> {
  let count = 0;
  for await (const batch of batches(mapOf(maps, 'foreign'))) {
    const at = moment(maps);
    count += batch.filter(([key, value]) => decodeForeign(key, value, at)).length;
  }
  return count;
}

/** Sums over CPUs, by the names of enum ct_stat in lower case: created, revived, failed, ... */
export function readCtStats(maps: Maps): Map<string, number> {
  const map = mapOf(maps, 'ct_stats');
  return new Map(Object.entries(ctStat).filter(([name]) => name !== 'CT_STAT_COUNT')
    .map(([name, index]) => {
      const values = map.perCpuValues(map.lookup(u32Bytes(index))!);
      const sum = values.reduce((total, bytes) =>
        total + new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true), 0n);
      return [name.slice('CT_STAT_'.length).toLowerCase(), Number(sum)];
    }));
}
