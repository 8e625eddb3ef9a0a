/**
 * Localnet ports: where a switch is joined to a physical network, by the bridge that
 * `ovn-bridge-mappings` names (OVN v23.03.1, controller/patch.c, binding.c, physical.c).
 */
import type { PortBinding } from '../southbound/rows.js';
import type { LocalChassis } from '../vswitch/local.js';
import { isPortKey, type RefusedPort } from './limits.js';
import { HiddenMacs } from './net_macs.js';
import type { LocalView } from './physical.js';

/** The localnet port of a switch whose network is plugged in here, if there is one. */
export type Localnet = PortBinding | 'several' | undefined;

const networkOf = (row: PortBinding): string => row.options.get('network_name') ?? '';

/** Whether tags of the network are of 802.1Q; `row`: the localnet port, if it has one here. */
export const isPlainTag = (vlan: number, row: PortBinding | undefined): boolean =>
  vlan > 0 && vlan <= 4094 && row?.options.get('ethtype')?.toLowerCase() !== '802.11ad';

export class Localnets {
  /** `${bridge}/${vlan}` -> local ports there. */
  private readonly sharers = new Map<string, number>();
  readonly hidden: HiddenMacs;
  private readonly tunnelled: boolean;

  constructor(private readonly at: LocalView, private readonly here: LocalChassis) {
    const { view, local } = at;
    for (const row of view.all('portsByType', 'localnet').values()) {
      const bridge = local.has(row.datapath) ? this.bridgeOf(row) : undefined;
      if (bridge === undefined) continue;
      const name = `${bridge}/${row.tag ?? 0}`;
      this.sharers.set(name, (this.sharers.get(name) ?? 0) + 1);
    }
    this.hidden = new HiddenMacs(at, here.bfd);
    this.tunnelled = [...view.southbound.SB_Global.values()].some(({ options }) =>
      options.get('always_tunnel')?.toLowerCase() === 'true');
  }

  /** Of the ports of one switch. With `always_tunnel` the answer depends on the release. */
  of(ports: Iterable<PortBinding>): Localnet {
    const plugged = [...ports].filter((row) =>
      row.type === 'localnet' && this.bridgeOf(row) !== undefined);
    const [one] = plugged;
    if (!one) return undefined;
    return plugged.length > 1 || this.tunnelled || !isPortKey(one.tunnel_key) ? 'several' : one;
  }

  private bridgeOf(row: PortBinding): string | undefined {
    const bridge = this.here.bridge_mappings.get(networkOf(row));
    return bridge !== undefined && this.here.bridges.has(bridge) ? bridge : undefined;
  }

  /** Bridge and VLAN, or why the port is left to OVS. */
  place(row: PortBinding): { readonly bridge: string; readonly vlan: number } | RefusedPort {
    const bridge = this.bridgeOf(row);
    if (bridge === undefined || !this.here.localnets.has(row.logical_port)) return 'unplugged';
    const vlan = row.tag ?? 0;
    // Frames between two switches on one VLAN would not leave the bridge by its NIC.
    if (this.sharers.get(`${bridge}/${vlan}`) !== 1) return 'provider';
    if (this.of(this.at.view.portsOf(row.datapath).values()) !== row) return 'provider';
    if (this.hidden.refuses(row)) return 'chassisMac';
    return vlan > 0 && !isPlainTag(vlan, row) ? 'ethertype' : { bridge, vlan };
  }
}
