/**
 * What depends on rows that cannot be read. A row that is missing here must not change what
 * happens to a packet: whatever it could decide about is left to OVS.
 */
import type { TableName, Uuid } from '../southbound/rows.js';
import type { View } from '../southbound/view.js';

/** A row that is not in the view; of `row` only what could be read is there. */
export interface MissingRow {
  readonly table: string; readonly column: string;
  readonly row?: { readonly [column: string]: unknown } | undefined;
}

/** Without these rows packets abstain by themselves: a datapath, chassis, MAC binding or
 * hairpin that is not known leads to a punt. */
const harmless: ReadonlySet<string> = new Set<TableName>(
  ['Datapath_Binding', 'Chassis', 'MAC_Binding', 'Gateway_Chassis', 'Load_Balancer']);
/** Rows that decide within one datapath, and the column that says which. */
const ofDatapath: ReadonlyMap<string, string> = new Map<TableName, string>(
  [['Multicast_Group', 'datapath'], ['Static_MAC_Binding', 'datapath']]);

/** Datapaths of a flow; undefined when they cannot be told. */
function flowDatapaths({ column, row }: MissingRow, view: View): readonly Uuid[] | undefined {
  if (column === 'logical_datapath' || column === 'logical_dp_group') return undefined;
  const own = row?.['logical_datapath'], group = row?.['logical_dp_group'];
  if (typeof own === 'string') return [own];
  if (typeof group !== 'string') return undefined;
  return view.southbound.Logical_DP_Group.get(group)?.datapaths;
}

/** The datapaths that must be left to OVS because of `rows`; 'all' when it cannot be told. */
export function dependingOn(rows: readonly MissingRow[], view: View): ReadonlySet<Uuid> | 'all' {
  const datapaths = new Set<Uuid>();
  for (const missing of rows) {
    if (harmless.has(missing.table)) continue;
    const one = missing.row?.[ofDatapath.get(missing.table) ?? ''];
    const found = missing.table === 'Logical_Flow' ? flowDatapaths(missing, view)
      : typeof one === 'string' ? [one] : undefined;
    if (!found) return 'all';
    for (const uuid of found) datapaths.add(uuid);
  }
  return datapaths;
}
