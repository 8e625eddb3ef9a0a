/** The gateway dies under traffic and comes back. */
import type { Agent } from '../agent.js';
import type { Report } from './demo_report.js';
import type { Scene } from './demo_openstack.js';
import { gatewayPort } from './demo_openstack_lines.js';
import { sleep } from '../exec.js';
import { Outage, SourceWatch, untilGateway } from '../failover.js';
import { Ledger, tallyText } from '../shares.js';
import { Transfers } from '../transfers.js';

/** UDP conversations with the host outside, half through SNAT, half through a floating IP. */
const connections = Number(process.env['OVN_XDP_CONNECTIONS'] ?? 60);
/** Each sends ten times a second, or less often when they are many. */
const pace = Math.max(0.1, connections / 600);

/** What may leave a chassis for the provider network: its own hosts' and translated sources. */
const allowed = /^203\.0\.113\.|^10\.10\.101\./;

/** The longest silence of any conversation, in seconds. */
export async function failovers(
  scene: Scene, report: Report, by: string, agents: readonly Agent[] = [],
): Promise<number> {
  const { lab, cloud, outside } = scene;
  const port = gatewayPort(cloud);
  await untilGateway(lab, port, 'g1');
  const ledger = await Ledger.open(agents);
  const watch = new SourceWatch(lab, scene.provider, [...lab.chassis.keys()]);
  const outage = new Outage(lab, lab.chassis.get('g1') as NonNullable<
    ReturnType<typeof lab.chassis.get>>);
  const transfers = [
    await Transfers.start(lab.vm('a2'), outside, { kind: 'udp', port: 4001, pace,
      connections: Math.ceil(connections / 2) }),
    await Transfers.start(lab.vm('b2'), outside, { kind: 'udp', port: 4002, pace,
      connections: Math.floor(connections / 2) }),
  ];
  await sleep(2000);
  outage.begin();
  await untilGateway(lab, port, 'g2');
  await sleep(4000);
  outage.end();
  await untilGateway(lab, port, 'g1');
  await sleep(3000);
  const reports = await Promise.all(transfers.map((each) => each.stop()));
  const tallies = await ledger.take();
  const seen = await watch.stop();
  const broken = reports.flatMap((each) => each.broken);
  const gap = Math.max(...reports.map(({ longestGap }) => longestGap));
  const blocks = reports.reduce((sum, each) => sum + each.blocks, 0);
  report.check(`${by}: ${connections} conversations outlive the gateway, there and back`,
    broken.length === 0 && blocks > connections,
    [`${blocks} exchanges, longest silence ${gap.toFixed(1)} s`, ...broken.slice(0, 2),
      ...tallies.map(tallyText)].join('; '));
  const wrong = [...seen].filter(([source]) => !allowed.test(source));
  report.check(`${by}: no packet left untranslated meanwhile`, wrong.length === 0,
    wrong.map(([source, n]) => `${n} from ${source}`).join(', ')
      || `${[...seen.values()].reduce((sum, n) => sum + n, 0)} frames looked at`);
  return gap;
}
