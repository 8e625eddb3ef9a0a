/** A generated cloud as hosts in and around it see it: who is where, and by which way. */
import { addressKey } from './nat_canonical.js';
import type { NatCloud } from './nat_clouds.js';
import { familyOf } from '../neutron.js';
import { concat, type Bytes } from '../packet.js';

type Family = 4 | 6;
/** An instance, or a host outside with this address in an external network. */
export type End = { readonly instance: string }
  | { readonly outside: string; readonly network: string };

export const outDevice = 'out';
export const outsideMac = '02:00:00:00:0e:07';

/** What frames need to know of the cloud. */
export class NatWorld {
  private readonly translated: ReadonlySet<string>;

  constructor(readonly ground: NatCloud) {
    const { routers } = ground.cloud.spec;
    this.translated = new Set([
      ...routers.flatMap(({ gateway, floatingIps = [] }) =>
        [...gateway?.addresses ?? [], ...floatingIps.map(({ address }) => address)]),
      ...ground.vips.filter(({ outside }) => outside).map(({ address }) => address),
    ].map(addressKey));
  }

  get cloud() { return this.ground.cloud; }
  isTranslated(key: string): boolean { return this.translated.has(key); }
  placeOf(end: End): string { return 'instance' in end ? end.instance : outDevice; }

  ipOf(end: End, family: Family): string {
    return 'instance' in end ? this.cloud.ipOf(end.instance, family) ?? '' : end.outside;
  }

  macOf(end: End): string {
    return 'instance' in end ? this.cloud.macOf(end.instance) : outsideMac;
  }

  routerOf(instance: string) {
    const { network } = this.cloud.instance(instance);
    return this.cloud.spec.routers.find(({ networks }) => networks.includes(network));
  }

  /** What `from` has in its neighbour table for the way to `to`. */
  nextHop(from: End, to: string): string {
    const { cloud } = this;
    if (!('instance' in from)) return this.nextHopOutside(from.network, to);
    const { network } = cloud.instance(from.instance);
    const neighbour = cloud.spec.instances.find(({ name, network: home }) => home === network
      && cloud.ipOf(name, familyOf(to)) !== undefined
      && addressKey(cloud.ipOf(name, familyOf(to)) ?? '') === addressKey(to));
    if (neighbour !== undefined) return cloud.macOf(neighbour.name);
    return cloud.routerMac(this.routerOf(from.instance)?.name ?? '', network);
  }

  private nextHopOutside(network: string, to: string): string {
    const { cloud } = this, key = addressKey(to);
    for (const { name, gateway, floatingIps = [] } of cloud.spec.routers) {
      if (gateway?.network !== network) continue;
      const floating = floatingIps.find(({ address }) => addressKey(address) === key);
      if (floating?.distributed === true) return cloud.floatingMac(floating.instance);
      const mine = floating !== undefined
        || gateway.addresses.some((address) => addressKey(address) === key)
        || this.ground.vips.some(({ router, address }) =>
          router === name && addressKey(address) === key);
      if (mine) return cloud.routerMac(name, network);
    }
    return cloud.routerMac(cloud.spec.routers[0]?.name ?? '', network);
  }

  /** As it is on the provider network's wire. */
  onWire(frame: Bytes, vlan: number | undefined): Bytes {
    return vlan === undefined ? frame : concat(frame.subarray(0, 12),
      Uint8Array.of(0x81, 0, vlan >> 8, vlan & 255), frame.subarray(12));
  }

  vlanOf(end: End): number | undefined {
    return 'instance' in end ? undefined : this.cloud.network(end.network).provider?.vlan;
  }
}

