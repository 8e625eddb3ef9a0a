/**
 * Northbound rows as Neutron's OVN driver writes them (Zed and later), one function a resource.
 * A row's name follows from the resource's alone, so that the same cloud has the same names.
 * Everything joins what it belongs to by name: rows can be written in one transaction or many.
 */
import { createHash } from 'node:crypto';
import type { Acl } from './topology.js';

/** The provider network's name, for the lab (Provider) and for OVN. */
export const physicalNetwork = 'ext';

/** One operation of an OVSDB transaction (RFC 7047 section 5.2). */
export type Operation = Readonly<Record<string, unknown>>;
type Row = Readonly<Record<string, unknown>>;

export const set = (values: readonly unknown[]): unknown => ['set', values];
export const map = (object: Readonly<Record<string, string>>): unknown =>
  ['map', Object.entries(object)];
const rowName = (label: string): string => `r_${label.replace(/\W/g, '_')}`;
export const rowOf = (label: string): unknown => ['named-uuid', rowName(label)];

/** A UUID that depends on the label alone, as Neutron names everything by UUIDs. */
export function uuidOf(label: string): string {
  const hex = createHash('sha256').update(label).digest('hex');
  return hex.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

export const switchName = (network: string): string => `neutron-${uuidOf(`network ${network}`)}`;
export const routerName = (router: string): string => `neutron-${uuidOf(`router ${router}`)}`;
export const portName = (label: string): string => uuidOf(`port ${label}`);
export const groupName = (group: string): string =>
  `pg_${uuidOf(`group ${group}`).replaceAll('-', '_')}`;
export const routerPortName = (router: string, network: string): string =>
  `lrp-${portName(`${router} ${network}`)}`;
export const dropGroup = 'neutron_pg_drop';

/** `label`: by which other rows of the transaction can name this one. */
export const insert = (table: string, label: string, row: Row): Operation =>
  ({ op: 'insert', table, 'uuid-name': rowName(label), row });

/** The rows `labels` become members of a column of the row that is called `name`. */
export const join = (table: string, name: string, column: string, ...labels: readonly string[]):
Operation => ({ op: 'mutate', table, where: [['name', '==', name]],
  mutations: [[column, 'insert', set(labels.map(rowOf))]] });

function port(network: string, label: string, row: Row): readonly Operation[] {
  return [insert('Logical_Switch_Port', `port ${label}`, { name: portName(label), enabled: true,
    ...row }),
  join('Logical_Switch', switchName(network), 'ports', `port ${label}`)];
}

export interface NetworkRow {
  readonly name: string;
  /** On the provider network: untagged, or with this tag. */
  readonly provider?: { readonly vlan?: number };
}

export function networkRows({ name, provider }: NetworkRow): readonly Operation[] {
  const network = insert('Logical_Switch', `network ${name}`, { name: switchName(name),
    other_config: map({ mcast_snoop: 'false', mcast_flood_unregistered: 'false',
      'vlan-passthru': 'false' }),
    external_ids: map({ 'neutron:network_name': name, 'neutron:revision_number': '1',
      'neutron:mtu': provider === undefined ? '1442' : '1500' }) });
  if (provider === undefined) return [network];
  const label = `provnet ${name}`;
  return [network, insert('Logical_Switch_Port', label, { name: `provnet-${uuidOf(label)}`,
    type: 'localnet', addresses: set(['unknown']),
    ...provider.vlan === undefined ? {} : { tag: provider.vlan },
    options: map({ network_name: physicalNetwork, mcast_flood: 'false',
      mcast_flood_reports: 'true' }) }),
  join('Logical_Switch', switchName(name), 'ports', label)];
}

export interface SubnetRow {
  readonly cidr: string; readonly gateway: string; readonly gatewayMac: string;
  readonly metadata: string; readonly mtu: number;
}

/** DHCP options of a subnet; ports name them by `label`. */
export function subnetRows(label: string, subnet: SubnetRow): readonly Operation[] {
  const { cidr, gateway, gatewayMac, metadata, mtu } = subnet;
  const options = cidr.includes(':') ? { server_id: gatewayMac } : {
    server_id: gateway, server_mac: gatewayMac, router: gateway, lease_time: '43200',
    mtu: `${mtu}`, dns_server: '{9.9.9.9, 1.1.1.1}', domain_name: '"lab.example."',
    classless_static_route: `{169.254.169.254/32,${metadata}, 0.0.0.0/0,${gateway}}`,
  };
  return [insert('DHCP_Options', label, { cidr, options: map(options),
    external_ids: map({ subnet_id: uuidOf(label), 'neutron:revision_number': '0' }) })];
}

/** The port by which the metadata agent of every chassis is in a network. */
export function metadataRows(network: string, mac: string, ips: readonly string[]):
readonly Operation[] {
  return port(network, `metadata ${network}`, { type: 'localport',
    addresses: set([[mac, ...ips].join(' ')]), options: map({ 'requested-chassis': '' }),
    external_ids: map({ 'neutron:device_owner': 'network:distributed',
      'neutron:device_id': `ovnmeta-${uuidOf(`network ${network}`)}` }) });
}

export interface InstanceRow {
  readonly name: string; readonly network: string;
  readonly mac: string; readonly ips: readonly string[];
  readonly chassis?: string;
  readonly groups: readonly string[];
  /** Labels of the DHCP options for either family. */
  readonly dhcp: { readonly 4?: string; readonly 6?: string };
}

export function instanceRows(instance: InstanceRow): readonly Operation[] {
  const { name, network, mac, ips, chassis, groups, dhcp } = instance;
  const address = set([[mac, ...ips].join(' ')]);
  return [
    ...port(network, name, { addresses: address, port_security: address,
      ...dhcp[4] === undefined ? {} : { dhcpv4_options: rowOf(dhcp[4]) },
      ...dhcp[6] === undefined ? {} : { dhcpv6_options: rowOf(dhcp[6]) },
      options: map({ mcast_flood_reports: 'true',
        ...chassis === undefined ? {} : { 'requested-chassis': chassis } }),
      external_ids: map({ 'neutron:port_name': name, 'neutron:device_owner': 'compute:nova',
        'neutron:device_id': uuidOf(`server ${name}`), 'neutron:revision_number': '4',
        'neutron:security_group_ids': groups.map((group) => uuidOf(`group ${group}`)).join(' '),
      }) }),
    // A port without port security is in no group, that of Neutron's included.
    ...(groups.length === 0 ? [] : [dropGroup, ...groups.map(groupName)]).map((group) =>
      join('Port_Group', group, 'ports', `port ${name}`)),
  ];
}

/** A port group and its rules; `name` as OVN knows it. */
export function groupRows(name: string, acls: readonly Acl[]): readonly Operation[] {
  const labels = acls.map((_, i) => `acl ${name} ${i}`);
  return [
    ...acls.map(({ direction, priority, match, action }, i) => insert('ACL', `acl ${name} ${i}`, {
      direction, priority, match, action, log: false,
      external_ids: map({ 'neutron:security_group_rule_id': uuidOf(`acl ${name} ${i}`) }) })),
    insert('Port_Group', name, { name, acls: set(labels.map(rowOf)) }),
  ];
}

export function dnsRows(network: string, records: Readonly<Record<string, string>>):
readonly Operation[] {
  return [insert('DNS', `dns ${network}`, { records: map(records),
    external_ids: map({ ls_name: switchName(network) }) }),
  join('Logical_Switch', switchName(network), 'dns_records', `dns ${network}`)];
}

export interface RouterPortRow {
  readonly router: string; readonly network: string;
  readonly mac: string;
  /** With prefix lengths. */
  readonly networks: readonly string[];
}

/** A router's port in a network; `more` for the one that leads outside. */
export function routerPortRows(row: RouterPortRow, more: Row = {}): readonly Operation[] {
  const { router, network, mac, networks } = row;
  const label = `${router} ${network}`, name = routerPortName(router, network);
  const isGateway = Object.keys(more).length > 0;
  return [
    insert('Logical_Router_Port', `lrp ${label}`, { name, mac, networks: set(networks), ...more,
      external_ids: map({ 'neutron:router_name': uuidOf(`router ${router}`),
        'neutron:network_name': switchName(network) }) }),
    join('Logical_Router', routerName(router), 'ports', `lrp ${label}`),
    ...port(network, label, { type: 'router', addresses: set(['router']),
      options: map({ 'router-port': name,
        ...isGateway ? { 'nat-addresses': 'router', 'exclude-lb-vips-from-garp': 'true' } : {} }),
      external_ids: map({ 'neutron:device_id': uuidOf(`router ${router}`),
        'neutron:device_owner': isGateway ? 'network:router_gateway'
          : 'network:router_interface' }) }),
  ];
}

export function routerRows(router: string, options: Readonly<Record<string, string>> = {}):
readonly Operation[] {
  return [insert('Logical_Router', `router ${router}`, { name: routerName(router), enabled: true,
    external_ids: map({ 'neutron:router_name': router, 'neutron:revision_number': '2' }),
    options: map({ dynamic_neigh_routers: 'true', always_learn_from_arp_request: 'false',
      ...options }) })];
}

export function routeRows(router: string, prefix: string, nexthop: string): readonly Operation[] {
  const label = `route ${router} ${prefix}`;
  return [insert('Logical_Router_Static_Route', label, { ip_prefix: prefix, nexthop,
    external_ids: map({ 'neutron:is_ext_gw': 'true' }) }),
  join('Logical_Router', routerName(router), 'static_routes', label)];
}

/** Where a gateway port may be: best first. Neutron wrote Gateway_Chassis, now HA groups. */
export function gatewayRows(label: string, chassis: readonly string[]): readonly Operation[] {
  return [...chassis.map((name, i) => insert('HA_Chassis', `${label} ${name}`, {
    chassis_name: name, priority: chassis.length - i })),
  insert('HA_Chassis_Group', label, { name: label,
    ha_chassis: set(chassis.map((name) => rowOf(`${label} ${name}`))) })];
}

export interface NatRow {
  readonly type: 'snat' | 'dnat' | 'dnat_and_snat';
  readonly external: string; readonly logical: string;
  /** Distributed: the instance whose chassis translates, with this MAC. */
  readonly at?: { readonly instance: string; readonly mac: string };
  /** "first-last". */
  readonly ports?: string;
  readonly stateless?: boolean;
}

export function natRows(router: string, nat: NatRow): readonly Operation[] {
  const label = `nat ${router} ${nat.type} ${nat.external} ${nat.logical}`;
  return [insert('NAT', label, { type: nat.type, external_ip: nat.external,
    logical_ip: nat.logical, external_port_range: nat.ports ?? '',
    ...nat.at === undefined ? {}
      : { logical_port: portName(nat.at.instance), external_mac: nat.at.mac },
    ...nat.stateless === true ? { options: map({ stateless: 'true' }) } : {},
    external_ids: map({ 'neutron:router_name': routerName(router),
      'neutron:revision_number': '1' }) }),
  join('Logical_Router', routerName(router), 'nat', label)];
}

export interface BalancerRow {
  readonly name: string;
  readonly protocol: 'tcp' | 'udp';
  /** "address:port" to backends of the same form. */
  readonly vips: Readonly<Record<string, readonly string[]>>;
  /** Of networks and routers. */
  readonly networks?: readonly string[]; readonly routers?: readonly string[];
}

export function balancerRows(balancer: BalancerRow): readonly Operation[] {
  const { name, protocol, vips, networks = [], routers = [] } = balancer;
  const label = `lb ${name}`;
  return [insert('Load_Balancer', label, { name, protocol,
    vips: map(Object.fromEntries(Object.entries(vips).map(([vip, to]) => [vip, to.join()]))) }),
  ...networks.map((one) => join('Logical_Switch', switchName(one), 'load_balancer', label)),
  ...routers.map((one) => join('Logical_Router', routerName(one), 'load_balancer', label))];
}
