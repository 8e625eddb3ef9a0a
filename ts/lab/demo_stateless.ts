/**
 * Two chassis, two switches, a router, stateless ACLs: the traffic works as before, the fast
 * path carries it, goes on without its agent, and OVS takes over when it is detached.
 */
import { startAgents, type Agent } from './agent.js';
import type { DemoOptions } from './demo.js';
import type { Report } from './demo_report.js';
import { run } from './exec.js';
import { measureFlood, type Load } from './flood.js';
import { ethernet, ipPacket, PROTO, typeOf, udp } from './frames.js';
import { Lab } from './lab.js';
import { Ledger } from './shares.js';
import { applyTopology, routerMac, type Topology, type TopologyVm } from './topology.js';
import type { Vm } from './vm.js';

const place = (port: string, sw: number, host: number, chassis: string): TopologyVm =>
  ({ port, switch: sw, host, chassis, security: 'addresses' });

const ports = ['a1', 'a2', 'a3', 'b1', 'b2', 'f1', 'f2'] as const;
/** The VMs that send and receive the flood have no IP stack that would answer it. */
const topology: Topology = {
  name: 'stateless', switches: 2, routed: true,
  vms: [
    place('a1', 1, 11, 'c1'), place('a2', 1, 12, 'c1'), place('a3', 1, 13, 'c2'),
    place('b1', 2, 11, 'c1'), place('b2', 2, 12, 'c2'),
    { ...place('f1', 1, 21, 'c1'), raw: true }, { ...place('f2', 2, 22, 'c2'), raw: true },
  ],
  portGroups: { pg_all: ports },
  addressSets: { as4: ['10.0.1.0/24', '10.0.2.0/24'], as6: ['fd00:1::/64', 'fd00:2::/64'] },
  acls: [
    { on: 'pg_all', direction: 'from-lport', priority: 1001, action: 'allow-stateless',
      match: 'inport == @pg_all && ip' },
    { on: 'pg_all', direction: 'to-lport', priority: 1001, action: 'allow-stateless',
      match: 'outport == @pg_all && ip4.src == $as4' },
    { on: 'pg_all', direction: 'to-lport', priority: 1001, action: 'allow-stateless',
      match: 'outport == @pg_all && (ip6.src == $as6 || icmp6)' },
    { on: 'pg_all', direction: 'to-lport', priority: 1002, action: 'drop',
      match: 'outport == @pg_all && tcp.dst == 4444' },
    { on: 'pg_all', direction: 'to-lport', priority: 1000, action: 'drop',
      match: 'outport == @pg_all && ip' },
  ],
};

const peers: readonly (readonly [string, string])[] = [
  ['a2', 'same subnet, same chassis'], ['a3', 'same subnet, other chassis'],
  ['b1', 'other subnet, same chassis'], ['b2', 'other subnet, other chassis'],
];

async function traffic(lab: Lab, report: Report, by: string, pings: number): Promise<void> {
  const from = lab.vm('a1');
  for (const [name, where] of peers) {
    const to = lab.vm(name);
    for (const family of [4, 6] as const) {
      const results = {
        ping: await from.ping(to.ip(family), pings),
        'large ping': await from.ping(to.ip(family), 3, 1400),
        TCP: await from.exchange(to, family, 'tcp', 500_000),
        UDP: await from.exchange(to, family, 'udp', 1200),
      };
      const bad = Object.entries(results).filter(([, ok]) => !ok).map(([kind]) => kind);
      report.check(`${by}: ping, TCP and UDP over IPv${family}, ${where}`, bad.length === 0,
        bad.length === 0 ? undefined : `failed: ${bad.join(', ')}`);
    }
  }
  const answers = [await from.connect('10.0.2.12', 4444), await from.connect('10.0.2.12', 4445)];
  report.check(`${by}: the ACL drops TCP port 4444 and nothing else`,
    answers.join() === 'silent,refused', answers.join(' and '));
}

/** UDP in a frame of 64 bytes. */
function floodFrame(from: Vm): Uint8Array {
  const [src, dst] = ['10.0.1.21', '10.0.2.22'];
  const datagram = udp({ src, dst }, { sport: 9000, dport: 9000 }, new Uint8Array(22));
  return ethernet({ dst: routerMac(1), src: from.spec.mac, type: typeOf(src) },
    ipPacket({ src, dst, proto: PROTO.udp }, datagram));
}

const floodSeconds = 2;
/** Several loads, the best result counts: overload slows OVS down, XDP runs where one sends. */
const loads: readonly Load[] = [
  { senders: 2, rate: Infinity }, { senders: 1, rate: Infinity },
  { senders: 1, rate: 120_000 }, { senders: 1, rate: 60_000 },
];

async function packetRate(lab: Lab, report: Report, by: string): Promise<number> {
  const [from, to] = [lab.vm('f1'), lab.vm('f2')];
  // Ready frames go into a veth only when its peer polls. No TCP comes here: GRO joins nothing.
  run(['ethtool', '-K', from.port, 'gro', 'on'], { netns: from.chassis.netns });
  let best = 0;
  for (const load of loads) {
    const { pps } = await measureFlood(from, to, floodFrame(from), floodSeconds, load);
    best = Math.max(best, Math.round(pps));
  }
  report.step(`${by}: ${best.toLocaleString('en')} packets/s of 64 bytes, `
    + 'VM, router, geneve, other chassis, VM');
  return best;
}

async function fastPath(lab: Lab, report: Report, agents: readonly Agent[]): Promise<number> {
  for (const agent of agents) {
    const on = (await agent.ask()).ports.map((port) => `${port.name} (${port.hook}, ${port.mode})`);
    report.step(`ovn-xdp on ${agent.chassis.name}: ${on.join(', ')}`);
  }
  const ledger = await Ledger.open(agents);
  await traffic(lab, report, 'with ovn-xdp', 20);
  for (const tally of await ledger.take()) report.share('unicast tenant packets', tally);
  return packetRate(lab, report, 'with ovn-xdp');
}

/** kill -9 of an agent stops no packet; without the pins OVS has it all again. */
async function withoutAgents(lab: Lab, report: Report, agents: readonly Agent[]): Promise<void> {
  for (const agent of agents) await agent.stop('SIGKILL');
  const [from, to] = [lab.vm('a1'), lab.vm('b2')];
  report.check('traffic goes on after kill -9 of the agents', await from.ping(to.ip(4), 10));
  for (const agent of agents) await agent.remove();
  report.check('traffic goes on after detaching', await from.ping(to.ip(4), 10));
}

export async function stateless(report: Report, options: DemoOptions): Promise<void> {
  report.step('building OVN: two chassis, two switches, one router, stateless ACLs');
  const lab = await Lab.start({ chassis: ['c1', 'c2'] });
  try {
    applyTopology(lab, topology);
    report.step(`lab ${lab.id} is up: ${lab.vms.size} VMs`);
    await traffic(lab, report, 'OVS alone', 3);
    const ovs = await packetRate(lab, report, 'OVS alone');
    report.step('starting ovn-xdp on both chassis');
    const agents = await startAgents(lab);
    const ours = await fastPath(lab, report, agents);
    report.pps = { ovs, ovn_xdp: ours, ratio: ours / ovs };
    report.check('faster than OVS alone', ours > ovs, `${(ours / ovs).toFixed(1)} times`);
    await withoutAgents(lab, report, agents);
    if (options.keep) {
      for (const agent of agents) agent.start();
      for (const agent of agents) await agent.ready();
      lab.keep();
      report.step(`kept; remove it with: npm run demo -- --remove ${lab.id}`);
    }
  } finally {
    if (!options.keep) {
      lab.close();
      report.step('lab removed');
    }
  }
}
