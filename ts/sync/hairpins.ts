/** Hairpins as rows: struct hairpin_key -> struct hairpin. */
import type { Change, Desired, Hairpin } from '../compile/model.js';
import { differ, type Delta, type Rows } from './image.js';
import type { Bytes } from './port.js';
import { idOf, words } from './wire.js';

const rows = new WeakMap<Hairpin, readonly [string, Bytes]>();
function rowOf(hairpin: Hairpin): readonly [string, Bytes] {
  let row = rows.get(hairpin);
  if (!row) rows.set(hairpin, row = [idOf(words(...hairpin.key)), words(...hairpin.snat)]);
  return row;
}

export const hairpinRows = ({ hairpins }: Desired): Rows =>
  new Map([...hairpins.values()].map(rowOf));

/** What makes `actual` equal to that of the state which `change` leads to. */
export function hairpinEdit(actual: Rows, { hairpins }: Desired, change: Change): Delta {
  const delta: Delta = { put: [], remove: [] };
  for (const text of change.hairpins) {
    const hairpin = hairpins.get(text);
    if (!hairpin) {
      const key = idOf(words(...text.split('.').map(Number)));
      if (actual.has(key)) delta.remove.push(key);
      continue;
    }
    const row = rowOf(hairpin);
    if (differ(actual.get(row[0]), row[1])) delta.put.push([...row]);
  }
  return delta;
}
