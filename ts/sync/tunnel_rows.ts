/** How rows of `tunnels` change, which packets look at meanwhile. */
import type { Rows } from './image.js';
import type { Bytes } from './port.js';
import { toWords, words } from './wire.js';

type Row = readonly [string, Bytes];

/** A tunnel is not replaced as a whole by the kernel, so it changes while it is not ready: packets
 * punt meanwhile, and never leave with half of an address. `actual`: the rows that are there. */
export function changeTunnels(actual: Rows, changed: readonly Row[], grace: () => void,
  put: (rows: readonly Row[]) => void): void {
  const ready = (value: Bytes): boolean => toWords(value)[0] !== 0;
  const notReady = (value: Bytes): Bytes => Buffer.concat([words(0), value.subarray(4)]);
  const down = changed.flatMap(([key]): Row[] => {
    const old = actual.get(key);
    return old && ready(old) ? [[key, notReady(old)]] : [];
  });
  put(down);
  if (down.length > 0) grace();
  put(changed.map(([key, value]) => [key, notReady(value)]));
  const up = changed.filter(([, value]) => ready(value));
  if (up.length > 0) grace();
  put(up);
}
