/** Counters of the dataplane, summed over CPUs. */
import {
  cacheStat, counter as counterCodec, dropReasons, ifaceCell, ifaceCounters, puntReasons,
  type Counter, type Reason,
} from '../abi/generated.js';
import type { BpfMap } from '../libbpf/map.js';
import { decodeUuid, toWords, words } from '../sync/wire.js';

export type Maps = ReadonlyMap<string, BpfMap>;
export interface Verdicts { readonly forwarded: Counter; readonly dropped: Counter;
  readonly punted: Counter }
export interface Counters {
  readonly total: Verdicts;
  /** By ifindex. */
  readonly devices: ReadonlyMap<number, Verdicts>;
  /** By label; every known reason is there, also those that never happened. */
  readonly drops: ReadonlyMap<string, Counter>;
  readonly punts: ReadonlyMap<string, Counter>;
  readonly cache: CacheCounters;
}

/** Frames that the connection cache decided, and those that walked, by why. Both together
 * are all frames, but for those counted between two reads. */
export interface CacheCounters {
  readonly hits: number;
  /** bypassed: never cached, or no cache; missed: no entry; stale: an old one. */
  readonly walks: ReadonlyMap<string, number>;
  /** Walks that left an entry, and that may not. */
  readonly stored: number;
  readonly unstorable: number;
}

export const none: Counter = { packets: 0n, bytes: 0n };
const add = (a: Counter, b: Counter): Counter =>
  ({ packets: a.packets + b.packets, bytes: a.bytes + b.bytes });
const addAll = (a: Verdicts, b: Verdicts): Verdicts => ({ forwarded: add(a.forwarded, b.forwarded),
  dropped: add(a.dropped, b.dropped), punted: add(a.punted, b.punted) });
const noVerdicts: Verdicts = { forwarded: none, dropped: none, punted: none };

/** A reason as metrics and status name it: "UNKNOWN_PORT" -> "unknown_port". */
export const reasonLabel = (reason: Reason): string => reason.name.toLowerCase();

const mapOf = (maps: Maps, name: string): BpfMap => {
  const map = maps.get(name);
  if (!map) throw new Error(`dataplane: no map "${name}"`);
  return map;
};

const sumCounters = (map: BpfMap, value: Uint8Array): Counter =>
  map.perCpuValues(value).map((one) => counterCodec.fromBytes(one)).reduce(add, none);

function byReason(map: BpfMap, reasons: readonly Reason[]): Map<string, Counter> {
  // Reason 0 is "none": never counted.
  return new Map(reasons.slice(1).map((reason, i) => {
    const value = map.lookup(words(i + 1));
    return [reasonLabel(reason), value ? sumCounters(map, value) : none];
  }));
}

/** Of a cell's bytes. */
const ifindexOf = (cell: Uint8Array): number =>
  toWords(cell.subarray(ifindexAt, ifindexAt + 4))[0] ?? 0;
const ifindexAt = ifaceCell.fields['ifindex']!.offset;

/** Per device, from both places where the programs count (bpf/abi.h, iface_cells). */
export function readDevices(counters: BpfMap, cells: BpfMap): Map<number, Verdicts> {
  const devices = new Map<number, Verdicts>();
  const count = (ifindex: number, one: Verdicts): void => {
    devices.set(ifindex, addAll(devices.get(ifindex) ?? noVerdicts, one));
  };
  for (const [key, value] of counters.entries()) {
    for (const one of counters.perCpuValues(value)) {
      count(toWords(key)[0] ?? 0, ifaceCounters.fromBytes(one));
    }
  }
  for (const [, value] of cells.entries(1024)) {
    for (const one of cells.perCpuValues(value)) {
      // Nearly all of them are nobody's, and to read each whole is most of a status' time.
      if (ifindexOf(one) === 0) continue;
      const cell = ifaceCell.fromBytes(one);
      count(cell.ifindex, cell.counters);
    }
  }
  return devices;
}

function readCache(map: BpfMap, frames: number): CacheCounters {
  const read = (stat: number): number => {
    const value = map.lookup(words(stat));
    return value ? map.perCpuValues(value).reduce((sum, bytes) =>
      sum + Number(Buffer.from(bytes).readBigUInt64LE()), 0) : 0;
  };
  const walks = new Map([['bypassed', read(cacheStat.CACHE_STAT_BYPASSED)],
    ['missed', read(cacheStat.CACHE_STAT_MISSED)], ['stale', read(cacheStat.CACHE_STAT_STALE)]]);
  const walked = [...walks.values()].reduce((sum, n) => sum + n, 0);
  return { hits: Math.max(0, frames - walked), walks,
    stored: read(cacheStat.CACHE_STAT_STORED), unstorable: read(cacheStat.CACHE_STAT_UNSTORABLE) };
}

export function readCounters(maps: Maps): Counters {
  const devices = readDevices(mapOf(maps, 'iface_counters'), mapOf(maps, 'iface_cells'));
  const total = [...devices.values()].reduce(addAll, noVerdicts);
  const frames = Number(total.forwarded.packets + total.dropped.packets + total.punted.packets);
  return {
    cache: readCache(mapOf(maps, 'cache_stats'), frames),
    devices, total,
    drops: byReason(mapOf(maps, 'drops'), dropReasons),
    punts: byReason(mapOf(maps, 'punts'), puntReasons),
  };
}

export interface FlowDrops extends Counter { readonly flow: string }

/** Flows that dropped packets, most first. Reads every flow's counter. */
export function readFlowDrops(maps: Maps): FlowDrops[] {
  const names = mapOf(maps, 'flow_uuids');
  const drops = mapOf(maps, 'flow_drops');
  const found: FlowDrops[] = [];
  for (const [key, value] of drops.entries(4096)) {
    if (value.every((byte) => byte === 0)) continue;
    const uuid = names.lookup(key);
    found.push({ flow: uuid ? decodeUuid(uuid) : '', ...sumCounters(drops, value) });
  }
  return found.sort((a, b) => Number(b.packets - a.packets));
}
