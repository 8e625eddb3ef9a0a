/** Logical networks as data, and how they get into the Northbound database and the lab. */
import type { Lab } from './lab.js';
import type { VmSpec } from './vm.js';

/**
 * Switch number n of a topology is `s<n>`, counted from 1. It has the subnets 10.0.n.0/24 and
 * fd00:n::/64; the router's port is .1 and ::1 there with MAC 00:00:00:00:ff:0n.
 */
export interface TopologyVm {
  readonly port: string;
  readonly chassis: string;
  readonly switch: number;
  /** Last part of the addresses and the MAC, 2..99, written the same in all of them. */
  readonly host: number;
  /** Port_Binding.port_security: the MAC and both addresses, the MAC alone, or nothing. */
  readonly security: 'addresses' | 'mac' | 'none';
  readonly raw?: boolean;
}

export interface Acl {
  /** Switch or port group. */
  readonly on: string;
  readonly direction: 'from-lport' | 'to-lport';
  readonly priority: number;
  readonly match: string;
  readonly action: 'allow' | 'allow-stateless' | 'allow-related' | 'drop' | 'reject';
}

export interface Topology {
  readonly name: string;
  readonly switches: number;
  /** Whether one router joins the switches. */
  readonly routed: boolean;
  readonly vms: readonly TopologyVm[];
  readonly portGroups?: Readonly<Record<string, readonly string[]>>;
  readonly addressSets?: Readonly<Record<string, readonly string[]>>;
  readonly acls?: readonly Acl[];
}

const pad = (n: number): string => String(n).padStart(2, '0');
export const routerMac = (sw: number): string => `00:00:00:00:ff:${pad(sw)}`;
export const routerIp = (sw: number, family: 4 | 6): string =>
  family === 4 ? `10.0.${sw}.1` : `fd00:${sw}::1`;
export const vmMac = (vm: TopologyVm): string => `02:00:00:00:${pad(vm.switch)}:${pad(vm.host)}`;
export const vmIp = (vm: TopologyVm, family: 4 | 6): string =>
  family === 4 ? `10.0.${vm.switch}.${vm.host}` : `fd00:${vm.switch}::${vm.host}`;

type Command = readonly string[];

function switchCommands(topology: Topology): Command[] {
  const numbers = Array.from({ length: topology.switches }, (_, i) => i + 1);
  const switches = numbers.map((n) => ['ls-add', `s${n}`]);
  if (!topology.routed) return switches;
  return [...switches, ['lr-add', 'r'], ...numbers.flatMap((n) => [
    ['lrp-add', 'r', `r-s${n}`, routerMac(n), `${routerIp(n, 4)}/24`, `${routerIp(n, 6)}/64`],
    ['lsp-add', `s${n}`, `s${n}-r`],
    ['lsp-set-type', `s${n}-r`, 'router'],
    ['lsp-set-addresses', `s${n}-r`, 'router'],
    ['lsp-set-options', `s${n}-r`, `router-port=r-s${n}`],
  ])];
}

function vmCommands(vm: TopologyVm): Command[] {
  const addresses = `${vmMac(vm)} ${vmIp(vm, 4)} ${vmIp(vm, 6)}`;
  const security = { addresses, mac: vmMac(vm), none: undefined }[vm.security];
  return [
    ['lsp-add', `s${vm.switch}`, vm.port], ['lsp-set-addresses', vm.port, addresses],
    ...security === undefined ? [] : [['lsp-set-port-security', vm.port, security]],
  ];
}

function policyCommands(topology: Topology): Command[] {
  const { portGroups = {}, addressSets = {}, acls = [] } = topology;
  return [
    ...Object.entries(portGroups).map(([name, ports]) => ['pg-add', name, ...ports]),
    ...Object.entries(addressSets).map(([name, addresses]) =>
      ['create', 'Address_Set', `name=${name}`,
        `addresses=${addresses.map((address) => `"${address}"`).join(',')}`]),
    ...acls.map(({ on, direction, priority, match, action }) =>
      ['acl-add', on, direction, String(priority), match, action]),
  ];
}

export function vmSpec(vm: TopologyVm, routed: boolean): VmSpec {
  return {
    chassis: vm.chassis, port: vm.port, mac: vmMac(vm), raw: vm.raw ?? false,
    ips: vm.raw === true ? [] : [`${vmIp(vm, 4)}/24`, `${vmIp(vm, 6)}/64`],
    gateways: routed && vm.raw !== true ? [routerIp(vm.switch, 4), routerIp(vm.switch, 6)] : [],
  };
}

/** What makes the topology in an empty Northbound database. */
export function topologyCommands(topology: Topology): readonly (readonly string[])[] {
  return [...switchCommands(topology), ...topology.vms.flatMap(vmCommands),
    ...policyCommands(topology)];
}

/** Builds the topology in a fresh lab and waits until every chassis carries it. */
export function applyTopology(lab: Lab, topology: Topology): void {
  lab.nb(topologyCommands(topology));
  for (const vm of topology.vms) lab.addVm(vmSpec(vm, topology.routed));
  lab.settle();
}

const place = (port: string, sw: number, host: number, chassis: string): TopologyVm =>
  ({ port, switch: sw, host, chassis, security: 'addresses' });

/** Two subnets over a router, each with VMs on both chassis; port security, no ACLs. */
export const twoSubnets: Topology = {
  name: 'two subnets', switches: 2, routed: true,
  vms: [
    place('a1', 1, 11, 'c1'), place('a2', 1, 12, 'c1'), place('a3', 1, 13, 'c2'),
    place('b1', 2, 11, 'c1'), place('b2', 2, 12, 'c2'),
  ],
};
