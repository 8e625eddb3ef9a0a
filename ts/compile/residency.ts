/**
 * Which chassis is active for a port that several may serve (OVN v23.03.1,
 * controller/ha-chassis.c): by priority among those whose tunnels are up by BFD.
 */
import type { Chassis, HaChassisGroup, PortBinding, Uuid } from '../southbound/rows.js';
import type { View } from '../southbound/view.js';
import type { LocalChassis } from '../vswitch/local.js';

interface Member { readonly chassis: Chassis; readonly priority: number }

/** Those with a row, the first to serve first; of equal ones the later name. */
function ordered(view: View, group: HaChassisGroup): readonly Member[] {
  const members = group.ha_chassis.flatMap((uuid): Member[] => {
    const row = view.southbound.HA_Chassis.get(uuid);
    const chassis = row?.chassis && view.southbound.Chassis.get(row.chassis);
    return row && chassis ? [{ chassis, priority: row.priority }] : [];
  });
  return members.sort((a, b) => b.priority - a.priority || (a.chassis.name < b.chassis.name ? 1
    : a.chassis.name > b.chassis.name ? -1 : 0));
}

export function groupOf(view: View, port: PortBinding): HaChassisGroup | undefined {
  const { ha_chassis_group: uuid } = port;
  return uuid === undefined ? undefined : view.southbound.HA_Chassis_Group.get(uuid);
}

/** Chassis that may serve the port, the first choice first. */
export function candidates(view: View, port: PortBinding): readonly Chassis[] {
  const group = groupOf(view, port);
  return group ? ordered(view, group).map(({ chassis }) => chassis) : [];
}

/** ha_chassis_group_is_active(): whether `own` serves the group now. */
export function isActive(view: View, group: HaChassisGroup | undefined, own: Uuid | undefined,
  bfd: LocalChassis['bfd']): boolean {
  if (own === undefined || !group || group.ha_chassis.length === 0) return false;
  const members = ordered(view, group);
  if (group.ha_chassis.length === 1 || members.length === 1) {
    return members[0]?.chassis._uuid === own;
  }
  const up = new Set([...bfd].flatMap(([name, state]) => state.up ? [name] : []));
  if (up.size === 0) return false;
  const living = members.filter(({ chassis }) =>
    chassis._uuid === own || up.has(chassis.name));
  if (living.length === 1) {
    // Alone of its kind, it must still see one that would send to it.
    const seen = group.ref_chassis.some((uuid) =>
      up.has(view.southbound.Chassis.get(uuid)?.name ?? ''));
    if (!seen) return false;
  }
  return living[0]?.chassis._uuid === own;
}

/** What is_chassis_resident() says of a port by its name. */
export function isResident(view: View, name: string, own: Uuid | undefined,
  bfd: LocalChassis['bfd']): boolean {
  const port = view.portByName(name);
  if (!port || own === undefined) return false;
  if (port.type !== 'chassisredirect') return port.chassis === own;
  return isActive(view, groupOf(view, port), own, bfd);
}

/** Which chassisredirect ports are resident here, from state to state. */
export class Residents {
  now: ReadonlySet<string> = new Set();

  /** Those that came here or left. */
  follow(view: View, own: Uuid | undefined, bfd: LocalChassis['bfd']): readonly string[] {
    const before = this.now, now = residentRedirects(view, own, bfd);
    const flipped = [...[...now].filter((name) => !before.has(name)),
      ...[...before].filter((name) => !now.has(name))];
    if (flipped.length > 0) this.now = now;
    return flipped;
  }
}

function residentRedirects(view: View, own: Uuid | undefined, bfd: LocalChassis['bfd']):
  ReadonlySet<string> {
  const names = new Set<string>();
  for (const { logical_port: name } of view.all('portsByType', 'chassisredirect').values()) {
    if (isResident(view, name, own, bfd)) names.add(name);
  }
  return names;
}
