/**
 * The kernel's tables as sync/ sees them: named maps of bytes. The daemon implements
 * this over libbpf, `fake_port.ts` in memory.
 */
export const arrayMaps = ['control', 'tuples', 'stages', 'programs', 'buckets', 'tunnels',
  'flow_uuids', 'flow_drops', 'cache_versions', 'views', 'single_rules', 'rows',
  'set_lookups'] as const;
export const hashMaps = ['dispatch', 'ports', 'ifaces', 'datapaths', 'tunnel_sources', 'providers',
  'net_macs', 'rules_s', 'rules_m', 'rules_l', 'mac_bindings', 'hairpins', 'devmap',
  'set_hosts', 'set_prefixes'] as const;
export type ArrayMap = (typeof arrayMaps)[number];
export type HashMap = (typeof hashMaps)[number];
export type MapName = ArrayMap | HashMap;
export type Bytes = Uint8Array;

/** Keys and values have exactly the sizes of abi.h's types; array maps have u32 keys. */
export interface MapPort {
  /** max_entries. */
  capacity(map: MapName | 'cache'): number;
  get(map: MapName, key: Bytes): Bytes | undefined;
  /** Writes in order; later wins. Per-CPU maps get the value on every CPU. Throws when the
   * kernel refuses; entries before the refused one may have been written. */
  put(map: MapName, entries: readonly (readonly [Bytes, Bytes])[]): void;
  /** Keys that are absent are no error. */
  delete(map: HashMap, keys: readonly Bytes[]): void;
  keys(map: HashMap): Bytes[];
  /** Every entry, read as one goes; for arrays also those never written (all zero). */
  entries(map: MapName): Iterable<readonly [Bytes, Bytes]>;
  /** Returns when every packet that was in a program at the call has left it. */
  grace(): void;
}
