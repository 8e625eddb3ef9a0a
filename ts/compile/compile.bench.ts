/**
 * The compiler at the size of a cloud: `node compile.bench.js [DATABASE] [CHASSIS]`. DATABASE is
 * a standalone Southbound file (`ovsdb-client backup`), for instance of northd's output for
 * ts/lab/openstack_shape.ts; without one, the corpus.
 */
import type { LogicalFlow, RowChange, TableName, Tables } from '../southbound/rows.js';
import { View } from '../southbound/view.js';
import type { LocalChassis } from '../vswitch/local.js';
import { Compiler } from './compiler.js';
import type { Desired } from './model.js';
import { corpusFile, localChassis, readDatabase, type MutableSouthbound } from './testing.js';

export interface CompileTimes {
  readonly lflows: number; readonly datapaths: number; readonly rules: number;
  /** Of the whole, once: CPU (with the collector's threads), and its longest step. */
  readonly fullCpuMs: number; readonly longestStepMs: number;
  /** Of one change each, sorted. */
  readonly changesMs: Readonly<Record<Kind, readonly number[]>>;
}
type Kind = 'ACL' | 'address set' | 'port';

const rulesOf = (desired: Desired): number =>
  [...new Set(desired.dispatch.values())].reduce((sum, { rules }) => sum + rules.length, 0);

function changed<T extends TableName>(rows: MutableSouthbound, table: T, old: Tables[T],
  columns: Partial<Tables[T]>): RowChange {
  const row = { ...old, ...columns };
  (rows[table] as Map<string, Tables[T]>).set(row._uuid, row);
  return { table, uuid: row._uuid, old, new: row };
}

/** Whether a flow of OVN 23.03 is in ls_in_acl or ls_out_acl. */
function isAcl(rows: MutableSouthbound, { pipeline, table_id, ...row }: LogicalFlow): boolean {
  const datapath = row.logical_datapath
    ?? rows.Logical_DP_Group.get(row.logical_dp_group ?? '')?.datapaths[0] ?? '';
  return table_id === (pipeline === 'ingress' ? 8 : 4)
    && rows.Datapath_Binding.get(datapath)?.external_ids.has('logical-switch') === true;
}

/** One change a time, of rows that differ from time to time. Each is undone by the next round. */
export const changesOf: { readonly [K in Kind]: (rows: MutableSouthbound, n: number) =>
  RowChange | undefined } = {
  ACL: (rows, n) => {
    const acls = [...rows.Logical_Flow.values()].filter((row) => isAcl(rows, row));
    const row = acls[n * 7919 % acls.length];
    return row && changed(rows, 'Logical_Flow', row, { priority: row.priority ^ 1 });
  },
  'address set': (rows, n) => {
    const sets = [...rows.Address_Set.values()].filter(({ addresses }) => addresses.length > 1);
    const row = sets[n * 7919 % sets.length];
    return row && changed(rows, 'Address_Set', row,
      { addresses: [...row.addresses.slice(1), `10.99.${n >> 8 & 255}.${n & 255}`] });
  },
  port: (rows, n) => {
    const ports = [...rows.Port_Binding.values()].filter((row) => row.type === '' && row.chassis);
    const chassis = [...rows.Chassis.keys()];
    const row = ports[n * 7919 % ports.length];
    return row && changed(rows, 'Port_Binding', row, { chassis: chassis[n % chassis.length] });
  },
};

export function measureCompile(rows: MutableSouthbound, here: LocalChassis, rounds = 30):
  CompileTimes {
  const view = new View(rows);
  const compiler = new Compiler();
  const before = process.cpuUsage();
  let longestStepMs = 0;
  const steps = compiler.steps(view, here);
  for (let at = performance.now(), done = false; !done; at = performance.now()) {
    done = steps.next().done === true;
    longestStepMs = Math.max(longestStepMs, performance.now() - at);
  }
  const { user, system } = process.cpuUsage(before);
  const changesMs: Record<Kind, number[]> = { ACL: [], 'address set': [], port: [] };
  for (const kind of Object.keys(changesOf) as Kind[]) {
    for (let n = 0; n < rounds; n++) {
      const change = changesOf[kind](rows, n);
      if (!change) break;
      const at = performance.now();
      view.apply([change]);
      compiler.compile(view, here, [change]);
      changesMs[kind].push(performance.now() - at);
    }
    changesMs[kind].sort((a, b) => a - b);
  }
  const desired = compiler.compile(view, here, []);
  return { lflows: rows.Logical_Flow.size, datapaths: desired.datapaths.size,
    rules: rulesOf(desired), fullCpuMs: (user + system) / 1000, longestStepMs, changesMs };
}

if (process.argv[1]?.endsWith('compile/compile.bench.js') === true) {
  const [, , file = corpusFile, chassis = 'hv1'] = process.argv;
  const rows = readDatabase(file);
  const times = measureCompile(rows, localChassis(rows, chassis));
  console.log(`${times.lflows} logical flows, ${times.datapaths} local datapaths, `
    + `${times.rules} rules: ${times.fullCpuMs.toFixed(0)} ms of CPU, longest step `
    + `${times.longestStepMs.toFixed(1)} ms`);
  for (const [kind, list] of Object.entries(times.changesMs)) {
    const at = (share: number): string => (list[Math.floor(share * (list.length - 1))] ?? 0)
      .toFixed(1);
    console.log(`${kind}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, ${list.length} changes`);
  }
}
