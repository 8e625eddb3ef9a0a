/**
 * The Southbound database as typed rows: an OvsdbClient for OVN_Southbound. The replica
 * decodes by tables.ts, which the compiler holds equal to rows.ts; here the types meet.
 */
import { OvsdbClient, type ClientOptions } from '../ovsdb/client.js';
import type { RowChange, Southbound, TableName } from './rows.js';
import { tables } from './tables.js';

export interface SouthboundBatch {
  readonly changes: readonly RowChange[];
  /** Number of rows of this update that could not be read (client.replica.skipped). */
  readonly skipped: number;
  readonly transaction: string;
}

export interface SouthboundOptions
  extends Omit<ClientOptions, 'database' | 'tables' | 'onChanges'> {
  onChanges(batch: SouthboundBatch): void;
}

export function openSouthbound(
  options: SouthboundOptions,
): { readonly client: OvsdbClient; readonly southbound: Southbound } {
  const { onChanges, ...rest } = options;
  const client = new OvsdbClient({
    ...rest, database: 'OVN_Southbound', tables,
    onChanges: ({ changes, skipped, transaction }) => {
      onChanges({
        changes: changes as unknown as readonly RowChange[], skipped: skipped.length, transaction,
      });
    },
  });
  const names = Object.keys(tables) as TableName[];
  const southbound = Object.fromEntries(names.map((name) => [name, client.replica.table(name)]));
  return { client, southbound: southbound as unknown as Southbound };
}
