/**
 * A cloud of any size: projects with one network, VMs with port security, DHCP and a security
 * group, and a router with a distributed gateway port, SNAT and floating IPs on one VLAN provider
 * network. For benchmarks and for compiling what real clouds look like. The same options give
 * the same names, so results can be compared.
 */
import { join } from 'node:path';
import { run } from './exec.js';
import type { Lab } from './lab.js';
import { Cloud, transact, type CloudSpec } from './neutron.js';
import type { GroupRule } from './security_groups.js';

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

const provider = { name: 'provider', external: true, provider: { vlan: 100 },
  subnets: ['172.16.0.0/14'] };

/** 172.16.0.0/14 has room for 1000 projects of 256 addresses. */
const externalIp = (project: number, host: number): string =>
  `172.${16 + (project >> 8)}.${project & 255}.${host}`;

/** What lets a service in, beside Neutron's default rules. */
const services = ['icmp4', 'tcp && tcp.dst == 22', 'tcp && tcp.dst >= 8000 && tcp.dst <= 8099',
  'udp && udp.dst == 53'].map((match): GroupRule =>
  ({ direction: 'to-lport', match: `ip4 && ip4.src == 0.0.0.0/0 && ${match}` }));

function project(shape: OpenstackShape, n: number): Required<Omit<CloudSpec, 'domain'>> {
  const network = `network ${n}`, group = `group ${n}`;
  const instances = Array.from({ length: shape.vmsPerProject }, (_, i) =>
    ({ name: `vm ${n} ${i}`, network, host: 10 + i, groups: [group] }));
  return {
    networks: [{ name: network, subnets: ['10.0.0.0/24'] }], instances,
    groups: [{ name: group, rules: services }], balancers: [],
    routers: [{ name: `router ${n}`, networks: [network], snat: {},
      gateway: { network: provider.name, addresses: [externalIp(n, 2)], chassis: shape.gateways },
      floatingIps: instances.slice(0, shape.floatingIpsPerProject).map(({ name }, i) =>
        ({ address: externalIp(n, 10 + i), instance: name, distributed: true })) }],
  };
}

/**
 * Writes the shape into the lab's Northbound database and waits for northd. northd rests
 * meanwhile: it would start over after each of the transactions.
 */
export function applyOpenstackShape(lab: Lab, shape: OpenstackShape): void {
  const projects = Array.from({ length: shape.projects }, (_, n) => project(shape, n));
  const cloud = new Cloud({
    networks: [provider, ...projects.flatMap(({ networks }) => networks)],
    groups: projects.flatMap(({ groups }) => groups),
    instances: projects.flatMap(({ instances }) => instances),
    routers: projects.flatMap(({ routers }) => routers),
  });
  const northd = ['ovn-appctl', '-t', join(lab.dir, 'central', 'northd.ctl')];
  run([...northd, 'pause']);
  transact(lab, [...cloud.sharedOperations(), ...cloud.operationsOf({ networks: [provider] })]);
  for (const one of projects) transact(lab, cloud.operationsOf(one));
  run([...northd, 'resume']);
  run(['ovn-nbctl', `--db=${lab.northbound}`, '--wait=sb', '--timeout=300', 'sync'],
    { timeoutMs: 310_000 });
}

/** A Southbound table's rows as ovsdb-server sends them: JSON text of an array of objects. */
export function southboundRows(lab: Lab, table: string): string {
  const select = JSON.stringify(['OVN_Southbound', { op: 'select', table, where: [] }]);
  const reply = run(['ovsdb-client', 'transact', lab.southbound, select], { timeoutMs: 300_000 });
  return JSON.stringify((JSON.parse(reply) as [{ rows: unknown }])[0].rows);
}
