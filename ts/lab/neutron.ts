/** A cloud as its users see it, and how it gets into the Northbound database and the lab. */
import { run } from './exec.js';
import type { Lab } from './lab.js';
import {
  balancerRows, dnsRows, dropGroup, gatewayRows, groupName, groupRows, instanceRows, metadataRows,
  natRows, networkRows, portName, rowOf, routeRows, routerPortRows, routerRows, set, subnetRows,
  type BalancerRow, type NatRow, type NetworkRow, type Operation,
} from './neutron_rows.js';
import { dropAcls, groupAcls, type GroupRule } from './security_groups.js';
import type { VmSpec } from './vm.js';

type Family = 4 | 6;
export const familyOf = (address: string): Family => address.includes(':') ? 6 : 4;

export interface Network extends NetworkRow {
  /** CIDRs. The router has the first address of each, the metadata agents the second. */
  readonly subnets: readonly string[];
  /** Outside the cloud: no DHCP, no metadata; the first address is a router's out there. */
  readonly external?: boolean;
}

export interface Instance {
  /** Also the name of its device. */
  readonly name: string;
  readonly network: string;
  /** Last part of the addresses, 3..254, in the same digits; also of the MAC. */
  readonly host: number;
  /** Undefined: nowhere yet. */
  readonly chassis?: string;
  readonly groups: readonly string[];
  readonly raw?: boolean;
}

export interface SecurityGroup {
  readonly name: string;
  readonly rules: readonly GroupRule[];
  readonly stateless?: boolean;
  /** Its members do not reach each other, as those of Neutron's default group do. */
  readonly closed?: boolean;
}

export interface FloatingIp {
  readonly address: string; readonly instance: string;
  /** Translated where the instance is, not at the gateway. */
  readonly distributed?: boolean;
  readonly ports?: string;
  readonly stateless?: boolean;
}

export interface Router {
  readonly name: string;
  readonly networks: readonly string[];
  readonly gateway?: {
    readonly network: string; readonly addresses: readonly string[];
    /** Best first. */
    readonly chassis: readonly string[];
    /** A gateway router, wholly on the first of them, instead of a gateway port. */
    readonly whole?: boolean;
  };
  /** Networks share the gateway's addresses. */
  readonly snat?: { readonly ports?: string };
  readonly floatingIps?: readonly FloatingIp[];
  readonly nat?: readonly NatRow[];
}

export interface CloudSpec {
  readonly networks: readonly Network[];
  readonly instances: readonly Instance[];
  readonly groups: readonly SecurityGroup[];
  readonly routers: readonly Router[];
  readonly balancers?: readonly BalancerRow[];
  readonly domain?: string;
}

/** Address number `host` of a subnet, in the digits of `host`, without prefix length. */
export function addressIn(cidr: string, host: number): string {
  const [prefix = ''] = cidr.split('/');
  return familyOf(cidr) === 4 ? prefix.replace(/\d+$/, `${host}`) : `${prefix}${host}`;
}

const lengthOf = (cidr: string): string => cidr.split('/')[1] ?? '';
const macKinds =
  { instance: 0x3e, router: 0x3d, metadata: 0x3c, floating: 0x3b, gateway: 0x3a } as const;
type MacKind = keyof typeof macKinds;

const macText = (kind: MacKind, index: number, host: number): string =>
  ['fa:16', ...[macKinds[kind], index >> 8, index & 255, host]
    .map((n) => n.toString(16).padStart(2, '0'))].join(':');

export class Cloud {
  constructor(readonly spec: CloudSpec) {}

  network(name: string): Network { return named(this.spec.networks, name); }
  instance(name: string): Instance { return named(this.spec.instances, name); }
  router(name: string): Router { return named(this.spec.routers, name); }

  mac(kind: MacKind, network: string, host: number): string {
    return macText(kind, this.spec.networks.indexOf(this.network(network)), host);
  }

  /** Addresses of a host of a network, with or without prefix lengths. */
  ips(network: string, host: number, prefix = false): string[] {
    return this.network(network).subnets.map((cidr) =>
      addressIn(cidr, host) + (prefix ? `/${lengthOf(cidr)}` : ''));
  }

  macOf(instance: string): string {
    const { network, host } = this.instance(instance);
    return this.mac('instance', network, host);
  }

  ipOf(instance: string, family: Family): string | undefined {
    const { network, host } = this.instance(instance);
    return this.ips(network, host).find((ip) => familyOf(ip) === family);
  }

  /** A MAC of a router in a network; several routers may be in an external one. */
  routerMac(router: string, network: string): string {
    if (this.network(network).external !== true) return this.mac('router', network, 1);
    const index = this.spec.routers.indexOf(this.router(router));
    return macText('gateway', index, 1);
  }

  /** All of the cloud. */
  operations(): readonly Operation[] {
    return [...this.sharedOperations(), ...this.operationsOf(this.spec)];
  }

  /** What has to be there before any part of the cloud. */
  sharedOperations(): readonly Operation[] { return groupRows(dropGroup, dropAcls); }

  /** A part of the cloud, for clouds that are too large for one transaction. */
  operationsOf(part: Partial<CloudSpec>): readonly Operation[] {
    const { networks = [], instances = [], groups = [], routers = [], balancers = [] } = part;
    const { domain } = this.spec;
    return [
      ...groups.flatMap(({ name, rules, ...how }) => groupRows(groupName(name),
        groupAcls(groupName(name), rules, how))),
      ...networks.flatMap((network) => this.networkOperations(network)),
      ...instances.flatMap((instance) => this.instanceOperations(instance)),
      ...routers.flatMap((router) => this.routerOperations(router)),
      ...balancers.flatMap(balancerRows),
      ...domain === undefined ? [] : networks.flatMap((network) =>
        this.dnsOperations(network, domain)),
    ];
  }

  private networkOperations(network: Network): readonly Operation[] {
    const { name, subnets, external, provider } = network;
    if (external === true) return networkRows(network);
    return [
      ...networkRows(network),
      ...subnets.flatMap((cidr) => subnetRows(dhcpLabel(name, familyOf(cidr)), {
        cidr, gateway: addressIn(cidr, 1), metadata: addressIn(cidr, 2),
        gatewayMac: this.mac('router', name, 1), mtu: provider === undefined ? 1442 : 1500 })),
      ...metadataRows(name, this.mac('metadata', name, 2), this.ips(name, 2)),
    ];
  }

  private instanceOperations(instance: Instance): readonly Operation[] {
    const { name, network, host } = instance;
    const subnets = this.network(network).external === true ? []
      : this.network(network).subnets.map(familyOf);
    return instanceRows({ ...instance, mac: this.macOf(name), ips: this.ips(network, host),
      dhcp: Object.fromEntries(subnets.map((family) => [family, dhcpLabel(network, family)])) });
  }

  private dnsOperations({ name }: Network, domain: string): readonly Operation[] {
    const here = this.spec.instances.filter(({ network }) => network === name);
    return here.length === 0 ? [] : dnsRows(name, Object.fromEntries(here.map((instance) =>
      [`${instance.name}.${domain}`, this.ips(name, instance.host).join(' ')])));
  }

  private routerOperations(router: Router): readonly Operation[] {
    const { name, networks, gateway } = router;
    return [
      ...routerRows(name, gateway?.whole === true ? { chassis: gateway.chassis[0] ?? '' } : {}),
      ...networks.flatMap((network) => routerPortRows({ router: name, network,
        mac: this.routerMac(name, network), networks: this.ips(network, 1, true) })),
      ...this.gatewayOperations(router),
      ...this.natOf(router).flatMap((nat) => natRows(name, nat)),
    ];
  }

  private gatewayOperations({ name, gateway }: Router): readonly Operation[] {
    if (gateway === undefined) return [];
    const { network, addresses, chassis, whole } = gateway;
    const { subnets } = this.network(network);
    const outside = (address: string): string =>
      subnets.find((cidr) => familyOf(cidr) === familyOf(address)) ?? '';
    const group = `gateway ${name}`;
    return [
      ...whole === true ? [] : gatewayRows(group, chassis),
      ...routerPortRows({ router: name, network, mac: this.routerMac(name, network),
        networks: addresses.map((address) => `${address}/${lengthOf(outside(address))}`) },
      whole === true ? { enabled: true } : { ha_chassis_group: rowOf(group) }),
      ...addresses.flatMap((address) => routeRows(name,
        familyOf(address) === 4 ? '0.0.0.0/0' : '::/0', addressIn(outside(address), 1))),
    ];
  }

  /** The router's rows of NAT: what is shared, floating addresses, and others. */
  natOf(router: Router): readonly NatRow[] {
    const { networks, gateway, snat, floatingIps = [], nat = [] } = router;
    const shared = snat === undefined || gateway === undefined ? []
      : networks.flatMap((network) => this.network(network).subnets.flatMap((logical): NatRow[] => {
        const external = gateway.addresses.find((one) => familyOf(one) === familyOf(logical));
        return external === undefined ? [] : [{ type: 'snat', external, logical, ...snat }];
      }));
    return [...shared, ...floatingIps.map((each) => this.floatingNat(each)), ...nat];
  }

  private floatingNat(floating: FloatingIp): NatRow {
    const { address, instance, distributed, ...more } = floating;
    const logical = this.ipOf(instance, familyOf(address));
    if (logical === undefined) throw new Error(`${instance} has no address like ${address}`);
    return { type: 'dnat_and_snat', external: address, logical, ...more,
      ...distributed === true ? { at: { instance, mac: this.floatingMac(instance) } } : {} };
  }

  floatingMac(instance: string): string {
    const { network, host } = this.instance(instance);
    return this.mac('floating', network, host);
  }

  /** How the lab starts an instance. */
  vmSpec({ name, network, host, chassis = '', raw = false }: Instance): VmSpec {
    const external = this.network(network).external === true;
    return { port: name, lport: portName(name), chassis, raw, mac: this.macOf(name),
      ips: raw ? [] : this.ips(network, host, true),
      gateways: raw || external ? [] : this.ips(network, 1),
      routes: raw || external ? {} : Object.fromEntries(this.ips(network, 2)
        .filter((ip) => familyOf(ip) === 4).map((ip) => [metadataAddress, ip])) };
  }

  /** How the metadata agent of a chassis is in a network; its address for all of them too. */
  metadataSpec(network: string, chassis: string): VmSpec {
    const gateways = this.ips(network, 1).filter((ip) => familyOf(ip) === 4);
    return { port: `md-${network}-${chassis}`, lport: portName(`metadata ${network}`), chassis,
      everywhere: true, mac: this.mac('metadata', network, 2), gateways,
      ips: [...this.ips(network, 2, true), `${metadataAddress}/32`] };
  }
}

export const metadataAddress = '169.254.169.254';
const dhcpLabel = (network: string, family: Family): string => `dhcp ${network} ${family}`;

function named<T extends { readonly name: string }>(all: readonly T[], name: string): T {
  const found = all.find((one) => one.name === name);
  if (found === undefined) throw new Error(`the cloud has no ${name}`);
  return found;
}

/** One transaction; throws with the server's words. */
export function transact(lab: Lab, operations: readonly Operation[]): void {
  const reply = run(['ovsdb-client', 'transact', lab.northbound,
    JSON.stringify(['OVN_Northbound', ...operations])]);
  if (reply.includes('"error"')) throw new Error(`ovsdb-server: ${reply}`);
}

/** Builds the cloud in a fresh lab and waits until every chassis carries it. */
export function applyCloud(lab: Lab, cloud: Cloud): void {
  transact(lab, cloud.operations());
  for (const instance of cloud.spec.instances) lab.addVm(cloud.vmSpec(instance));
  lab.settle();
}
