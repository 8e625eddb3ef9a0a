/** Network devices of this namespace, and what may be done at each. */
import { BpfError } from '../libbpf/error.js';
import { hidesVlanTags, interfaces, xdpFeatures, type XdpFeature } from '../libbpf/net.js';
import { formatMac } from '../sync/addresses.js';
import type { LocalChassis } from '../vswitch/local.js';

export interface NetDevice {
  readonly name: string;
  readonly ifindex: number;
  readonly mtu: number;
  readonly mac: string;
  readonly up: boolean;
  /** rtnl_link_ops' kind ("veth", "tun", "bridge"); empty for hardware. */
  readonly kind: string;
  /** Undefined when the kernel (before 6.3) cannot tell. */
  readonly xdp: ReadonlySet<XdpFeature> | undefined;
  /** Takes VLAN tags out of frames, so that XDP does not see them. */
  readonly hidesTags?: boolean | undefined;
}

/** The devices of this namespace by name; `wanted` are those whose XDP features matter. */
export function readDevices(wanted: (name: string) => boolean): Map<string, NetDevice> {
  return new Map(interfaces().map((link) => [link.name, {
    name: link.name, ifindex: link.index, mtu: link.mtu, mac: formatMac(link.mac), up: link.up,
    kind: link.kind ?? '',
    ...wanted(link.name) ? { xdp: vanishing(() => xdpFeatures(link.index), new Set<XdpFeature>()),
      hidesTags: vanishing(() => hidesVlanTags(link.name), true) } : { xdp: undefined },
  }]));
}

/** A device that vanishes meanwhile can do nothing. */
function vanishing<T>(ask: () => T, gone: T): T {
  try {
    return ask();
  } catch (error) {
    if (error instanceof BpfError && error.code === 'ENODEV') return gone;
    throw error;
  }
}

/** tcx, and clsact where the kernel has no tcx, are one program at two kinds of hook. */
export type Hook = 'xdp' | 'tcx' | 'clsact' | 'none';
export interface Plan {
  /** receive: what comes by geneve is decided there, if it can be, before it gets to the uplink. */
  readonly role: 'vif' | 'uplink' | 'provider' | 'receive';
  readonly device: NetDevice;
  readonly hook: Hook;
  /** Whether frames may be redirected into the device; with tcOnly not by XDP. */
  readonly target: boolean;
  readonly tcOnly?: boolean;
  /** Why this hook, and why not a target; for `ovn-xdp ports`. */
  readonly reason: string;
}

/** OVS's kernel datapath receives and sends all geneve by this device (lib/dpif-netlink.c). */
export const geneveDevice = 'genev_sys_6081';

/** What "system" and the empty datapath_type of a bridge mean. */
export const isKernelDatapath = (datapathType: string): boolean =>
  datapathType === '' || datapathType === 'system';

/** The integration bridge's datapath_type; empty also without the bridge. */
export const integrationDatapath = ({ bridges, integration_bridge: name }: LocalChassis): string =>
  bridges.get(name)?.datapath_type ?? '';

/** No program: OVS forwards as ever. */
export const leave = (role: Plan['role'], device: NetDevice, reason: string): Plan =>
  ({ role, device, hook: 'none', target: false, reason });

/** Userspace OVS reads devices by packet sockets, which see a frame before TC could take it;
 * only native XDP keeps it from OVS. OVS's kernel datapath takes frames after TC, which leaves
 * segmentation and checksums to the devices, as XDP does not. */
export function planDevice(role: Plan['role'], device: NetDevice, datapathType: string,
  tcx: boolean): Plan {
  const left = (reason: string): Plan => leave(role, device, reason);
  if (isKernelDatapath(datapathType)) {
    return { role, device, hook: tcx ? 'tcx' : 'clsact', target: true,
      tcOnly: !takesXdp(device), reason:
      `kernel OVS: TC sees packets before it, whole; ${tcx ? 'this kernel has tcx'
        : 'by clsact, since this kernel has no tcx (a query of it fails)'}` };
  }
  if (datapathType !== 'netdev') return left(`unknown datapath_type "${datapathType}"`);
  const features = device.xdp;
  if (features?.has('basic') === false) return left('the driver has no native XDP');
  if (features?.has('redirect') === false) return left('the driver does not redirect');
  if (role === 'provider' && device.hidesTags !== false) {
    return left('XDP would not see VLAN tags (ethtool -K DEVICE rxvlan off shows them)');
  }
  const base = 'userspace OVS: native XDP sees frames before its packet socket';
  if (features === undefined) {
    return { role, device, hook: 'xdp', target: true,
      reason: `${base}; this kernel does not say which devices take redirected frames` };
  }
  const target = features.has('ndoXmit');
  return { role, device, hook: 'xdp', target, reason: target ? base
    : `${base}; ${noTarget(device)}, so frames to it are left to OVS` };
}

function noTarget(device: NetDevice): string {
  if (device.kind !== 'veth') return 'the driver takes no redirected frames';
  return 'the peer of this veth does not poll (ethtool -K PEER gro on would make it)';
}

/** Of a tap that needs no kernel which can tell. */
const takesXdp = ({ xdp, kind }: NetDevice): boolean => xdp?.has('ndoXmit') ?? kind === 'tun';

/** XDP under OVS's kernel datapath (ovn-xdp-receive=nic), where frames of other chassis come in;
 * what it leaves goes on to TC at the geneve device. `others`: the programs at TC. */
export function planReceive(device: NetDevice, others: readonly Plan[]): Plan {
  const left = (why: string): Plan =>
    leave('receive', device, `geneve is received at ${geneveDevice} only: ${why}`);
  const other = others.find((plan) => plan.hook !== 'none' &&
    plan.device.ifindex === device.ifindex);
  if (other) return left(`a device has one program of ours, and this is a ${other.role} at TC`);
  if (device.xdp?.has('basic') === false) return left('the driver has no native XDP');
  if (device.xdp?.has('redirect') === false) return left('the driver does not redirect');
  return { role: 'receive', device, hook: 'xdp', target: false, reason:
    `ovn-xdp-receive=nic: native XDP takes geneve here, and leaves to ${geneveDevice} what it `
    + 'cannot carry' };
}

/** With the reason why XDP leaves the device's frames to TC. */
export function sayTcOnly(plan: Plan): Plan {
  if (plan.role !== 'vif' || plan.hook === 'none' || !plan.tcOnly) return plan;
  const why = plan.device.xdp ? noTarget(plan.device)
    : 'this kernel does not say which devices take redirected frames';
  return { ...plan, reason: `${plan.reason}; ${why}, so XDP leaves frames to it to TC` };
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
