import type { Interface } from '../../native/index.js';
import { native } from './native.js';

export type { Interface };

/** Bits of the kernel's enum netdev_xdp_act (linux/netdev.h, Linux 6.3). */
export const xdpFeatureBits = Object.freeze({
  basic: 1, redirect: 2, ndoXmit: 4, xskZerocopy: 8, hwOffload: 16, rxSg: 32, ndoXmitSg: 64,
});
export type XdpFeature = keyof typeof xdpFeatureBits;

/** The devices of this thread's network namespace, by netlink. */
export function interfaces(): Interface[] { return native.interfaces(); }
export function ifNameToIndex(name: string): number | undefined {
  return native.ifNameToIndex(name);
}
export function ifIndexToName(index: number): string | undefined {
  return native.ifIndexToName(index);
}

/**
 * What a device's driver says it can do with XDP. `ndoXmit`: frames redirected to the device are
 * taken; `redirect`: frames that came in on it can be redirected. Undefined: the kernel is older
 * than 6.3 and cannot say. ENODEV: no such device.
 */
export function xdpFeatures(ifindex: number): ReadonlySet<XdpFeature> | undefined {
  const bits = native.xdpFeatures(ifindex);
  if (bits === undefined) return undefined;
  const names = Object.keys(xdpFeatureBits) as XdpFeature[];
  return new Set(names.filter((name) => bits & xdpFeatureBits[name]));
}

/** ETH_FLAG_RXVLAN of linux/ethtool.h. */
const RXVLAN = 1 << 8;

/**
 * Whether the device takes VLAN tags out of the frames it receives (ethtool's rx-vlan-offload),
 * so that an XDP program does not see them. Undefined: the driver does not say. ENODEV: no such
 * device.
 */
export function hidesVlanTags(name: string): boolean | undefined {
  const flags = native.ethtoolFlags(name);
  return flags === undefined ? undefined : (flags & RXVLAN) !== 0;
}

/**
 * Runs `call` with this thread inside the network namespace at `path` ("/run/netns/x") and comes
 * back before it returns. Other threads, and the mounts, stay as they are, so BPF pins work.
 * `call` must be synchronous: what it would do after an await would happen outside.
 */
export function inNetns<T>(path: string, call: () => T): T {
  const result = native.inNetns(path, call);
  if (result instanceof Promise) {
    throw new TypeError('inNetns: the function must not be asynchronous');
  }
  return result;
}
