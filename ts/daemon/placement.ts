/** From the desired state and this machine's devices to attachments and placement. */
import type { Desired } from '../compile/model.js';
import type { Device, Placement } from '../sync/image.js';
import type { LocalChassis } from '../vswitch/local.js';
import { probe } from '../libbpf/probe.js';
import { datapathTypeOf, integrationDatapath, isKernelDatapath, leave, planDevice, planReceive,
  readDevices, sayTcOnly, wireOf, type NetDevice, type Plan } from './devices.js';
import { parseMac } from '../sync/addresses.js';
import { judgeBridge, type BridgeProbe, type Probed } from './provider_bridge.js';
import { resolve, throughGeneve, type RunIp } from './neighbours.js';
import { readReceive } from './receive_setting.js';

export interface Placed {
  readonly placement: Placement;
  readonly plans: readonly Plan[];
}
/** A provider bridge that is wanted, with the plan for its NIC if it has one. */
interface Wanted { readonly bridge: string; readonly plan: Plan; readonly own: NetDevice }

/** Devices of VIFs that have a place on this chassis. */
function vifDevices(desired: Desired): Set<string> {
  return new Set([...desired.ports.values()].flatMap(({ kind, device }) =>
    kind === 'local' && device !== undefined ? [device] : []));
}

export interface Machine {
  /** Devices by name; XDP features for those that `wanted` names. */
  devices(wanted: (name: string) => boolean): ReadonlyMap<string, NetDevice>;
  readonly ip?: RunIp;
  /** What ovs-vswitchd says of a provider bridge. */
  readonly bridge?: BridgeProbe;
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
  const integration = integrationDatapath(here);
  const byNic = isKernelDatapath(integration) && readReceive(here.settings).value === 'nic';
  // Which ones the routes use is not known yet.
  const devices = machine.devices((name) => byNic || vifs.has(name) || bridgePorts.has(name));
  const remotes = [...desired.tunnels.keys()];
  const wire = (device: string): NetDevice | undefined => wireOf(device, devices, here);
  const { nextHops, wires, nics } = isKernelDatapath(integration)
    ? await throughGeneve(remotes, devices, wire, machine.ip)
    : { ...await resolve(remotes, devices, wire, machine.ip), nics: undefined };
  const tcx = machine.tcx();
  const shaped = new Map([...here.interfaces.values()].flatMap((each) =>
    each.shaped === undefined ? [] : [[each.name, each.shaped] as const]));
  const providers = await planProviders(desired, here, devices, machine);
  const plans: Plan[] = [
    ...[...vifs].flatMap((name) => {
      const device = devices.get(name), limit = shaped.get(name);
      if (!device) return [];
      return [limit === undefined ? planDevice('vif', device, integration, tcx)
        : leave('vif', device, `${limit}: the fast path would pass it by`)];
    }),
    ...[...wires.values()].map((device) =>
      planDevice('uplink', device, datapathTypeOf(device.name, here), tcx)),
    ...providers.map(({ plan }) => plan),
  ];
  if (!byNic) return { plans, placement: placementOf(plans, nextHops, providers) };
  const all = [...plans.map(sayTcOnly),
    ...[...nics?.values() ?? []].map((nic) => planReceive(nic, plans))];
  return { plans: all, placement: placementOf(all, nextHops, providers) };
}

/** Provider bridges that local switches have a localnet port on, as far as there is a NIC. */
async function planProviders(desired: Desired, here: LocalChassis,
  devices: ReadonlyMap<string, NetDevice>, machine: Machine): Promise<Wanted[]> {
  const names = new Set((desired.localnets ?? []).flatMap(({ bridge }) => bridge ?? []));
  const wanted: Wanted[] = [];
  for (const name of [...names].sort()) {
    const bridge = here.bridges.get(name), own = devices.get(name);
    if (!bridge || !own) continue;
    const probed: Probed = await machine.bridge?.(name) ?? { problem: 'nobody to ask' };
    const { nic, problem } = judgeBridge(bridge, own.mac,
      here.bridges.get(here.integration_bridge)?.ports ?? [], probed);
    // A bond of OVS's is no device: its bridge stands for it.
    const device = devices.get(nic ?? '') ?? own;
    const left = problem ?? (device === own ? 'no NIC' : undefined);
    wanted.push({ bridge: name, own, plan: left !== undefined
      ? leave('provider', device, `${name}: ${left}`)
      : planDevice('provider', device, bridge.datapath_type, machine.tcx()) });
  }
  return wanted;
}

function placementOf(plans: readonly Plan[], nextHops: Placement['nextHops'],
  wanted: readonly Wanted[]): Placement {
  const used = plans.filter(({ hook }) => hook !== 'none');
  const entry = ({ device, target, tcOnly }: Plan): Device =>
    ({ ifindex: device.ifindex, mtu: device.mtu, target, ...tcOnly && { tcOnly } });
  const targets = new Set(used.filter(({ role, target }) => role === 'uplink' && target)
    .map(({ device }) => device.ifindex));
  return {
    devices: new Map(used.filter(({ role }) => role === 'vif')
      .map((plan) => [plan.device.name, entry(plan)])),
    uplinks: used.flatMap((plan) => plan.role === 'uplink' ? [entry(plan)]
      : plan.role === 'receive' ? [{ ...entry(plan), beforeTc: true }] : []),
    providers: new Map(wanted.flatMap(({ bridge, plan, own }) => {
      const mac = parseMac(own.mac);
      if (plan.hook === 'none' || !mac) return [];
      const view = Buffer.from(mac);
      return [[bridge, { ...entry(plan),
        bridgeMac: [view.readUInt16BE(0), view.readUInt32BE(2)] as const }] as const];
    })),
    // A way through a device that takes no frames is no way.
    nextHops: new Map([...nextHops].filter(([, { ifindex }]) => targets.has(ifindex))),
  };
}

/** Equal texts, equal placements. */
export function placementText({ devices, uplinks, providers, nextHops }: Placement): string {
  return JSON.stringify([[...devices], uplinks, [...providers],
    [...nextHops].map(([ip, hop]) => [ip, hop.ifindex, hop.mtu, hop.direct,
      Buffer.from(hop.ethDst).toString('hex'), Buffer.from(hop.ethSrc).toString('hex')])]);
}
