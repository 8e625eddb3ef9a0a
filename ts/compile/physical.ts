/**
 * The physical half: where logical ports are, which chassis are reached how, conntrack
 * zones (OVN v23.03.1, controller/physical.c, consider_port_binding). A port is local,
 * remote or a patch only when nothing about it is special; otherwise it is left to OVS.
 */
import type {
  Chassis, DatapathBinding, Encap, PortBinding, Southbound, Uuid,
} from '../southbound/rows.js';
import type { LocalChassis } from '../vswitch/local.js';
import { unsupportedPorts } from './limits.js';
import type { Datapath, Port, Tunnel } from './model.js';

/** What the rows say, by name: the part of the southbound view that is needed here. */
export interface PhysicalView {
  readonly rows: Southbound;
  /** This chassis' own row; undefined until ovn-controller has made it. */
  readonly chassis: Chassis | undefined;
  /** Local datapaths: rows of Datapath_Binding by UUID. */
  readonly local: ReadonlyMap<Uuid, DatapathBinding>;
  portNamed(name: string): PortBinding | undefined;
  portsOf(datapath: Uuid): Iterable<PortBinding>;
}

export interface Physical {
  readonly datapaths: ReadonlyMap<number, Datapath>;
  readonly ports: ReadonlyMap<string, Port>;
  readonly tunnels: ReadonlyMap<string, Tunnel>;
}

type Placed = Pick<Port, 'kind'> & Partial<Port>;

const left = (reason: 'UNSUPPORTED_PORT' | 'UNKNOWN_PORT'): Placed => ({ kind: 'punt', reason });
const unsupported = left('UNSUPPORTED_PORT');
const unknown = left('UNKNOWN_PORT');

export function isRouter(row: DatapathBinding): boolean {
  return row.type === undefined || row.type === ''
    ? row.external_ids.has('logical-router') : row.type === 'logical-router';
}

/**
 * The encaps by which both sides can talk, when geneve is the only type: with several
 * types ovn-controller's preference depends on its release.
 */
function geneveEncaps(rows: Southbound, remote: Chassis, local: LocalChassis): Encap[] {
  const encaps = remote.encaps.flatMap((uuid) => rows.Encap.get(uuid) ?? []);
  const shared = encaps.filter((e) => local.encap_types.includes(e.type));
  if (!shared.every((e) => e.type === 'geneve')) return [];
  return shared.sort((a, b) => (a.ip < b.ip ? -1 : 1));
}

/** A compilation of all ports of all local datapaths. */
class Places {
  private readonly encaps = new Map<Uuid, Encap[]>();
  private readonly ipsec: boolean;
  constructor(private readonly view: PhysicalView, private readonly here: LocalChassis) {
    this.ipsec = [...view.rows.SB_Global.values()].some((row) => row.ipsec === true);
  }

  private encapsOf(chassis: Chassis): Encap[] {
    let encaps = this.encaps.get(chassis._uuid);
    if (!encaps) {
      // With IPsec the kernel encrypts what OVS sends; frames from XDP would go in clear.
      encaps = this.ipsec ? [] : geneveEncaps(this.view.rows, chassis, this.here);
      this.encaps.set(chassis._uuid, encaps);
    }
    return encaps;
  }

  private remote(row: PortBinding, hasLocalnet: boolean): Placed {
    const chassis = this.view.rows.Chassis.get(row.chassis!);
    if (!chassis) return unknown;
    // A remote port of a switch with a localnet port is reached through that, not a tunnel.
    if (hasLocalnet) return unsupported;
    const encaps = this.encapsOf(chassis);
    const encap = encaps.find((e) => e._uuid === row.encap) ?? encaps[0];
    if (!encap) return unsupported;
    return { kind: 'remote', chassis: chassis.name, encapIp: encap.ip };
  }

  private patch(row: PortBinding): Placed {
    const peer = this.view.portNamed(row.options.get('peer') ?? '');
    const datapath = peer && this.view.local.get(peer.datapath);
    const returns = peer?.options.get('peer') === row.logical_port;
    if (!datapath || !returns || (peer.type !== 'patch' && peer.type !== 'l3gateway')) {
      return unknown;
    }
    return { kind: 'patch', peerDatapath: datapath.tunnel_key, peerPort: peer.tunnel_key };
  }

  private vif(row: PortBinding, hasLocalnet: boolean): Placed {
    if (row.parent_port || row.additional_chassis.length > 0) return unsupported;
    if (row.chassis === undefined) return unknown;
    if (row.chassis !== this.view.chassis?._uuid) return this.remote(row, hasLocalnet);
    const iface = this.here.interfaces.get(row.logical_port);
    if (!iface || iface.bridge !== this.here.integration_bridge) return unknown;
    return { kind: 'local', device: iface.name };
  }

  place(row: PortBinding, hasLocalnet: boolean): Placed {
    const gatewayHere = row.type === 'l3gateway' && row.chassis !== undefined
      && row.chassis === this.view.chassis?._uuid;
    if (row.type === 'patch' || gatewayHere) return this.patch(row);
    if (row.type === '') return this.vif(row, hasLocalnet);
    return unsupported;
  }

  tunnels(): Map<string, Tunnel> {
    const tunnels = new Map<string, Tunnel>();
    const localIp = this.here.encap_ips[0];
    if (localIp === undefined) return tunnels;
    for (const chassis of this.view.rows.Chassis.values()) {
      if (chassis._uuid === this.view.chassis?._uuid) continue;
      for (const { ip, options } of this.encapsOf(chassis)) {
        const csum = options.get('csum') === 'true';
        tunnels.set(ip, { chassis: chassis.name, remoteIp: ip, localIp, csum });
      }
    }
    return tunnels;
  }
}

/** The zone called `name` in ovn-controller's records, or 0. */
function natZone(row: DatapathBinding, suffix: string, zones: LocalChassis['ct_zones']): number {
  // 23.03 names the zone by the datapath's UUID, later releases by its name.
  const name = row.external_ids.get('name') ?? '';
  return zones.get(`${row._uuid}_${suffix}`) ?? zones.get(`${name}_${suffix}`) ?? 0;
}

/** All datapaths, ports and tunnels of this chassis. */
export function compilePhysical(view: PhysicalView, here: LocalChassis): Physical {
  const places = new Places(view, here);
  const datapaths = new Map<number, Datapath>();
  const ports = new Map<string, Port>();
  for (const [uuid, row] of view.local) {
    const key = row.tunnel_key;
    const name = row.external_ids.get('name') ?? uuid;
    datapaths.set(key, { key, uuid, name, router: isRouter(row),
      dnatZone: natZone(row, 'dnat', here.ct_zones),
      snatZone: natZone(row, 'snat', here.ct_zones) });
    const rows = [...view.portsOf(uuid)];
    const hasLocalnet = rows.some((p) => p.type === 'localnet');
    for (const p of rows) {
      const zone = here.ct_zones.get(p.logical_port) ?? 0;
      ports.set(`${key}/${p.tunnel_key}`, { datapath: key, port: p.tunnel_key,
        logical_port: p.logical_port, zone, ...places.place(p, hasLocalnet) });
    }
  }
  return { datapaths, ports, tunnels: places.tunnels() };
}

/** What a port's type means when it is left to OVS, for operators. */
export function portDetail(type: string): string {
  return unsupportedPorts.get(type) ?? `port type ${JSON.stringify(type)}`;
}
