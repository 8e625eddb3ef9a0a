/**
 * OVN's reference architecture for OpenStack: two compute and two gateway nodes, a provider
 * network with a host outside, two tenant networks and one distributed router whose gateway
 * port either gateway can have. All that its users do is done with OVS alone, then with ovn-xdp
 * on every node, which tells what it carried.
 */
import { startAgents, type Agent } from '../agent.js';
import type { DemoOptions } from './demo.js';
import type { Report } from './demo_report.js';
import { failovers } from './demo_failover.js';
import { lines, type Line } from './demo_openstack_lines.js';
import { python3, run, start } from '../exec.js';
import type { Host } from '../host.js';
import { Lab } from '../lab.js';
import { applyCloud, Cloud, metadataAddress } from '../neutron.js';
import { physicalNetwork } from '../neutron_rows.js';
import type { Provider } from '../provider.js';
import { addTallies, Ledger, shareOf, tallyText, type Tally } from '../shares.js';

const compute = ['c1', 'c2'], gateways = ['g1', 'g2'];
const anywhere = '0.0.0.0/0';

export const openstack = new Cloud({
  domain: 'lab.example',
  networks: [
    { name: 'public', subnets: ['203.0.113.0/24'], external: true, provider: {} },
    { name: 'vlan101', subnets: ['10.10.101.0/24'], provider: { vlan: 101 } },
    { name: 'net-a', subnets: ['10.10.1.0/24', 'fd00:10:1::/64'] },
    { name: 'net-b', subnets: ['10.10.2.0/24', 'fd00:10:2::/64'] },
  ],
  groups: [
    { name: 'web', rules: [
      { direction: 'to-lport', match: `ip4 && ip4.src == ${anywhere} && icmp4` },
      { direction: 'to-lport', match: `ip4 && ip4.src == ${anywhere} && tcp && tcp.dst == 80` },
    ] },
    { name: 'db', rules: [
      { direction: 'to-lport', match: 'ip4 && ip4.src == 10.10.1.0/24 && tcp '
        + '&& tcp.dst >= 5430 && tcp.dst <= 5439' },
      { direction: 'to-lport', match: 'ip6 && icmp6' }, { direction: 'to-lport', match: 'icmp4' },
    ] },
  ],
  instances: [
    { name: 'a1', network: 'net-a', host: 11, chassis: 'c1', groups: ['web'] },
    { name: 'a2', network: 'net-a', host: 12, chassis: 'c2', groups: ['web'] },
    { name: 'a3', network: 'net-a', host: 13, chassis: 'c1', groups: ['web'] },
    { name: 'b1', network: 'net-b', host: 11, chassis: 'c1', groups: ['web'] },
    { name: 'b2', network: 'net-b', host: 12, chassis: 'c2', groups: ['web'] },
    { name: 'd1', network: 'net-b', host: 13, chassis: 'c2', groups: ['db'] },
    { name: 'v1', network: 'vlan101', host: 11, chassis: 'c1', groups: ['web'] },
    { name: 'v2', network: 'vlan101', host: 12, chassis: 'c2', groups: ['web'] },
  ],
  routers: [{
    name: 'r1', networks: ['net-a', 'net-b'], snat: {},
    gateway: { network: 'public', addresses: ['203.0.113.10'], chassis: gateways },
    floatingIps: [{ address: '203.0.113.51', instance: 'a1' },
      { address: '203.0.113.52', instance: 'b2' }],
  }],
});

export interface Scene {
  readonly lab: Lab; readonly provider: Provider; readonly cloud: Cloud; readonly outside: Host;
}

/** argv: address. Answers as Nova's metadata would, and with who asked. */
const metadataServer = `
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ('instance at ' + self.client_address[0]).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.HTTPServer((sys.argv[1], 80), Handler).serve_forever()
`;

function startMetadata(lab: Lab, cloud: Cloud): void {
  for (const chassis of compute) {
    for (const network of ['net-a', 'net-b']) {
      const agent = lab.addVm(cloud.metadataSpec(network, chassis));
      start([python3, '-c', metadataServer, metadataAddress],
        { netns: agent.netns, stdio: 'ignore' });
    }
  }
}

async function build(): Promise<Scene> {
  const all = [...compute, ...gateways];
  const lab = await Lab.start({ chassis: all });
  try {
    const provider = lab.addProvider(physicalNetwork, all);
    for (const name of gateways) {
      lab.chassis.get(name)?.vsctl('set', 'Open_vSwitch', '.',
        'external_ids:ovn-cms-options=enable-chassis-as-gw');
    }
    // The first gateway node is itself a host of the provider network.
    const node = lab.chassis.get('g1')?.netns ?? '', { ovsBridge } = provider;
    run(['ip', '-n', node, 'address', 'add', '203.0.113.201/24', 'dev', ovsBridge]);
    run(['ip', '-n', node, 'link', 'set', ovsBridge, 'up']);
    const outside = provider.addHost({ name: 'out', mac: '02:00:00:00:01:01',
      ips: ['203.0.113.1/24'] });
    startMetadata(lab, openstack);
    applyCloud(lab, openstack);
    return { lab, provider, cloud: openstack, outside };
  } catch (error) {
    lab.close();
    throw error;
  }
}

interface Done { readonly line: Line; readonly tallies: readonly Tally[] }

/** Runs the lines; with agents each tells what was carried, and all of it is returned. */
async function traffic(scene: Scene, report: Report, by: string, agents: readonly Agent[]):
Promise<readonly Done[]> {
  const ledger = await Ledger.open(agents);
  const done: Done[] = [];
  for (const line of lines) {
    await line.prepare?.(scene, agents);
    await ledger.take();
    const problem = await line.run(scene);
    const tallies = await ledger.take();
    const carried = tallies.filter(({ forwarded, dropped, left }) =>
      forwarded + dropped > 0 || Object.keys(left).length > 0).map(tallyText).join('; ');
    report.check(`${by}: ${line.what}`, problem === undefined,
      [...problem === undefined ? [] : [problem], ...carried === '' ? [] : [carried]].join('; '));
    done.push({ line, tallies });
  }
  return done;
}

/** The goals: of the tenants' unicast packets on each chassis, of north-south on the gateway. */
function checkShares(report: Report, done: readonly Done[]): void {
  const totalOf = (wanted: readonly Done[], chassis: string): Tally =>
    wanted.flatMap(({ tallies }) => tallies).filter((tally) => tally.chassis === chassis)
      .reduce(addTallies, { chassis, forwarded: 0, dropped: 0, left: {}, other: 0 });
  for (const chassis of compute) {
    report.share('unicast tenant packets', totalOf(done, chassis));
  }
  const north = done.filter(({ line }) => line.northSouth === true);
  for (const chassis of gateways) {
    const tally = totalOf(north, chassis);
    if (shareOf(tally) !== undefined) report.share('north-south packets', tally);
  }
}

async function withOvnXdp(scene: Scene, report: Report): Promise<Agent[]> {
  // Half a minute after OVS alone, ports are used again whose translations have expired and are not
  // swept yet: OVS 3.1 aborts when a packet meets one (conn_update_state(), lib/conntrack.c).
  for (const chassis of scene.lab.chassis.values()) {
    chassis.appctl('ovs-vswitchd', 'dpctl/flush-conntrack');
  }
  report.step('starting ovn-xdp on all four nodes');
  const agents = await startAgents(scene.lab);
  for (const agent of agents) {
    const { ports } = await agent.ask();
    report.step(`ovn-xdp on ${agent.chassis.name}: ${
      ports.map((port) => `${port.name} (${port.hook}, ${port.mode})`).join(', ')}`);
  }
  checkShares(report, await traffic(scene, report, 'with ovn-xdp', agents));
  return agents;
}

export async function demoOpenstack(report: Report, options: DemoOptions): Promise<void> {
  report.step('building OVN: two compute and two gateway nodes, four networks, one router');
  const scene = await build();
  const { lab } = scene;
  try {
    report.step(`lab ${lab.id} is up: ${lab.vms.size} ports`);
    await traffic(scene, report, 'OVS alone', []);
    const alone = await failovers(scene, report, 'OVS alone');
    const agents = await withOvnXdp(scene, report);
    const ours = await failovers(scene, report, 'with ovn-xdp', agents);
    report.check('gateway failover is no slower than with OVS alone', ours <= alone * 1.5,
      `${ours.toFixed(1)} s, OVS alone ${alone.toFixed(1)} s`);
    if (options.keep) {
      lab.keep();
      report.step(`kept; remove it with: npm run demo -- --remove ${lab.id}`);
    } else {
      for (const agent of agents) await agent.remove();
    }
  } finally {
    if (!options.keep) {
      lab.close();
      report.step('lab removed');
    }
  }
}
