/**
 * A routed network with a highly available way out: switches s1 and s2 with VMs on computes, a
 * router whose port r-pub lives on one of the gateways, and the provider switch pub with a
 * localnet port. No NAT: hosts outside have a route to the tenants.
 */
import { until } from './exec.js';
import type { Host } from './host.js';
import { Lab } from './lab.js';
import type { Provider } from './provider.js';

export interface GatewayShape {
  readonly computes: readonly string[];
  /** By falling priority. */
  readonly gateways: readonly string[];
  /** VLAN of the provider network; none: untagged. */
  readonly vlan?: number;
  /** Chassis with a provider bridge beside the gateways. */
  readonly bridged?: readonly string[];
  /** Port of a VM on the provider network -> its chassis. */
  readonly direct?: Readonly<Record<string, string>>;
  /** VMs and the host outside (device `x-out`) without IP stacks: frames are sent and seen. */
  readonly raw?: boolean;
  /** The provider network is the underlay. */
  readonly shared?: boolean;
  /** gateway_mtu of r-pub: larger packets are answered. */
  readonly mtu?: number;
  /** `nestedPorts` in v1, and a localport in s1 with a device `md-CHASSIS` on every compute. */
  readonly nested?: boolean;
  /** s1 and s2 are on the physical network, too, on VLANs 101 and 102; routers' addresses are
   * hidden by ovn-chassis-mac-mappings, and the gateway is reached by redirect-type=bridged. */
  readonly tenantVlans?: boolean;
}

export const network = 'ext';
export const outsideIp = (family: 4 | 6): string =>
  family === 4 ? '172.24.4.100' : 'fd00:24::100';
export const gatewayMac = '00:00:00:00:ee:01';
export const outsideMac = '02:00:00:00:ee:64';

export interface Built {
  readonly shape: GatewayShape;
  readonly lab: Lab; readonly provider: Provider;
  /** With `raw` nobody answers there. */
  readonly outside: Host;
}

/** In v1: the switch that each is on, its tag, and the last part of its addresses. */
export const nestedPorts = [{ port: 'n1', on: 1, tag: 5, host: 51 },
  { port: 'n2', on: 2, tag: 6, host: 52 }] as const;
export const localport = { port: 'meta', on: 1, host: 60 } as const;
export const hostMac = ({ on, host }: { on: number; host: number }): string =>
  `02:00:00:00:0${on}:${host}`;
export const hostIp = ({ on, host }: { on: number; host: number }, family: 4 | 6): string =>
  family === 4 ? `10.0.${on}.${host}` : `fd00:${on}::${host}`;

type Command = readonly string[];
const addressesOf = (host: { on: number; host: number }): string =>
  [hostMac(host), hostIp(host, 4), hostIp(host, 6)].join(' ');
const nestedCommands: readonly Command[] = [
  ...nestedPorts.flatMap((each): Command[] => [
    ['lsp-add', `s${each.on}`, each.port, 'v1', `${each.tag}`],
    ['lsp-set-addresses', each.port, addressesOf(each)],
    ['lsp-set-port-security', each.port, addressesOf(each)]]),
  ['lsp-add', 's1', localport.port], ['lsp-set-type', localport.port, 'localport'],
  ['lsp-set-addresses', localport.port, addressesOf(localport)],
];
const tenantVlanCommands: readonly Command[] = [
  ...[1, 2].flatMap((n): Command[] => [
    ['lsp-add', `s${n}`, `s${n}-net`], ['lsp-set-type', `s${n}-net`, 'localnet'],
    ['lsp-set-addresses', `s${n}-net`, 'unknown'],
    ['lsp-set-options', `s${n}-net`, `network_name=${network}`],
    ['set', 'Logical_Switch_Port', `s${n}-net`, `tag=${100 + n}`]]),
  ['lrp-set-redirect-type', 'r-pub', 'bridged'],
];
const tenant = (n: number): Command[] => [
  ['ls-add', `s${n}`],
  ['lrp-add', 'r', `r-s${n}`, `00:00:00:00:ff:0${n}`, `10.0.${n}.1/24`, `fd00:${n}::1/64`],
  ['lsp-add', `s${n}`, `s${n}-r`], ['lsp-set-type', `s${n}-r`, 'router'],
  ['lsp-set-addresses', `s${n}-r`, 'router'],
  ['lsp-set-options', `s${n}-r`, `router-port=r-s${n}`],
];
const vif = (on: string, port: string, addresses: string): Command[] => [
  ['lsp-add', on, port], ['lsp-set-addresses', port, addresses],
  ['lsp-set-port-security', port, addresses],
];

/** What makes the network in an empty Northbound database. */
export function gatewayCommands(shape: GatewayShape): readonly Command[] {
  const highest = shape.gateways.length * 10;
  return [
    ['lr-add', 'r'], ...tenant(1), ...tenant(2), ['ls-add', 'pub'],
    ['lrp-add', 'r', 'r-pub', gatewayMac, '172.24.4.1/24', 'fd00:24::1/64'],
    ['lsp-add', 'pub', 'pub-r'], ['lsp-set-type', 'pub-r', 'router'],
    ['lsp-set-addresses', 'pub-r', 'router'], ['lsp-set-options', 'pub-r', 'router-port=r-pub'],
    ['lsp-add', 'pub', 'pub-net'], ['lsp-set-type', 'pub-net', 'localnet'],
    ['lsp-set-addresses', 'pub-net', 'unknown'],
    ['lsp-set-options', 'pub-net', `network_name=${network}`],
    ...shape.vlan === undefined ? []
      : [['set', 'Logical_Switch_Port', 'pub-net', `tag=${shape.vlan}`]],
    ...shape.mtu === undefined ? []
      : [['set', 'Logical_Router_Port', 'r-pub', `options:gateway_mtu=${shape.mtu}`]],
    ...shape.gateways.map((name, i) =>
      ['lrp-set-gateway-chassis', 'r-pub', name, `${highest - i * 10}`]),
    ...shape.computes.flatMap((_, i) => vif(`s${1 + i % 2}`, `v${i + 1}`, vmAddresses(i))),
    ...Object.keys(shape.direct ?? {}).flatMap((port, i) =>
      vif('pub', port, `${directMac(i)} 172.24.4.${11 + i} fd00:24::${11 + i}`)),
    ...shape.nested ? nestedCommands : [], ...shape.tenantVlans ? tenantVlanCommands : [],
  ];
}
export const vmMac = (i: number): string => `02:00:00:00:0${1 + i % 2}:${11 + i}`;
export const directMac = (i: number): string => `02:00:00:00:ee:${11 + i}`;
/** VM number i, from 0, has this address in its switch; `direct` ones on the provider network. */
export const vmIp = (i: number, family: 4 | 6): string =>
  family === 4 ? `10.0.${1 + i % 2}.${11 + i}` : `fd00:${1 + i % 2}::${11 + i}`;
export const directIp = (i: number, family: 4 | 6): string =>
  family === 4 ? `172.24.4.${11 + i}` : `fd00:24::${11 + i}`;
const vmAddresses = (i: number): string =>
  `${vmMac(i)} 10.0.${1 + i % 2}.${11 + i} fd00:${1 + i % 2}::${11 + i}`;

/** A lab of this shape, settled: VM v1 on the first compute in s1, v2 on the second in s2. */
export async function gatewayLab(shape: GatewayShape): Promise<Built> {
  const lab = await Lab.start({ chassis: [...new Set([...shape.computes, ...shape.gateways])] });
  try {
    const provider = lab.addProvider(network, [...shape.gateways, ...shape.bridged ?? []],
      shape.shared);
    const raw = shape.raw ?? false;
    const routes = [...[1, 2].map((n) => [`10.0.${n}.0/24`, '172.24.4.1'] as const),
      ...[1, 2].map((n) => [`fd00:${n}::/64`, 'fd00:24::1'] as const)];
    if (raw) provider.addRaw('x-out');
    const outside = provider.addHost({ name: 'out',
      mac: raw ? '02:00:00:00:ee:65' : outsideMac, routes: raw ? [] : routes,
      ips: raw ? ['172.24.4.101/24'] : [`${outsideIp(4)}/24`, `${outsideIp(6)}/64`],
      ...shape.vlan === undefined ? {} : { vlan: shape.vlan } });
    lab.nb(gatewayCommands(shape));
    if (shape.tenantVlans) hideRouters(lab);
    if (raw) {
      for (const family of [4, 6] as const) {
        lab.nb([['static-mac-binding-add', 'r-pub', outsideIp(family), outsideMac]]);
      }
    }
    shape.computes.forEach((chassis, i) => {
      const n = 1 + i % 2;
      lab.addVm({ chassis, port: `v${i + 1}`, mac: vmMac(i), raw,
        ips: raw ? [] : [`10.0.${n}.${11 + i}/24`, `fd00:${n}::${11 + i}/64`],
        gateways: raw ? [] : [`10.0.${n}.1`, `fd00:${n}::1`] });
    });
    Object.entries(shape.direct ?? {}).forEach(([port, chassis], i) => {
      lab.addVm({ chassis, port, mac: directMac(i), raw,
        ips: raw ? [] : [`172.24.4.${11 + i}/24`, `fd00:24::${11 + i}/64`],
        gateways: raw ? [] : ['172.24.4.1', 'fd00:24::1'] });
    });
    for (const chassis of shape.nested ? shape.computes : []) {
      lab.addVm({ chassis, port: `md-${chassis}`, lport: localport.port, everywhere: true,
        mac: hostMac(localport), raw, ips: raw ? [] : [`${hostIp(localport, 4)}/24`],
        gateways: raw ? [] : ['10.0.1.1'] });
    }
    lab.settle();
    const built = { shape, lab, provider, outside };
    if (shape.gateways[0] !== undefined) await gatewayIs(built, shape.gateways[0]);
    if (shape.gateways.length > 1) await bfdIsUp(built);
    return built;
  } catch (error) {
    lab.close();
    throw error;
  }
}

function hideRouters(lab: Lab): void {
  for (const chassis of lab.chassis.values()) {
    chassis.vsctl('set', 'Open_vSwitch', '.', 'external_ids:ovn-chassis-mac-mappings='
      + `"${network}:${chassisMac(chassis.place.number)}"`);
  }
}
export const chassisMac = (number: number): string => `06:00:00:00:cc:0${number}`;

/** Waits until all tunnels with BFD, one of which each chassis has at least, are up. */
async function bfdIsUp({ lab }: Built): Promise<void> {
  for (const chassis of lab.chassis.values()) {
    await until(`BFD on ${chassis.name}`, 20_000, () => {
      const states = chassis.vsctl('--bare', '--columns=bfd_status', 'find', 'Interface',
        'bfd:enable=true').split('\n').filter((line) => line !== '');
      return states.length > 0 && states.every((state) => /\bstate=up\b/.test(state));
    });
  }
}

/** The gateway that is active now, as the Southbound database says; '' while there is none. */
export function activeGateway({ lab }: Built): string {
  const uuid = lab.sb('--bare', '--columns=chassis', 'find', 'Port_Binding',
    'logical_port=cr-r-pub');
  return uuid === '' ? '' : lab.sb('--bare', '--columns=name', 'list', 'Chassis', uuid);
}

/** Waits until this gateway is active. */
export async function gatewayIs(built: Built, name: string, timeoutMs = 20_000): Promise<void> {
  await until(`gateway ${name}`, timeoutMs, () => activeGateway(built) === name);
}
