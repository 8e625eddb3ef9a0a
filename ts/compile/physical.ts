/**
 * The physical half: where logical ports are, which chassis are reached how, conntrack
 * zones (OVN v23.03.1, controller/physical.c, consider_port_binding). A port is local,
 * remote or a patch only when nothing about it is special; otherwise it is left to OVS.
 */
import type { Chassis, DatapathBinding, Encap, PortBinding, Uuid } from '../southbound/rows.js';
import type { View } from '../southbound/view.js';
import { singleGroups } from './group.js';
import { isPlainTag, Localnets, type Localnet } from './localnet.js';
import { portMac } from './net_macs.js';
import { candidates, groupOf, isActive } from './residency.js';
import type { LocalChassis } from '../vswitch/local.js';
import { isPortKey, refusedPorts, type RefusedPort } from './limits.js';
import type { Datapath, NetMacs, Port, Tunnel } from './model.js';

/** The rows and which of them are this chassis' own. */
export interface LocalView {
  readonly view: View;
  /** This chassis' row; undefined until ovn-controller has made it. */
  readonly chassis: Chassis | undefined;
  /** Local datapaths: rows of Datapath_Binding by UUID. */
  readonly local: ReadonlyMap<Uuid, DatapathBinding>;
}

export interface Physical {
  readonly datapaths: ReadonlyMap<number, Datapath>;
  readonly ports: ReadonlyMap<string, Port>;
  readonly tunnels: ReadonlyMap<string, Tunnel>;
  /** Those of `ports` that are of this kind. */
  readonly localnets: readonly Port[];
  readonly netMacs: NetMacs | undefined;
}

type Placed = Pick<Port, 'kind'> & Partial<Port>;

const left = (why: RefusedPort): Placed => ({ kind: 'punt', ...refusedPorts[why] });

/** Options of an Encap that this dataplane carries out, or that only name a default. */
const knownOptions = new Set(['csum', 'is_default', 'default-encap-ip']);

/**
 * The encaps by which both sides can talk, when geneve is the only type: with several
 * types ovn-controller's preference depends on its release.
 */
function geneveEncaps(view: View, remote: Chassis, local: LocalChassis): Encap[] {
  const shared = view.encapsOf(remote).filter((e) => local.encap_types.includes(e.type));
  const plain = (e: Encap): boolean =>
    e.type === 'geneve' && [...e.options.keys()].every((name) => knownOptions.has(name));
  return shared.every(plain) ? shared.sort((a, b) => (a.ip < b.ip ? -1 : 1)) : [];
}

/** Whether ovn-controller makes a tunnel from `own` to `remote` (v23.03.1, encaps_run). */
function connects(own: Chassis | undefined, remote: Chassis): boolean {
  const isTrue = (row: Chassis | undefined, key: string): boolean =>
    row?.other_config.get(key)?.toLowerCase() === 'true';
  if (isTrue(remote, 'is-remote') && !isTrue(own, 'is-interconn')) return false;
  const zones = own?.transport_zones ?? [];
  return (zones.length === 0 && remote.transport_zones.length === 0)
    || remote.transport_zones.some((zone) => zones.includes(zone));
}

/** A compilation of all ports of all local datapaths. */
class Places {
  readonly localnets: Localnets;
  private readonly encaps = new Map<Uuid, Encap[]>();
  /** Why no tunnel is ours to use, if there is a reason. */
  private readonly refusal: string | undefined;
  constructor(private readonly at: LocalView, private readonly here: LocalChassis) {
    this.localnets = new Localnets(at, here);
    const globals = at.view.southbound.SB_Global.values();
    // With IPsec the kernel encrypts what OVS sends; frames from XDP would go in clear.
    const reasons = [...[...globals].some((row) => row.ipsec === true) ? ['IPsec'] : [],
      ...here.encap_overrides ?? [],
      // Of several, the route says which one a tunnel packet comes from.
      ...here.encap_ips.length > 1 ? ['several addresses in ovn-encap-ip'] : []];
    this.refusal = reasons.length > 0 ? `tunnels with ${reasons.join(', ')}` : undefined;
  }

  private encapsOf(chassis: Chassis): Encap[] {
    let encaps = this.encaps.get(chassis._uuid);
    if (!encaps) {
      const ours = this.refusal === undefined && connects(this.at.chassis, chassis);
      encaps = ours ? geneveEncaps(this.at.view, chassis, this.here) : [];
      this.encaps.set(chassis._uuid, encaps);
    }
    return encaps;
  }

  /** By tunnel to the chassis that the port is bound to. */
  private remote(row: PortBinding): Placed {
    const chassis = row.chassis && this.at.view.southbound.Chassis.get(row.chassis);
    if (!chassis) return left(row.chassis === undefined ? 'unbound' : 'chassis');
    const encaps = this.encapsOf(chassis);
    return this.through(chassis, encaps.find((e) => e._uuid === row.encap) ?? encaps[0]);
  }

  private through(chassis: Chassis, encap: Encap | undefined): Placed {
    if (!encap) {
      return { ...left('tunnel'), ...this.refusal === undefined ? {} : { detail: this.refusal } };
    }
    return { kind: 'remote', chassis: chassis.name, encapIp: encap.ip };
  }

  /** To a port that is not here: of a switch with a localnet port through that. */
  private away(row: PortBinding, localnet: Localnet): Placed {
    if (localnet === 'several') return left('provider');
    return localnet ? { kind: 'redirect', peerPort: localnet.tunnel_key } : this.remote(row);
  }

  private patch(row: PortBinding): Placed {
    const peer = this.at.view.peerOf(row);
    const datapath = peer && this.at.local.get(peer.datapath);
    const mutual = datapath && peer.type === row.type && this.at.view.peerOf(peer) === row;
    if (!mutual || !isPortKey(peer.tunnel_key)) return left('peer');
    return { kind: 'patch', peerDatapath: datapath.tunnel_key, peerPort: peer.tunnel_key };
  }

  private deviceOf(row: PortBinding): string | undefined {
    const iface = this.here.interfaces.get(row.logical_port);
    return iface?.bridge === this.here.integration_bridge ? iface.name : undefined;
  }

  private isHere(row: PortBinding | undefined): boolean {
    return row?.chassis !== undefined && row.chassis === this.at.chassis?._uuid;
  }

  private vif(row: PortBinding, localnet: Localnet): Placed {
    if (row.additional_chassis.length > 0) return left('migrating');
    if (row.parent_port) return this.nested(row, row.parent_port, localnet);
    if (!this.isHere(row)) return this.away(row, localnet);
    const device = this.deviceOf(row);
    return device === undefined ? left('interface') : { kind: 'local', device };
  }

  /** Behind the VIF of another port, by a VLAN of it. */
  private nested(row: PortBinding, parentName: string, localnet: Localnet): Placed {
    const { view } = this.at, parent = view.portByName(parentName);
    const plain = parent?.type === '' && !parent.parent_port && view.isUnique(parent)
      && parent.additional_chassis.length === 0 && this.isHere(parent);
    const device = plain ? this.deviceOf(parent) : undefined;
    const here = this.isHere(row);
    if (!here && device === undefined) return this.away(row, localnet);
    if (!here || device === undefined || row.tag === undefined) return left('container');
    if (localnet === 'several') return left('provider');
    if (!isPlainTag(row.tag, localnet)) return left('ethertype');
    const twins = [...view.all('portsByParent', parentName).values()]
      .filter(({ tag }) => tag === row.tag);
    return twins.length > 1 ? left('duplicate') : { kind: 'local', device, vlan: row.tag };
  }

  /** On every chassis that has an interface for it, and bound to none. */
  private localport(row: PortBinding): Placed {
    const device = this.deviceOf(row);
    const anywhere = (row.options.get('requested-chassis') ?? '') === '';
    return device === undefined ? left('interface')
      : anywhere ? { kind: 'local', device, localport: true } : left('requested');
  }

  /** Past the router's and the switch's egress, out of the network that the port is on. */
  private bridged(row: PortBinding): Placed {
    const { view, local } = this.at;
    const port = view.portByName(row.options.get('distributed-port') ?? '');
    const peer = port?.datapath === row.datapath ? view.peerOf(port) : undefined;
    const network = peer && local.get(peer.datapath);
    const localnet = network && this.localnets.of(view.portsOf(network._uuid).values());
    const mac = portMac(row);
    if (!localnet || localnet === 'several' || !mac) return left('bridged');
    return { kind: 'bridged', peerDatapath: network.tunnel_key, peerPort: localnet.tunnel_key,
      mac };
  }

  /**
   * Where it is active it stands for its distributed port; else packets go to the first chassis
   * of its group that OVS has a live tunnel to (OVS's bundle action, active_backup). OVN takes it
   * for active also while it is still bound here and the group's choice is elsewhere already:
   * is_chassis_resident() then is false, and nothing translates what would go out.
   */
  private redirect(row: PortBinding): Placed {
    const { view, chassis: own } = this.at;
    if (own && isActive(view, groupOf(view, row), own._uuid, this.here.bfd)) {
      const port = view.portByName(row.options.get('distributed-port') ?? '');
      const fits = port?.datapath === row.datapath && isPortKey(port.tunnel_key);
      return fits ? { kind: 'redirect', peerPort: port.tunnel_key } : left('distributed');
    }
    if (own && row.chassis === own._uuid) return left('leaving');
    if (row.options.get('redirect-type')?.toLowerCase() === 'bridged') return this.bridged(row);
    const group = candidates(view, row);
    if (group.length < 2) return this.remote(row);
    for (const chassis of group) {
      const bfd = this.here.bfd.get(chassis.name);
      if (!bfd || chassis === own) continue;
      const [encap, ...others] = this.encapsOf(chassis);
      if (bfd.forwarding === undefined || others.length > 0) return left('tunnel');
      if (bfd.forwarding) return this.through(chassis, encap);
    }
    return left('tunnel');
  }

  place(row: PortBinding, localnet: Localnet): Placed {
    if (!this.at.view.isUnique(row)) return left('duplicate');
    const gatewayHere = row.type === 'l3gateway' && this.isHere(row);
    if (row.type === 'patch' || gatewayHere) return this.patch(row);
    if (row.type === '') return this.vif(row, localnet);
    if (row.type === 'l3gateway') return this.away(row, localnet);
    if (row.type === 'localport') return this.localport(row);
    // Behind no chassis: it is on the physical network.
    if (row.type === 'external' && localnet && row.additional_chassis.length === 0) {
      return this.away(row, localnet);
    }
    if (row.type === 'chassisredirect') return { ...this.redirect(row), gateway: true };
    if (row.type === 'localnet') {
      const place = this.localnets.place(row);
      return typeof place === 'string' ? left(place) : { kind: 'localnet', ...place };
    }
    return { ...left('type'), detail: `port type ${row.type}` };
  }

  tunnels(): Map<string, Tunnel> {
    const tunnels = new Map<string, Tunnel>();
    const localIp = this.here.encap_ips[0];
    if (localIp === undefined) return tunnels;
    for (const chassis of this.at.view.southbound.Chassis.values()) {
      if (chassis._uuid === this.at.chassis?._uuid) continue;
      for (const { ip, options } of this.encapsOf(chassis)) {
        const csum = options.get('csum') === 'true';
        tunnels.set(ip, { chassis: chassis.name, remoteIp: ip, localIp, csum });
      }
    }
    return tunnels;
  }
}

function withLocalnets({ localnets: { hidden } }: Places, ports: ReadonlyMap<string, Port>):
  Pick<Physical, 'ports' | 'localnets' | 'netMacs'> {
  const localnets = [...ports.values()].filter(({ kind }) => kind === 'localnet');
  return { ports, localnets, netMacs: hidden.of(localnets) };
}

/** The zone called `name` in ovn-controller's records, or 0. */
function natZone(row: DatapathBinding, suffix: string, zones: LocalChassis['ct_zones']): number {
  // 23.03 names the zone by the datapath's UUID, later releases by its name.
  const name = row.external_ids.get('name') ?? '';
  return zones.get(`${row._uuid}_${suffix}`) ?? zones.get(`${name}_${suffix}`) ?? 0;
}

/** All datapaths, ports and tunnels of this chassis. */
export function compilePhysical(at: LocalView, here: LocalChassis): Physical {
  const places = new Places(at, here);
  const datapaths = new Map<number, Datapath>();
  const ports = new Map<string, Port>();
  for (const row of at.local.values()) {
    const { tunnel_key: key, _uuid: uuid } = row;
    const name = row.external_ids.get('name') ?? uuid;
    datapaths.set(key, { key, uuid, name, router: at.view.isRouter(row),
      dnatZone: natZone(row, 'dnat', here.ct_zones),
      snatZone: natZone(row, 'snat', here.ct_zones) });
    placePorts(places, at, here, row, ports);
  }
  return { datapaths, tunnels: places.tunnels(), ...withLocalnets(places, ports) };
}

/** Puts the ports of one datapath into `ports`. */
function placePorts(
  places: Places, at: LocalView, here: LocalChassis, row: DatapathBinding, ports: Map<string, Port>,
): void {
  const key = row.tunnel_key;
  const rows = at.view.portsOf(row._uuid);
  const localnet = places.localnets.of(rows.values());
  for (const p of rows.values()) {
    // No packet has, or goes to, a key that does not fit where keys are.
    if (!isPortKey(p.tunnel_key)) continue;
    const zone = here.ct_zones.get(p.logical_port) ?? 0;
    ports.set(`${key}/${p.tunnel_key}`, { datapath: key, port: p.tunnel_key,
      logical_port: p.logical_port, zone, ...places.place(p, localnet) });
  }
  const groups = at.view.multicastGroupsOf(row._uuid).values();
  for (const port of singleGroups(groups, key, ports, at, here, localnet)) {
    ports.set(`${key}/${port.port}`, port);
  }
}

/** Where all is, and keys of the ports whose place may be another. */
/** `ports`: keys of those that may differ; undefined: all. */
export interface Moved {
  readonly physical: Physical; readonly ports: ReadonlySet<string> | undefined;
}

/** `before` with the ports of these datapaths placed anew; nothing else has changed. */
export function movePorts(
  before: Physical, at: LocalView, here: LocalChassis, datapaths: ReadonlySet<Uuid>,
): Moved {
  const places = new Places(at, here);
  const moved = [...datapaths].flatMap((uuid) => at.local.get(uuid) ?? []);
  const keys = new Set(moved.map((row) => row.tunnel_key));
  const ports = new Map(before.ports), placed = new Map<string, Port>();
  for (const row of moved) placePorts(places, at, here, row, placed);
  const touched = new Set(placed.keys());
  for (const [id, port] of before.ports) {
    if (!keys.has(port.datapath)) continue;
    ports.delete(id);
    touched.add(id);
  }
  for (const [id, port] of placed) ports.set(id, port);
  return { physical: { ...before, ...withLocalnets(places, ports) }, ports: touched };
}
