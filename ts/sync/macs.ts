/** MAC bindings as rows. Those with bad addresses are left out: a lookup of them misses, which
 * goes to OVS. */
import type { Change, Desired, MacBindingEntry } from '../compile/model.js';
import { addressWords, parseAddress, parseMac } from './addresses.js';
import { differ, type Delta, type Rows } from './image.js';
import type { Bytes } from './port.js';
import { idOf, words } from './wire.js';

type Row = readonly [string, Bytes];
const rows = new WeakMap<MacBindingEntry, Row | false>();

function keyOf(datapath: number, port: number, ip: string): string | undefined {
  const address = parseAddress(ip);
  return address && idOf(words(datapath, port, ...addressWords(address)));
}

/** struct mac_binding_key -> struct mac_binding. */
function rowOf(entry: MacBindingEntry): Row | undefined {
  let row = rows.get(entry);
  if (row === undefined) {
    const key = keyOf(entry.datapath, entry.port, entry.ip), mac = parseMac(entry.mac);
    row = key !== undefined && mac !== undefined
      && [key, words(mac.readUInt16BE(0), mac.readUInt32BE(2))];
    rows.set(entry, row);
  }
  return row || undefined;
}

export function macRows({ macBindings }: Desired): Rows {
  const all: Rows = new Map();
  for (const entry of macBindings.values()) {
    const row = rowOf(entry);
    if (row) all.set(...row);
  }
  return all;
}

/** What makes `actual` equal to that of the state which `change` leads to. */
export function macEdit(actual: Rows, { macBindings }: Desired, change: Change): Delta {
  const delta: Delta = { put: [], remove: [] };
  for (const text of change.macBindings) {
    const entry = macBindings.get(text);
    const row = entry && rowOf(entry);
    if (row && differ(actual.get(row[0]), row[1])) delta.put.push([...row]);
    if (row) continue;
    const [datapath, port, ip = ''] = text.split('/');
    const key = keyOf(Number(datapath), Number(port), ip);
    if (key !== undefined && actual.has(key)) delta.remove.push(key);
  }
  return delta;
}
