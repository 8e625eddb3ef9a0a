/**
 * A Northbound database as Neutron's OVN driver writes it, of any size: projects with one
 * network, VMs with port security, DHCP and a security group, and a router with a
 * distributed gateway port, SNAT and floating IPs on one VLAN provider network. For
 * benchmarks and for compiling what real clouds look like. The same options give the same
 * names, so results can be compared.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { run } from './exec.js';
import type { Lab } from './lab.js';

export interface OpenstackShape {
  readonly projects: number;
  readonly vmsPerProject: number;
  readonly floatingIpsPerProject: number;
  /** Chassis that may host gateways, best first. */
  readonly gateways: readonly string[];
}

/** 83,922 logical flows with OVN 23.03, 75,340 different matches. */
export const largeShape: OpenstackShape = {
  projects: 250, vmsPerProject: 20, floatingIpsPerProject: 5, gateways: ['gw1', 'gw2'],
};

/** One operation of an OVSDB transaction (RFC 7047 section 5.2). */
type Operation = Readonly<Record<string, unknown>>;
type Row = Readonly<Record<string, unknown>>;

const set = (values: readonly unknown[]): unknown => ['set', values];
const map = (object: Readonly<Record<string, string>>): unknown => ['map', Object.entries(object)];
const named = (name: string): unknown => ['named-uuid', name];

/** A UUID that depends on the label alone, as Neutron names everything by UUIDs. */
export function uuidOf(label: string): string {
  const hex = createHash('sha256').update(label).digest('hex');
  return hex.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function mac(kind: number, project: number, port: number): string {
  const hex = (n: number): string => n.toString(16).padStart(2, '0');
  return `fa:16:${hex(kind)}:${hex(project >> 8)}:${hex(project & 255)}:${hex(port)}`;
}

const PROVIDER = 'neutron-' + uuidOf('provider');
const DROP_GROUP = 'neutron_pg_drop';
const insert = (table: string, name: string, row: Row): Operation =>
  ({ op: 'insert', table, 'uuid-name': name, row });
const addTo = (table: string, name: string, column: string, uuids: readonly string[]): Operation =>
  ({ op: 'mutate', table, where: [['name', '==', name]],
    mutations: [[column, 'insert', set(uuids.map(named))]] });

function externalIp(project: number, host: number): string {
  // 172.16.0.0/14 has room for 1000 projects of 256 addresses.
  return `172.${16 + (project >> 8)}.${project & 255}.${host}`;
}

interface AclRow {
  readonly direction: 'from-lport' | 'to-lport'; readonly priority: number;
  readonly action: string; readonly match: string;
}

function aclOperation(name: string, acl: AclRow): Operation {
  return insert('ACL', name, { ...acl, log: false, external_ids: map({
    'neutron:security_group_rule_id': uuidOf(name) }) });
}

/** Neutron's default rules and four that let a service in: eight. */
function securityGroupRules(group: string): readonly AclRow[] {
  const rule = (direction: AclRow['direction'], match: string): AclRow => ({
    direction, priority: 1002, action: 'allow-related',
    match: `${direction === 'to-lport' ? 'outport' : 'inport'} == @${group} && ${match}` });
  const anywhere = 'ip4 && ip4.src == 0.0.0.0/0';
  return [
    rule('from-lport', 'ip4'), rule('from-lport', 'ip6'),
    rule('to-lport', `ip4 && ip4.src == $${group}_ip4`),
    rule('to-lport', `ip6 && ip6.src == $${group}_ip6`),
    rule('to-lport', `${anywhere} && icmp4`),
    rule('to-lport', `${anywhere} && tcp && tcp.dst == 22`),
    rule('to-lport', `${anywhere} && tcp && tcp.dst >= 8000 && tcp.dst <= 8099`),
    rule('to-lport', `${anywhere} && udp && udp.dst == 53`),
  ];
}

/** What all projects share: the provider network, the group that drops, the options. */
function sharedOperations(): readonly Operation[] {
  const drops: readonly AclRow[] = (['from-lport', 'to-lport'] as const).map((direction) => ({
    direction, priority: 1001, action: 'drop',
    match: `${direction === 'to-lport' ? 'outport' : 'inport'} == @${DROP_GROUP} && ip` }));
  return [
    insert('Logical_Switch_Port', 'localnet', { name: 'provnet-' + uuidOf('provnet'),
      type: 'localnet', tag: 100, addresses: set(['unknown']),
      options: map({ network_name: 'physnet1', mcast_flood: 'false' }) }),
    insert('Logical_Switch', 'provider', { name: PROVIDER, ports: set([named('localnet')]),
      other_config: map({ mcast_snoop: 'false', vlan_passthru: 'false' }) }),
    ...drops.map((acl, i) => aclOperation(`drop${i}`, acl)),
    insert('Port_Group', 'dropgroup', { name: DROP_GROUP,
      acls: set(drops.map((_, i) => named(`drop${i}`))) }),
  ];
}

interface Place { readonly shape: OpenstackShape; readonly project: number }

function vmOperation({ project }: Place, vm: number): Operation {
  const host = vm + 10;
  const address = `${mac(0x3e, project, host)} 10.0.0.${host}`;
  return insert('Logical_Switch_Port', `vm${vm}`, {
    name: uuidOf(`vm ${project} ${vm}`), addresses: set([address]), port_security: set([address]),
    dhcpv4_options: named('dhcp'), enabled: true,
    external_ids: map({ 'neutron:cidrs': `10.0.0.${host}/24`,
      'neutron:device_id': uuidOf(`server ${project} ${vm}`) }) });
}

function networkOperations(place: Place): readonly Operation[] {
  const { project, shape } = place;
  const vms = Array.from({ length: shape.vmsPerProject }, (_, i) => i);
  const router = { 'router-port': 'lrp-' + uuidOf(`inside ${project}`) };
  return [
    insert('DHCP_Options', 'dhcp', { cidr: '10.0.0.0/24', options: map({
      server_id: '10.0.0.1', server_mac: mac(0x3d, project, 1), router: '10.0.0.1',
      lease_time: '43200', mtu: '1442', dns_server: '{9.9.9.9, 1.1.1.1}',
      classless_static_route: '{169.254.169.254/32,10.0.0.2, 0.0.0.0/0,10.0.0.1}' }) }),
    ...vms.map((vm) => vmOperation(place, vm)),
    insert('Logical_Switch_Port', 'metadata', { name: uuidOf(`metadata ${project}`),
      type: 'localport', addresses: set([`${mac(0x3c, project, 2)} 10.0.0.2`]) }),
    insert('Logical_Switch_Port', 'inside', { name: uuidOf(`inside ${project}`), type: 'router',
      addresses: set(['router']), options: map(router) }),
    insert('Logical_Switch', 'network', { name: 'neutron-' + uuidOf(`network ${project}`),
      ports: set([...vms.map((vm) => `vm${vm}`), 'metadata', 'inside'].map(named)),
      other_config: map({ mcast_snoop: 'false', vlan_passthru: 'false' }) }),
  ];
}

function securityOperations({ project, shape }: Place): readonly Operation[] {
  const group = 'pg_' + uuidOf(`group ${project}`).replaceAll('-', '_');
  const rules = securityGroupRules(group);
  const vms = Array.from({ length: shape.vmsPerProject }, (_, i) => `vm${i}`);
  return [
    ...rules.map((acl, i) => aclOperation(`acl${project}x${i}`, acl)),
    insert('Port_Group', 'group', { name: group, ports: set(vms.map(named)),
      acls: set(rules.map((_, i) => named(`acl${project}x${i}`))) }),
    addTo('Port_Group', DROP_GROUP, 'ports', vms),
  ];
}

function natOperations({ project, shape }: Place): readonly Operation[] {
  const floating = Array.from({ length: shape.floatingIpsPerProject }, (_, i) =>
    insert('NAT', `fip${i}`, { type: 'dnat_and_snat', external_ip: externalIp(project, 10 + i),
      logical_ip: `10.0.0.${10 + i}`, logical_port: uuidOf(`vm ${project} ${i}`),
      external_mac: mac(0x3b, project, 10 + i) }));
  return [insert('NAT', 'snat', { type: 'snat', external_ip: externalIp(project, 1),
    logical_ip: '10.0.0.0/24' }), ...floating];
}

function routerOperations(place: Place): readonly Operation[] {
  const { project, shape } = place;
  const outside = 'lrp-' + uuidOf(`outside ${project}`);
  const gateways = shape.gateways.map((chassis, i) => insert('Gateway_Chassis', `gateway${i}`, {
    name: `${outside}_${chassis}`, chassis_name: chassis, priority: shape.gateways.length - i }));
  const nat = natOperations(place);
  return [
    ...gateways, ...nat,
    insert('Logical_Router_Port', 'lrpinside', { name: 'lrp-' + uuidOf(`inside ${project}`),
      mac: mac(0x3d, project, 1), networks: set(['10.0.0.1/24']) }),
    insert('Logical_Router_Port', 'lrpoutside', { name: outside, mac: mac(0x3a, project, 1),
      networks: set([`${externalIp(project, 1)}/14`]),
      gateway_chassis: set(gateways.map((_, i) => named(`gateway${i}`))) }),
    insert('Logical_Router_Static_Route', 'default', { ip_prefix: '0.0.0.0/0',
      nexthop: '172.19.255.254', output_port: outside }),
    insert('Logical_Router', 'router', { name: 'neutron-' + uuidOf(`router ${project}`),
      enabled: true, ports: set([named('lrpinside'), named('lrpoutside')]),
      static_routes: set([named('default')]),
      nat: set(nat.map((operation) => named(operation['uuid-name'] as string))),
      options: map({ dynamic_neigh_routers: 'true', always_learn_from_arp_request: 'false',
        mac_binding_age_threshold: '0' }) }),
    insert('Logical_Switch_Port', 'outside', { name: uuidOf(`outside ${project}`),
      type: 'router', addresses: set(['router']), options: map({ 'router-port': outside,
        'nat-addresses': 'router', 'exclude-lb-vips-from-garp': 'true' }) }),
    addTo('Logical_Switch', PROVIDER, 'ports', ['outside']),
  ];
}

/** Transactions that build the shape in an empty Northbound database, in this order. */
export function openstackTransactions(shape: OpenstackShape): readonly (readonly Operation[])[] {
  const projects = Array.from({ length: shape.projects }, (_, project) => {
    const place = { shape, project };
    return [...networkOperations(place), ...securityOperations(place), ...routerOperations(place)];
  });
  return [sharedOperations(), ...projects];
}

/**
 * Writes the shape into the lab's Northbound database and waits for northd. northd rests
 * meanwhile: it would start over after each of the transactions.
 */
export function applyOpenstackShape(lab: Lab, shape: OpenstackShape): void {
  const northd = ['ovn-appctl', '-t', join(lab.dir, 'central', 'northd.ctl')];
  run([...northd, 'pause']);
  for (const operations of openstackTransactions(shape)) {
    const transaction = JSON.stringify(['OVN_Northbound', ...operations]);
    const reply = run(['ovsdb-client', 'transact', lab.northbound, transaction]);
    if (reply.includes('"error"')) throw new Error(`ovsdb-server: ${reply}`);
  }
  run([...northd, 'resume']);
  lab.nb([['sync']], '--wait=sb', '--timeout=300');
}

/** A Southbound table's rows as ovsdb-server sends them: JSON text of an array of objects. */
export function southboundRows(lab: Lab, table: string): string {
  const select = JSON.stringify(['OVN_Southbound', { op: 'select', table, where: [] }]);
  const reply = run(['ovsdb-client', 'transact', lab.southbound, select], { timeoutMs: 300_000 });
  return JSON.stringify((JSON.parse(reply) as [{ rows: unknown }])[0].rows);
}
