/**
 * `ovn-chassis-mac-mappings`: the addresses that chassis send routed frames of physical networks
 * from, because a distributed router has one address on all of them (OVN v23.03.1,
 * controller/chassis.c, chassis_get_mac; controller/physical.c, put_replace_router_port_mac_flows
 * and put_replace_chassis_mac_flows).
 */
import { parseEthernet } from '../lflow/literal.js';
import { peerIsLocal } from '../southbound/local_datapaths.js';
import type { Chassis, PortBinding, Uuid } from '../southbound/rows.js';
import type { LocalChassis } from '../vswitch/local.js';
import type { MacWords, NetMacs, Port } from './model.js';
import type { LocalView } from './physical.js';
import { isResident } from './residency.js';

const KEY = 'ovn-chassis-mac-mappings';

export function toMacWords(text: string): MacWords | undefined {
  const mac = parseEthernet(text);
  return mac === undefined ? undefined : [Number(mac >> 32n), Number(mac & 0xffffffffn)];
}

/** The address that a router port, or a gateway port, is bound with. */
export function portMac({ mac }: PortBinding): MacWords | undefined {
  return mac.length === 1 ? toMacWords(mac[0]!.split(' ')[0]!) : undefined;
}

/** The mappings of a chassis, [network, address] each; undefined: not as they should be. */
function mappingsOf({ name, other_config, external_ids }: Chassis):
  readonly (readonly [string, MacWords])[] | undefined {
  const text = other_config.get(`${KEY}-${name}`) ?? other_config.get(KEY) ?? '';
  // Which of the two columns is read depends on the release.
  if ((external_ids.get(KEY) ?? text) !== text) return undefined;
  const pairs = text.split(',').filter((part) => part !== '').map((part) => {
    const [, network = '', mac = ''] = /^([^:\s]+):(\S+)$/.exec(part) ?? [];
    return [network, toMacWords(mac)] as const;
  });
  const known = pairs.flatMap(([network, mac]) => mac ? [[network, mac] as const] : []);
  return known.length === pairs.length ? known : undefined;
}

/** Ports of routers at a switch, as ovn-controller knows them (local_data.c, peer_ports). */
function routerPorts({ view, local, chassis }: LocalView, datapath: Uuid): PortBinding[] {
  if (!chassis) return [];
  return [...view.crossingsOf(datapath).values()].flatMap((port) => {
    const peer = view.peerOf(port);
    const joined = peer && local.has(peer.datapath)
      && (peerIsLocal(view, port, chassis) || peerIsLocal(view, peer, chassis));
    return joined ? [peer] : [];
  });
}

export class HiddenMacs {
  private readonly remote: readonly MacWords[];
  private readonly own: ReadonlyMap<string, MacWords>;
  /** Somebody's mappings are not understood: what ovn-controller makes of them is not known. */
  private readonly odd: boolean;

  constructor(private readonly at: LocalView, private readonly bfd: LocalChassis['bfd']) {
    const all = [...at.view.southbound.Chassis.values()].map((row) =>
      [row._uuid === at.chassis?._uuid, mappingsOf(row)] as const);
    this.odd = all.some(([, mappings]) => mappings === undefined);
    const pairs = (here: boolean) => all.flatMap(([own, mappings]) =>
      own === here ? mappings ?? [] : []);
    this.remote = [...new Map(pairs(false).map(([, mac]) => [mac.join(), mac])).values()];
    // The first of a network counts.
    this.own = new Map(pairs(true).reverse());
  }

  /** Whether the localnet port's frames cannot be told to leave and enter as they should. */
  refuses(row: PortBinding): boolean {
    if (!this.odd && this.remote.length === 0 && this.own.size === 0) return false;
    const routers = routerPorts(this.at, row.datapath);
    return routers.length > 0 && (this.odd || routers.some((port) => !portMac(port)));
  }

  /** What the localnet port's frames leave with in place of a router's address, as long as this
   * chassis is not the router's gateway. */
  private hiddenAt(row: PortBinding): (readonly [MacWords, MacWords])[] {
    const to = this.own.get(row.options.get('network_name') ?? '');
    if (!to) return [];
    const { view, chassis } = this.at;
    return routerPorts(this.at, row.datapath).flatMap((port) => {
      const from = portMac(port);
      const resident = isResident(view, `cr-${port.logical_port}`, chassis?._uuid, this.bfd);
      return from && !resident ? [[from, to] as const] : [];
    });
  }

  /** `localnets`: ports that have a place. Undefined: nobody hides anything. */
  of(localnets: readonly Port[]): NetMacs | undefined {
    if (this.remote.length === 0 && this.own.size === 0) return undefined;
    const routers = new Map<number, MacWords | 'several'>();
    const hidden = new Map<number, readonly (readonly [MacWords, MacWords])[]>();
    for (const { datapath, logical_port: name } of localnets) {
      const row = this.at.view.portByName(name)!;
      const [first, ...others] = routerPorts(this.at, row.datapath).map(portMac)
        .filter((mac) => mac !== undefined);
      const same = others.every((mac) => mac.join() === first?.join());
      if (first && this.remote.length > 0) routers.set(datapath, same ? first : 'several');
      // In one order, whichever the index has.
      const pairs = this.hiddenAt(row).sort();
      if (pairs.length > 0) hidden.set(datapath, pairs);
    }
    return { remote: this.remote, routers, hidden };
  }
}

/** Equal texts, equal contents. */
export const netMacsText = (macs: NetMacs | undefined): string =>
  macs ? JSON.stringify([macs.remote, [...macs.routers], [...macs.hidden]]) : '';
