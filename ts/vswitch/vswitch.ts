/** Follows the local Open_vSwitch database and tells LocalChassis whenever it changed. */
import { OvsdbClient, type ClientOptions } from '../ovsdb/client.js';
import { readChassis, type Chassis } from './chassis.js';
import { tables, type Vswitch } from './tables.js';

export interface VswitchOptions
  extends Omit<ClientOptions, 'database' | 'tables' | 'onChanges'> {
  /** From `-n` or the file system-id-override. */
  readonly systemId?: string;
  /** After each transaction that touched what is read here. */
  onChassis(chassis: Chassis): void;
}

export function openVswitch(
  options: VswitchOptions,
): { readonly client: OvsdbClient; chassis(): Chassis } {
  const { systemId, onChassis, ...rest } = options;
  const chassis = (): Chassis => readChassis(vswitch, systemId);
  const client = new OvsdbClient({
    ...rest, database: 'Open_vSwitch', tables, onChanges: () => { onChassis(chassis()); },
  });
  const names = Object.keys(tables);
  const vswitch = Object.fromEntries(
    names.map((name) => [name, client.replica.table(name)])) as unknown as Vswitch;
  return { client, chassis };
}
