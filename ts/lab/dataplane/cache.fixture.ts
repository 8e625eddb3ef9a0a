/** The connection cache under test run: it is per CPU, so the process stays on one. */
import { CACHE_VERSIONS, cacheStat } from '../../abi/generated.js';
import { u32Bytes } from '../../libbpf/mod.js';
import { Dataplane } from './dataplane.fixture.js';
import type { Bytes } from '../packet.js';

const SETS = 256;
const statNames = Object.keys(cacheStat).filter((name) => name !== 'CACHE_STAT_COUNT');
export type Stats = Readonly<Record<'BYPASSED' | 'MISSED' | 'STALE' | 'STORED' | 'UNSTORABLE',
  number>>;

export interface Passed { readonly action: number; readonly frame: Bytes;
  /** Which of the first three counters moved; none: the cache decided. */
  readonly by: 'hit' | 'bypassed' | 'missed' | 'stale';
  readonly stored: boolean }

export function loadCached(): Dataplane {
  const plane = Dataplane.load({ cache: SETS });
  plane.cacheSets = SETS;
  plane.control(1);
  return plane;
}

/** What sync/ does around a change of these datapaths; 0: of all. */
export function changing(plane: Dataplane, datapaths: readonly number[],
  change: () => void): void {
  const versions = plane.map('cache_versions');
  const add = (): void => {
    for (const slot of new Set(datapaths.map((datapath) => datapath % CACHE_VERSIONS))) {
      const value = versions.lookup(u32Bytes(slot))!;
      versions.update(u32Bytes(slot), u32Bytes(Buffer.from(value).readUInt32LE() + 1));
    }
  };
  plane.during(() => {
    add();
    change();
    add();
  });
}

/** Sums over CPUs since the load. */
export function stats(plane: Dataplane): Stats {
  const map = plane.map('cache_stats');
  return Object.fromEntries(statNames.map((name, i) => [name.replace('CACHE_STAT_', ''),
    map.perCpuValues(map.lookup(u32Bytes(i))!).reduce((sum, bytes) =>
      sum + Number(Buffer.from(bytes).readBigUInt64LE()), 0)])) as Stats;
}

export function pass(plane: Dataplane, frame: Bytes): Passed {
  const before = stats(plane);
  const out = plane.run(frame);
  const after = stats(plane);
  const by = (['BYPASSED', 'MISSED', 'STALE'] as const)
    .filter((name) => after[name] > before[name]);
  if (by.length > 1) throw new Error(`one frame counted as ${by.join(' and ')}`);
  return { ...out, by: by[0] ? by[0].toLowerCase() as Passed['by'] : 'hit',
    stored: after.STORED > before.STORED };
}
