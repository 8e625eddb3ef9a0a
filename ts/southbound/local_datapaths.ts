/**
 * Which datapaths are local to a chassis: ovn-controller's local_datapaths, from the rows
 * alone (controller/binding.c and local_data.c of OVN 23.03.1). Claims come from the rows
 * (Port_Binding.chassis), so a port counts once ovn-controller has bound it.
 */
import type { Chassis, PortBinding, Uuid } from './rows.js';
import type { View } from './view.js';

/** The option that says which chassis a port of these types is for (by name). */
const chassisOption: Readonly<Record<string, string>> = {
  l2gateway: 'l2gateway-chassis', l3gateway: 'l3gateway-chassis',
};
/** Types that are claimed by binding: VIF and container ports, virtual ports. */
const bound = new Set(['', 'virtual']);
/** Types whose whole group of chassis has the datapath, active or standing by. */
const grouped = new Set(['chassisredirect', 'external']);

/** UUIDs of the local datapaths. Datapaths without a row are not among them. */
export function localDatapaths(view: View, chassis: Chassis): ReadonlySet<Uuid> {
  const local = new Set<Uuid>();
  const pending: Uuid[] = [];
  const add = (datapath: Uuid): void => {
    if (local.has(datapath) || !view.southbound.Datapath_Binding.has(datapath)) return;
    local.add(datapath);
    pending.push(datapath);
  };
  for (const port of seeds(view, chassis)) add(port.datapath);
  for (let datapath = pending.pop(); datapath !== undefined; datapath = pending.pop()) {
    for (const port of view.crossingsOf(datapath).values()) {
      const peer = view.peerOf(port);
      if (peer !== undefined && peerIsLocal(view, port, chassis)) add(peer.datapath);
    }
  }
  return local;
}

function* seeds(view: View, chassis: Chassis): Generator<PortBinding, void> {
  for (const port of view.all('portsByChassis', chassis._uuid).values()) {
    if (bound.has(port.type)) yield port;
  }
  for (const [type, option] of Object.entries(chassisOption)) {
    for (const port of view.all('portsByType', type).values()) {
      if (port.options.get(option) === chassis.name) yield port;
    }
  }
  for (const type of grouped) {
    for (const port of view.all('portsByType', type).values()) {
      if (groupContains(view, port.ha_chassis_group, chassis)) yield port;
    }
  }
}

function groupContains(view: View, group: Uuid | undefined, chassis: Chassis): boolean {
  const row = group === undefined ? undefined : view.southbound.HA_Chassis_Group.get(group);
  return (row?.ha_chassis ?? []).some((uuid) =>
    view.southbound.HA_Chassis.get(uuid)?.chassis === chassis._uuid);
}

/** need_add_peer_to_local() of local_data.c: does the walk go through this local port? */
export function peerIsLocal(view: View, port: PortBinding, chassis: Chassis): boolean {
  if (port.type === 'l3gateway') return port.chassis === chassis._uuid;
  const redirectName = port.options.get('chassis-redirect-port');
  if (redirectName === undefined) return true;
  // A distributed gateway port: its router side is everywhere, unless all is redirected.
  const redirect = view.portByName(redirectName);
  if (redirect === undefined) return false;
  if (redirect.options.get('always-redirect')?.toLowerCase() !== 'true') return true;
  return groupContains(view, redirect.ha_chassis_group, chassis);
}
