/** Operations on maps that the dataplane asks the kernel for, counted by programs that do so. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '#ts/base/package_root.js';
import { Tables } from '#ts/lab/tables.js';
import { compileBpf } from './lab_object.js';
import { comeTo, type Compiled, type Packet, type Phase } from './scenes.js';

/** Lookups, updates, deletions: only an update can allocate. */
export type MapOps = readonly [number, number, number];
export interface PacketOps {
  /** The first packet of its connection, in tables that have seen nothing. */
  readonly first: MapOps;
  /** The same packet again, if that walks, too. */
  readonly walk: MapOps;
  /** One that the cache decides about. */
  readonly cached?: MapOps;
}

const folder = 'perf/out/counting';
const changed = (path: string): number =>
  statSync(join(packageRoot, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** The dataplane with counting programs (perf/bpf/count_ops.h), compiled when they are older
 * than what they are made of. */
function countingTables(): Tables {
  const count = 'perf/bpf/count_ops.h', object = `${folder}/xdp.bpf.o`;
  const sources = readdirSync(join(packageRoot, 'bpf')).map((name) => `bpf/${name}`);
  if ([count, ...sources].some((source) => changed(source) >= changed(object))) {
    compileBpf('bpf/xdp.bpf.c', object, '-include', join(packageRoot, count));
  }
  return Tables.load('xdp', join(packageRoot, folder));
}

/** Runs the frame once. */
function opsOf(tables: Tables, frame: Uint8Array): MapOps {
  const counted = tables.variable('map_ops');
  if (counted === undefined) throw new Error('these programs do not count');
  counted.set(new Uint8Array(24));
  tables.forward.testRun({ data: frame });
  const bytes = Buffer.from(counted.get());
  return [0, 8, 16].map((at) => Number(bytes.readBigUInt64LE(at))) as unknown as MapOps;
}

const sum = (ops: MapOps): number => ops[0] + ops[1] + ops[2];
/** A packet may meet another CPU, whose cache does not know it: the least of some counts. */
const least = (tables: Tables, frame: Uint8Array): MapOps =>
  Array.from({ length: 8 }, () => opsOf(tables, frame)).reduce((best, one) =>
    sum(one) < sum(best) ? one : best);

export async function packetOps(scene: Compiled, packets: readonly Packet[]):
  Promise<Map<string, PacketOps>> {
  const tables = countingTables();
  try {
    await tables.apply(scene.desired);
    tables.trackConnections();
    return new Map(packets.map((packet) => {
      const frame = (phase: Phase): Uint8Array => {
        comeTo(tables, scene, packet, phase);
        return packet.frame(phase, scene.rows);
      };
      const syn = frame('first'), first = opsOf(tables, syn), walk = opsOf(tables, syn);
      const later = frame('later'), cached = tables.caches(later);
      return [packet.name, { first, walk, ...cached ? { cached: least(tables, later) } : {} }];
    }));
  } finally {
    tables.close();
  }
}
