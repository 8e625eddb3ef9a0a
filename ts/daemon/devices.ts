/** Network devices of this namespace, and what may be done at each. Pure. */
import type { LocalChassis } from '../vswitch/local.js';

export interface NetDevice {
  readonly name: string;
  readonly ifindex: number;
  readonly mtu: number;
  readonly mac: string;
  readonly up: boolean;
  /** rtnl_link_ops' kind ("veth", "tun", "bridge"); empty for hardware. */
  readonly kind: string;
  /** enum netdev_xdp_act (Linux 6.3); undefined when the kernel cannot tell. */
  readonly xdpFeatures: number | undefined;
}

const XDP_BASIC = 1, XDP_REDIRECT = 2, XDP_NDO_XMIT = 4;
export type Hook = 'xdp' | 'none';
export interface Plan {
  readonly role: 'vif' | 'uplink';
  readonly device: NetDevice;
  readonly hook: Hook;
  /** Whether frames may be redirected into the device. */
  readonly target: boolean;
  /** Why this hook, and why not a target; for `ovn-xdp ports`. */
  readonly reason: string;
}

/** Userspace OVS reads devices by packet sockets, which see a frame before TC could take it;
 * only native XDP keeps it from OVS. Under OVS's kernel datapath the port is left to OVS. */
export function planDevice(role: Plan['role'], device: NetDevice, datapathType: string): Plan {
  const left = (reason: string): Plan => ({ role, device, hook: 'none', target: false, reason });
  if (datapathType !== 'netdev') {
    return left(`the bridge's datapath_type is "${datapathType || 'system'}", not "netdev"`);
  }
  const features = device.xdpFeatures;
  if (features !== undefined && !(features & XDP_BASIC)) {
    return left('the driver has no native XDP');
  }
  if (features !== undefined && !(features & XDP_REDIRECT)) {
    return left('the driver does not redirect');
  }
  const base = 'userspace OVS: native XDP sees frames before its packet socket';
  if (features === undefined) {
    return { role, device, hook: 'xdp', target: true,
      reason: `${base}; this kernel does not say which devices take redirected frames` };
  }
  const target = (features & XDP_NDO_XMIT) !== 0;
  return { role, device, hook: 'xdp', target, reason: target ? base
    : `${base}; ${noTarget(device)}, so frames to it are left to OVS` };
}

function noTarget(device: NetDevice): string {
  if (device.kind !== 'veth') return 'the driver takes no redirected frames';
  return 'the peer of this veth does not poll (ethtool -K PEER gro on would make it)';
}

/** The wire behind a route's device: see neighbours.WireOf. A VIF is no wire. */
export function wireOf(device: string, devices: ReadonlyMap<string, NetDevice>,
  { bridges, interfaces }: LocalChassis): NetDevice | undefined {
  const bridge = bridges.get(device);
  if (!bridge) return devices.get(device);
  const vifs = new Set([...interfaces.values()].map(({ name }) => name));
  const wires = bridge.ports.filter((port) => port !== device && !vifs.has(port))
    .flatMap((port) => devices.get(port) ?? []);
  return wires.length === 1 ? wires[0] : undefined;
}

/** The datapath type that reads an uplink: that of the bridge whose port it is. */
export function datapathTypeOf(device: string, { bridges, integration_bridge }: LocalChassis):
  string {
  const holder = [...bridges.values()].find(({ ports }) => ports.includes(device));
  return (holder ?? bridges.get(integration_bridge))?.datapath_type ?? '';
}
