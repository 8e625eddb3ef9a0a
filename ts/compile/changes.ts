/** What a changed row may change: where things are, what names mean. */
import type { PortBinding, RowChange, TableName, Tables } from '../southbound/rows.js';
import type { View } from '../southbound/view.js';
import type { Dependency } from './flow.js';
import { followSet } from './sets.js';

/** Tables that say which datapaths are local. */
export const localTables: ReadonlySet<TableName> = new Set<TableName>(
  ['Port_Binding', 'Datapath_Binding', 'Chassis', 'HA_Chassis', 'HA_Chassis_Group']);
/** Tables on which the places of all ports may depend. */
const physicalTables: ReadonlySet<TableName> = new Set<TableName>(
  ['Datapath_Binding', 'Chassis', 'Encap', 'HA_Chassis', 'HA_Chassis_Group']);
const residencyTables: ReadonlySet<TableName> = new Set<TableName>(
  ['Chassis', 'HA_Chassis', 'HA_Chassis_Group']);
const macTables: ReadonlySet<TableName> = new Set<TableName>(
  ['MAC_Binding', 'Static_MAC_Binding', 'Datapath_Binding']);

/** A row before and after, when it is one of `table` and was there both times. */
export function modified<T extends TableName>(change: RowChange, table: T):
  readonly [Tables[T], Tables[T]] | undefined {
  return change.table === table && change.old && change.new
    ? [change.old as Tables[T], change.new as Tables[T]] : undefined;
}

/** Whether the places of all ports may depend on it. northd and CMSs write SB_Global often. */
export function movesEverything(change: RowChange): boolean {
  const global = modified(change, 'SB_Global');
  if (global) {
    const [a, b] = global;
    return a.ipsec !== b.ipsec || a.options.get('always_tunnel') !== b.options.get('always_tunnel');
  }
  return change.table === 'SB_Global' || physicalTables.has(change.table);
}

/** Whether a chassisredirect port may be resident elsewhere after it. */
export function movesResidents({ table, old, new: row }: RowChange): boolean {
  if (table !== 'Port_Binding') return residencyTables.has(table);
  return [old, row].some((port) => (port as Tables['Port_Binding'] | undefined)?.type
    === 'chassisredirect');
}

/** Ports nested in this one, or beside it in the same. */
export function nestedWith(row: PortBinding, view: View): readonly PortBinding[] {
  return [row.logical_port, row.parent_port || row.logical_port].flatMap((name) =>
    [...view.all('portsByParent', name).values()]);
}

export function movesMacs(change: RowChange): boolean {
  const port = modified(change, 'Port_Binding');
  if (!port) return change.table === 'Port_Binding' || macTables.has(change.table);
  const [a, b] = port;
  return a.logical_port !== b.logical_port || a.datapath !== b.datapath
    || a.tunnel_key !== b.tunnel_key;
}

/** Keys under which the maps do not hold the same. */
export function differing<V>(a: ReadonlyMap<string, V>, b: ReadonlyMap<string, V>): Set<string> {
  const keys = new Set<string>();
  if (a === b) return keys;
  for (const [key, value] of a) if (b.get(key) !== value) keys.add(key);
  for (const key of b.keys()) if (!a.has(key)) keys.add(key);
  return keys;
}

/** Names whose meaning a changed row changes. */
export function touched(change: RowChange, chassisName: string | undefined): Dependency[] {
  const set = modified(change, 'Address_Set');
  if (set && set[0].name === set[1].name && !followSet(...set)) return [];
  const rows = [change.old, change.new];
  const named = <T extends TableName>(table: T, f: (row: Tables[T]) => Dependency) =>
    change.table === table
      ? rows.flatMap((row) => (row ? [f(row as Tables[T])] : [])) : [];
  const templates = change.table !== 'Chassis_Template_Var' ? []
    : rows.flatMap((r) => {
      const row = r as Tables['Chassis_Template_Var'] | undefined;
      return row && row.chassis === chassisName ? [...row.variables.keys()] : [];
    });
  return [
    ...named('Address_Set', (row) => `set:${row.name}`),
    ...named('Port_Group', (row) => `group:${row.name}`),
    ...named('Port_Binding', (row) => `port:${row.logical_port}`),
    ...named('Multicast_Group', (row) => `multicast:${row.datapath}/${row.name}`),
    ...templates.map((name): Dependency => `template:${name}`),
  ];
}

/** A change of a Port_Binding that no match, action or residency can see. */
export function invisible(change: RowChange): boolean {
  const port = modified(change, 'Port_Binding');
  if (!port) return false;
  const [a, b] = port;
  return a.logical_port === b.logical_port && a.datapath === b.datapath
    && a.tunnel_key === b.tunnel_key && a.chassis === b.chassis && a.type === b.type
    && a.parent_port === b.parent_port
    && a.additional_chassis.join() === b.additional_chassis.join();
}
