/** Load balancers as tests want them: a network, what is balanced, and who has to answer. */
import type { Lab } from './lab.js';
import { withSecurityGroups } from './security_groups.js';
import { vmIp, type Topology, type TopologyVm } from './topology.js';

const vm = (port: string, sw: number, host: number, chassis: string): TopologyVm =>
  ({ port, switch: sw, host, chassis, security: 'addresses' });
export const vms = [vm('a1', 1, 11, 'c1'), vm('a2', 1, 12, 'c1'), vm('a3', 1, 13, 'c2'),
  vm('b1', 2, 11, 'c1'), vm('b2', 2, 12, 'c2')];
export const clients = ['a1', 'a2', 'a3', 'b2'];
const open = ['ip4', 'ip6'].map((match) => ({ direction: 'to-lport', match } as const));
export const topology: Topology = { name: 'services', switches: 2, routed: true, vms };
export const grouped = withSecurityGroups(topology,
  { all: { ports: vms.map(({ port }) => port), more: open } });

const ip = (port: string, family: 4 | 6 = 4): string =>
  vmIp(vms.find((one) => one.port === port)!, family);
const at4 = (port: number, ...names: readonly string[]): string =>
  names.map((name) => `${ip(name)}:${port}`).join(',');
const at6 = (port: number, ...names: readonly string[]): string =>
  names.map((name) => `[${ip(name, 6)}]:${port}`).join(',');

export interface Balancer {
  readonly name: string; readonly kind: 'tcp' | 'udp'; readonly vip: string; readonly port: number;
  /** As ovn-nbctl wants it. */
  readonly backends: string;
  /** The virtual address has no port. */
  readonly whole?: boolean;
  readonly columns?: readonly string[];
  /** Names that answer. */
  readonly by: readonly string[];
}
export const balancers: readonly Balancer[] = [
  { name: 'web', kind: 'tcp', vip: '172.16.0.10', port: 80, backends: at4(8080, 'b1', 'b2'),
    by: ['b1', 'b2'] },
  { name: 'web6', kind: 'tcp', vip: 'fd00:99::10', port: 80, backends: at6(8080, 'b1', 'b2'),
    by: ['b1', 'b2'] },
  { name: 'dns', kind: 'udp', vip: '172.16.0.11', port: 53, backends: at4(5353, 'b1', 'b2', 'a3'),
    by: ['b1', 'b2', 'a3'] },
  { name: 'dns6', kind: 'udp', vip: 'fd00:99::11', port: 53, backends: at6(5353, 'b1', 'b2'),
    by: ['b1', 'b2'] },
  { name: 'whole', kind: 'tcp', vip: '172.16.0.13', port: 8080, whole: true,
    backends: `${ip('b1')},${ip('b2')}`, by: ['b1', 'b2'] },
  { name: 'hash', kind: 'tcp', vip: '172.16.0.12', port: 80, columns: ['selection_fields=ip_src'],
    backends: at4(8080, 'b1', 'b2', 'a3'), by: ['b1', 'b2', 'a3'] },
  { name: 'hash6', kind: 'udp', vip: 'fd00:99::12', port: 53, backends: at6(5353, 'b1', 'b2', 'a3'),
    columns: ['selection_fields=eth_src,ip_dst,tp_dst'], by: ['b1', 'b2', 'a3'] },
  { name: 'self', kind: 'tcp', vip: '172.16.0.14', port: 80, backends: at4(8080, 'a1'),
    by: ['a1'] },
  { name: 'self6', kind: 'tcp', vip: 'fd00:99::14', port: 80, backends: at6(8080, 'a1'),
    by: ['a1'] },
  { name: 'selfudp', kind: 'udp', vip: '172.16.0.15', port: 53, backends: at4(5353, 'a1'),
    columns: ['options:hairpin_snat_ip=172.16.9.9'], by: ['a1'] },
  { name: 'empty', kind: 'tcp', vip: '172.16.0.16', port: 80, backends: '',
    columns: ['options:reject=true'], by: [] },
  { name: 'gone', kind: 'tcp', vip: '172.16.0.17', port: 80, backends: '', by: [] },
  { name: 'affine', kind: 'tcp', vip: '172.16.0.18', port: 80,
    columns: ['options:affinity_timeout=60'], backends: at4(8080, 'b1'), by: ['b1'] },
];
/** Whose clients keep their backend. */
export const keeping: readonly Balancer[] = [
  { name: 'kept', kind: 'tcp', vip: '172.16.0.19', port: 80, by: ['b1', 'b2'],
    columns: ['options:affinity_timeout=300'], backends: at4(8080, 'b1', 'b2') },
  { name: 'kept6', kind: 'udp', vip: 'fd00:99::19', port: 53, by: ['b1', 'b2'],
    columns: ['options:affinity_timeout=300'], backends: at6(5353, 'b1', 'b2') },
  { name: 'brief', kind: 'tcp', vip: '172.16.0.20', port: 80, by: ['b1', 'b2'],
    columns: ['options:affinity_timeout=20'], backends: at4(8080, 'b1', 'b2') },
];
export const hashed = ['hash', 'hash6', 'northhash'];

function addBalancer(lab: Lab, { name, kind, vip, port, backends, whole, columns = [] }: Balancer,
  on: readonly (readonly string[])[]): void {
  const key = whole ? vip : vip.includes(':') ? `[${vip}]:${port}` : `${vip}:${port}`;
  lab.nb([['create', 'Load_Balancer', `name=${name}`, `protocol=${kind}`,
    `vips:${JSON.stringify(key)}=${JSON.stringify(backends)}`, ...columns]]);
  lab.nb(on.map((to) => [...to, name]));
}
export function addBalancers(lab: Lab): void {
  for (const balancer of [...balancers, ...keeping]) {
    addBalancer(lab, balancer, [['ls-lb-add', 's1'], ['ls-lb-add', 's2']]);
  }
}

/** Backends of switches behind a gateway router on c1, whose clients are outside. */
export const north: readonly Balancer[] = [
  { name: 'north', kind: 'tcp', vip: '192.0.2.80', port: 80, backends: at4(8080, 'b1', 'b2', 'a1'),
    by: ['a1', 'b1', 'b2'] },
  { name: 'north6', kind: 'tcp', vip: 'fd00:c0::80', port: 80, backends: at6(8080, 'b1', 'b2'),
    by: ['b1', 'b2'] },
  { name: 'northudp', kind: 'udp', vip: '192.0.2.81', port: 53, backends: at4(5353, 'b1', 'a1'),
    by: ['a1', 'b1'] },
  { name: 'plain', kind: 'tcp', vip: '192.0.2.82', port: 80, backends: at4(8080, 'b1', 'b2'),
    columns: ['options:skip_snat=true'], by: ['b1', 'b2'] },
  { name: 'northhash', kind: 'tcp', vip: '192.0.2.83', port: 80, by: ['b1', 'b2', 'a1'],
    backends: at4(8080, 'b1', 'b2', 'a1'), columns: ['selection_fields=ip_src,tp_dst'] },
  { name: 'northempty', kind: 'tcp', vip: '192.0.2.84', port: 80, backends: '',
    columns: ['options:reject=true'], by: [] },
];
export const keepingNorth: readonly Balancer[] = [
  { name: 'northkept', kind: 'tcp', vip: '192.0.2.85', port: 80, by: ['b1', 'b2'],
    columns: ['options:affinity_timeout=300'], backends: at4(8080, 'b1', 'b2') },
  { name: 'northkept6', kind: 'udp', vip: 'fd00:c0::85', port: 53, by: ['b1', 'b2'],
    columns: ['options:affinity_timeout=300'], backends: at6(5353, 'b1', 'b2') },
];
export const outside = [['x1', 11, 'c1'], ['x2', 12, 'c1']] as const;

/** The router `gr`, with a switch to the router of the topology and one to the clients. */
export function addGateway(lab: Lab): void {
  const to = (sw: string, router: string, ...addresses: readonly string[]): string[][] => [
    ['lrp-add', router, `${router}-${sw}`, ...addresses],
    ['lsp-add', sw, `${sw}-${router}`], ['lsp-set-type', `${sw}-${router}`, 'router'],
    ['lsp-set-addresses', `${sw}-${router}`, 'router'],
    ['lsp-set-options', `${sw}-${router}`, `router-port=${router}-${sw}`]];
  lab.nb([['lr-add', 'gr'], ['set', 'Logical_Router', 'gr', 'options:chassis=c1',
    'options:lb_force_snat_ip=router_ip'], ['ls-add', 'j'], ['ls-add', 'x'],
  ...to('j', 'r', '00:00:00:00:fe:01', '100.64.0.1/30', 'fd00:64::1/64'),
  ...to('j', 'gr', '00:00:00:00:fe:02', '100.64.0.2/30', 'fd00:64::2/64'),
  ...to('x', 'gr', '00:00:00:00:fe:03', '192.0.2.1/24', 'fd00:c0::1/64'),
  ['lr-route-add', 'r', '0.0.0.0/0', '100.64.0.2'], ['lr-route-add', 'r', '::/0', 'fd00:64::2'],
  ['lr-route-add', 'gr', '10.0.0.0/16', '100.64.0.1'],
  ['lr-route-add', 'gr', 'fd00:1::/64', 'fd00:64::1'],
  ['lr-route-add', 'gr', 'fd00:2::/64', 'fd00:64::1']]);
  for (const balancer of [...north, ...keepingNorth]) {
    addBalancer(lab, balancer, [['lr-lb-add', 'gr']]);
  }
  for (const [port, host, chassis] of outside) {
    const mac = `02:00:00:00:99:${host}`, ips = [`192.0.2.${host}`, `fd00:c0::${host}`];
    lab.nb([['lsp-add', 'x', port], ['lsp-set-addresses', port, `${mac} ${ips.join(' ')}`]]);
    lab.addVm({ port, chassis, mac, ips: [`${ips[0]}/24`, `${ips[1]}/64`],
      gateways: ['192.0.2.1', 'fd00:c0::1'] });
  }
  lab.settle();
}
