/** An in-memory kernel for tests: the maps as bytes, with the kernel's refusals. */
import * as abi from '../abi/generated.js';
import { arrayMaps, hashMaps, type Bytes, type HashMap, type MapName, type MapPort }
  from './port.js';
import { bytesOf, idOf, toWords, words } from './wire.js';

const valueBytes: { readonly [M in MapName]: number } = {
  control: abi.control.size, tuples: abi.tuple.size, stages: abi.stage.size,
  programs: abi.program.size, buckets: abi.buckets.size, tunnels: abi.tunnel.size,
  flow_uuids: abi.flowUuid.size,
  flow_drops: abi.counter.size, cache_versions: 4, views: abi.view.size,
  single_rules: abi.rule.size, rows: abi.row.size, dispatch: 4, ports: abi.port.size,
  ifaces: abi.iface.size, providers: abi.provider.size, net_macs: abi.netMac.size,
  datapaths: abi.datapath.size, tunnel_sources: 4, rules_s: abi.rule.size, rules_m: abi.rule.size,
  rules_l: abi.rule.size, mac_bindings: abi.macBinding.size, hairpins: abi.hairpin.size, devmap: 4,
  set_lookups: abi.setLookups.size, set_hosts: abi.setMember.size, set_prefixes: abi.setMember.size,
};
const keyBytes: { readonly [M in HashMap]: number } = {
  dispatch: abi.dispatchKey.size, ports: abi.portKey.size, ifaces: abi.ifaceKey.size,
  datapaths: abi.datapathKey.size, tunnel_sources: abi.tunnelSourceKey.size,
  rules_s: abi.ruleKeyS.size, rules_m: abi.ruleKeyM.size, rules_l: abi.ruleKeyL.size,
  mac_bindings: abi.macBindingKey.size, hairpins: abi.hairpinKey.size,
  providers: abi.providerKey.size, net_macs: abi.netMacKey.size, devmap: 4,
  set_hosts: abi.setHostKey.size, set_prefixes: abi.setPrefixKey.size,
};
const isArray = (map: MapName): boolean => (arrayMaps as readonly string[]).includes(map);

/** Thrown in place of a write when `writesLeft` is used up: the agent was killed. */
export class Killed extends Error {}

export class FakePort implements MapPort {
  readonly maps = new Map<MapName, Map<string, Bytes>>();
  /** Writes until the agent dies; each entry of a batch is one. */
  writesLeft = Infinity;
  graces = 0;
  /** Entries read, written or deleted. */
  asked = 0;
  /** Called after each single write. */
  onWrite: () => void = () => {};
  readonly badDevices = new Set<number>();

  constructor(readonly capacities: Partial<Record<MapName, number>> = {}) {
    for (const map of [...arrayMaps, ...hashMaps]) this.maps.set(map, new Map());
  }

  capacity(map: MapName | 'cache'): number {
    if (map === 'cache') return 64;
    if (map === 'cache_versions') return abi.CACHE_VERSIONS;
    return this.capacities[map] ?? (map === 'control' ? 1 : isArray(map) ? 192 : 1024);
  }

  get(map: MapName, key: Bytes): Bytes | undefined {
    this.asked += 1;
    if (isArray(map) && (toWords(key)[0] ?? 0) >= this.capacity(map)) return undefined;
    const found = this.#map(map).get(idOf(key));
    return found ?? (isArray(map) ? Buffer.alloc(valueBytes[map]) : undefined);
  }

  put(map: MapName, entries: readonly (readonly [Bytes, Bytes])[]): void {
    for (const [key, value] of entries) {
      this.#check(map, key, value);
      this.#write();
      this.#map(map).set(idOf(key), Buffer.from(value));
      this.onWrite();
    }
  }

  delete(map: HashMap, keys: readonly Bytes[]): void {
    for (const key of keys) {
      this.#write();
      this.#map(map).delete(idOf(key));
      this.onWrite();
    }
  }

  keys(map: HashMap): Bytes[] { return [...this.#map(map).keys()].map(bytesOf); }

  entries(map: MapName): [Bytes, Bytes][] {
    if (!isArray(map) || map === 'cache_versions') {
      return [...this.#map(map)].map(([key, value]) => [bytesOf(key), value]);
    }
    return Array.from({ length: this.capacity(map) }, (_, i) =>
      [words(i), this.get(map, words(i)) ?? Buffer.alloc(0)]);
  }

  grace(): void { this.graces += 1; }

  #map(map: MapName): Map<string, Bytes> {
    const found = this.maps.get(map);
    if (!found) throw new Error(`no map ${map}`);
    return found;
  }

  #check(map: MapName, key: Bytes, value: Bytes): void {
    const keySize = isArray(map) ? 4 : keyBytes[map as HashMap];
    if (key.length !== keySize || value.length !== valueBytes[map]) {
      throw new Error(`${map}: key of ${key.length} and value of ${value.length} bytes`);
    }
    if (isArray(map) && (toWords(key)[0] ?? 0) >= this.capacity(map)) {
      throw new Error(`${map}: E2BIG`);
    }
    const held = this.#map(map);
    if (!isArray(map) && !held.has(idOf(key)) && held.size >= this.capacity(map)) {
      throw new Error(`${map}: E2BIG`);
    }
    if (map === 'devmap' && this.badDevices.has(toWords(value)[0] ?? 0)) {
      throw new Error('devmap: EINVAL');
    }
  }

  #write(): void {
    this.asked += 1;
    if (this.writesLeft <= 0) throw new Killed('killed');
    this.writesLeft -= 1;
  }
}
