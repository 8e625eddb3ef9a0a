/**
 * Two chassis, two networks, a router, stateless security groups: the traffic works as before,
 * the fast path carries it, goes on without its agent, and OVS takes over when it is detached.
 */
import { startAgents, type Agent } from '../agent.js';
import type { DemoOptions } from './demo.js';
import type { Report } from './demo_report.js';
import { run } from '../exec.js';
import { measureFlood, type Load } from '../flood.js';
import { ethernet, ipPacket, PROTO, typeOf, udp } from '../frames/frames.js';
import { Lab } from '../lab.js';
import { applyCloud, Cloud, type Instance } from '../neutron.js';
import type { GroupRule } from '../security_groups.js';
import { Ledger } from '../shares.js';
import type { Vm } from '../vm.js';

const tenants: readonly GroupRule[] = [
  { direction: 'to-lport', match: 'ip4 && ip4.src == 10.0.0.0/16' },
  { direction: 'to-lport', match: 'ip6 && ip6.src == fd00::/16' },
  { direction: 'to-lport', match: 'icmp6' },
];
/** Neutron has no rules that drop: a port is closed by opening all around it. */
const closedPort = 4444;
const around: readonly GroupRule[] = ['ip4 && udp', 'ip4 && icmp4', 'ip6',
  `ip4 && tcp && tcp.dst >= 1 && tcp.dst <= ${closedPort - 1}`,
  `ip4 && tcp && tcp.dst >= ${closedPort + 1} && tcp.dst <= 65535`,
].map((match) => ({ direction: 'to-lport', match }));

const place = (name: string, network: string, host: number, chassis: string, group = 'open'):
Instance => ({ name, network, host, chassis, groups: [group] });

/** The VMs that send and receive the flood have no IP stack that would answer it. */
const cloud = new Cloud({
  networks: [{ name: 'net-1', subnets: ['10.0.1.0/24', 'fd00:1::/64'] },
    { name: 'net-2', subnets: ['10.0.2.0/24', 'fd00:2::/64'] }],
  groups: [{ name: 'open', stateless: true, rules: tenants },
    { name: 'guarded', stateless: true, closed: true, rules: around }],
  instances: [
    place('a1', 'net-1', 11, 'c1'), place('a2', 'net-1', 12, 'c1'),
    place('a3', 'net-1', 13, 'c2'), place('b1', 'net-2', 11, 'c1'),
    place('b2', 'net-2', 12, 'c2', 'guarded'),
    { ...place('f1', 'net-1', 21, 'c1'), raw: true },
    { ...place('f2', 'net-2', 22, 'c2'), raw: true },
  ],
  routers: [{ name: 'r', networks: ['net-1', 'net-2'] }],
});

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
  const answers = [await from.connect('10.0.2.12', closedPort),
    await from.connect('10.0.2.12', closedPort + 1)];
  report.check(`${by}: the security group drops TCP port ${closedPort} and nothing else`,
    answers.join() === 'silent,refused', answers.join(' and '));
}

/** UDP in a frame of 64 bytes. */
function floodFrame(from: Vm): Uint8Array {
  const [src, dst] = ['10.0.1.21', '10.0.2.22'];
  const datagram = udp({ src, dst }, { sport: 9000, dport: 9000 }, new Uint8Array(22));
  return ethernet({ dst: cloud.routerMac('r', 'net-1'), src: from.spec.mac, type: typeOf(src) },
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
  report.step('building OVN: two chassis, two networks, one router, stateless groups');
  const lab = await Lab.start({ chassis: ['c1', 'c2'] });
  try {
    applyCloud(lab, cloud);
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
