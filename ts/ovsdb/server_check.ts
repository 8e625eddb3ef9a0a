/**
 * Is this server's copy of the database fit for use? Judged by its row of the table
 * Database in the database `_Server` (ovsdb-server(5); the rules are those of ovsdb-cs,
 * with leader_only false: followers and relays serve readers).
 */
import { isObject, type Json } from './rpc.js';

export const serverColumns = ['name', 'model', 'connected', 'leader', 'cid', 'index'] as const;

export type Verdict =
  | { readonly fit: true; readonly index: number; readonly leader: boolean }
  | { readonly fit: false; readonly cause: 'no-database' | 'not-connected' | 'stale';
      readonly text: string };

/**
 * `rows`: the Database rows as wire JSON (RFC 7047 <row>). `minIndex`: the highest log
 * index seen of this database; a clustered server below it would take us back in time.
 */
export function judgeServer(rows: Iterable<Json>, database: string, minIndex: number): Verdict {
  for (const row of rows) {
    if (!isObject(row) || row['name'] !== database) continue;
    const model = row['model'];
    const index = typeof row['index'] === 'number' ? row['index'] : 0;
    if (model !== 'standalone' && row['connected'] !== true) {
      const text = `${String(model)} server is not connected to its cluster or source`;
      return { fit: false, cause: 'not-connected', text };
    }
    if (model === 'clustered' && index < minIndex) {
      const text = `server has stale data: log index ${index}, seen ${minIndex}`;
      return { fit: false, cause: 'stale', text };
    }
    return { fit: true, index: model === 'clustered' ? index : 0, leader: row['leader'] === true };
  }
  return { fit: false, cause: 'no-database', text: `server has no database ${database}` };
}
