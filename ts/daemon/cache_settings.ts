/**
 * What operators set about the connection cache, as external_ids of the local Open_vSwitch
 * database:
 *
 *   ovn-xdp-cache-sets   sets of four entries on each CPU, 0 for no cache; the table's size is
 *                        fixed when it is made, a smaller number is in force at once
 */
export const cacheSetting = 'cache-sets';
/** Sets that a table can have: 28 GB a CPU are no cache any more. */
const most = 2 ** 25;

/** Sets wanted; undefined: not set, or no such number. */
export function readCacheSets(settings: ReadonlyMap<string, string>):
  { value: number | undefined; problem: string | undefined } {
  const text = settings.get(cacheSetting);
  const value = text !== undefined && /^\d{1,8}$/.test(text) && Number(text) <= most
    ? Number(text) : undefined;
  return { value, problem: text === undefined || value !== undefined ? undefined
    : `ovn-xdp-${cacheSetting}="${text}" is not a number of sets` };
}
