/** From the desired state and this machine's devices to attachments and placement. */
import type { Desired } from '../compile/model.js';
import type { Device, Placement } from '../sync/image.js';
import type { LocalChassis } from '../vswitch/local.js';
import { probe } from '../libbpf/probe.js';
import { datapathTypeOf, isKernelDatapath, planDevice, readDevices, wireOf, type NetDevice,
  type Plan } from './devices.js';
import { resolve, throughGeneve, type RunIp } from './neighbours.js';

export interface Placed {
  readonly placement: Placement;
  readonly plans: readonly Plan[];
}

/** Devices of VIFs that have a place on this chassis. */
function vifDevices(desired: Desired): Set<string> {
  return new Set([...desired.ports.values()].flatMap(({ kind, device }) =>
    kind === 'local' && device !== undefined ? [device] : []));
}

export interface Machine {
  /** Devices by name; XDP features for those that `wanted` names. */
  devices(wanted: (name: string) => boolean): ReadonlyMap<string, NetDevice>;
  readonly ip?: RunIp;
  /** Whether the kernel has tcx. */
  tcx(): boolean;
}
let hasTcx: boolean | undefined;
export const thisMachine: Machine = { devices: readDevices,
  tcx: () => hasTcx ??= probe.tcx() };

/** Reads devices, routes and neighbours, and decides about each device. */
export async function place(desired: Desired, here: LocalChassis, machine = thisMachine):
  Promise<Placed> {
  const vifs = vifDevices(desired);
  const bridgePorts = new Set([...here.bridges.values()].flatMap(({ ports }) => ports));
  const devices = machine.devices((name) => vifs.has(name) || bridgePorts.has(name));
  const integration = here.bridges.get(here.integration_bridge)?.datapath_type ?? '';
  const remotes = [...desired.tunnels.keys()];
  const { nextHops, wires } = isKernelDatapath(integration)
    ? await throughGeneve(remotes, devices, machine.ip)
    : await resolve(remotes, devices, (device) => wireOf(device, devices, here), machine.ip);
  const tcx = machine.tcx();
  const plans = [
    ...[...vifs].flatMap((name) => {
      const device = devices.get(name);
      return device ? [planDevice('vif', device, integration, tcx)] : [];
    }),
    ...[...wires.values()].map((device) =>
      planDevice('uplink', device, datapathTypeOf(device.name, here), tcx)),
  ];
  return { plans, placement: placementOf(plans, nextHops) };
}

function placementOf(plans: readonly Plan[], nextHops: Placement['nextHops']): Placement {
  const used = plans.filter(({ hook }) => hook !== 'none');
  const entry = ({ device, target }: Plan): Device =>
    ({ ifindex: device.ifindex, mtu: device.mtu, target });
  const targets = new Set(used.filter(({ role, target }) => role === 'uplink' && target)
    .map(({ device }) => device.ifindex));
  return {
    devices: new Map(used.filter(({ role }) => role === 'vif')
      .map((plan) => [plan.device.name, entry(plan)])),
    uplinks: used.filter(({ role }) => role === 'uplink').map(entry),
    // A way through a device that takes no frames is no way.
    nextHops: new Map([...nextHops].filter(([, { ifindex }]) => targets.has(ifindex))),
  };
}

/** Equal texts, equal placements. */
export function placementText({ devices, uplinks, nextHops }: Placement): string {
  return JSON.stringify([[...devices], uplinks, [...nextHops].map(([ip, hop]) => [ip, hop.ifindex,
    hop.mtu, Buffer.from(hop.ethDst).toString('hex'), Buffer.from(hop.ethSrc).toString('hex')])]);
}
