/**
 * Multicast groups that one port is all of on this chassis: what goes to the group goes to that
 * port (OVN v23.03.1, controller/physical.c, consider_mc_group). Such is "_MC_unknown" of a
 * provider network, where a frame to an address outside of OVN goes.
 */
import type { MulticastGroup, PortBinding } from '../southbound/rows.js';
import type { LocalChassis } from '../vswitch/local.js';
import { MULTICAST_KEY } from './limits.js';
import type { Localnet } from './localnet.js';
import type { Port } from './model.js';
import type { LocalView } from './physical.js';

/** Whether packets for the group leave by this member; undefined: not as plainly as that. */
function takes(row: PortBinding, at: LocalView, here: LocalChassis, localnet: Localnet):
  boolean | undefined {
  if (row.type === 'localnet') return here.localnets.has(row.logical_port);
  if (row.type !== '' || row.parent_port || row.additional_chassis.length > 0) return undefined;
  if (row.chassis !== undefined && row.chassis === at.chassis?._uuid) {
    return here.interfaces.has(row.logical_port) ? true : undefined;
  }
  // Others of the network are reached by what its localnet port sends.
  return localnet || row.chassis === undefined ? false : undefined;
}

/** The one member that packets leave by. */
function onlyMember(group: MulticastGroup, at: LocalView, here: LocalChassis,
  localnet: Localnet): PortBinding | undefined {
  let one: PortBinding | undefined;
  for (const uuid of group.ports) {
    const row = at.view.southbound.Port_Binding.get(uuid);
    if (!row) return undefined;
    if (row.datapath !== group.datapath) continue;
    const leaves = takes(row, at, here, localnet);
    if (leaves === undefined || (leaves && one)) return undefined;
    if (leaves) one = row;
  }
  return one;
}

/** Groups of the datapath with key `datapath` that are one of its `ports`. */
export function singleGroups(groups: Iterable<MulticastGroup>, datapath: number,
  ports: ReadonlyMap<string, Port>, at: LocalView, here: LocalChassis, localnet: Localnet): Port[] {
  const all = [...groups];
  if (localnet === 'several') return [];
  return all.flatMap((group): Port[] => {
    const { tunnel_key: key, name } = group;
    const unique = all.filter((other) => other.tunnel_key === key).length === 1;
    if (key < MULTICAST_KEY || key > 0xffff || !unique) return [];
    const member = onlyMember(group, at, here, localnet);
    const port = member && ports.get(`${datapath}/${member.tunnel_key}`);
    // Without a zone of its own the port gets that of an earlier member.
    if (port?.logical_port !== member?.logical_port || !port || port.zone === 0) return [];
    return [{ datapath, port: key, logical_port: name, kind: 'redirect', peerPort: port.port,
      zone: 0 }];
  });
}
