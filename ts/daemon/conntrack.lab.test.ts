/**
 * Connections beside a real OVN, with security groups as Neutron writes them: what is attached,
 * killed, restarted, drained and detached meanwhile, no transfer by TCP or UDP notices.
 * OVN_XDP_TRANSFERS: how many run at a time.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startAgents, type Agent } from '../lab/agent.js';
import { CommandError, patience, sleep, until } from '../lab/exec.js';
import { Lab } from '../lab/lab.js';
import { withSecurityGroups } from '../lab/security_groups.js';
import { applyTopology, twoSubnets } from '../lab/topology.js';
import { Transfers } from '../lab/transfers.js';
import type { Status } from './status.js';

const count = Number(process.env['OVN_XDP_TRANSFERS'] ?? 20);
/** Blocks a second stay the same, whatever the count: OVS in user space carries no more, and an
 * emulated machine has time for nothing else. */
const pace = Math.min(0.5, count / 100 * patience);
/** Every connection has sent by then. */
const begun = (): Promise<void> => sleep((pace * 1000 + 500) * patience);
const stallSeconds = 3 * patience;
/** What becomes of the agent has not to do with the kernel. */
const onlyHere = process.env['OVN_XDP_OTHER_KERNEL'] === undefined ? test : test.skip;

let lab: Lab;
let agents: Agent[] = [];
const agent = (): Agent => agents[0]!;
const status = async (one = agent()): Promise<Status> => await one.ask() as unknown as Status;

interface Listed { readonly owner: string; readonly zone: number | null; readonly proto: string;
  readonly state: string; readonly orig: { readonly src: string; readonly dport: number };
  readonly packets: readonly number[] }
const listed = (...args: readonly string[]): Listed[] =>
  agent().cli('ct', 'list', '-o', 'json', ...args).split('\n').filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Listed);

const transfers = (port: number, kind: 'tcp' | 'udp' = 'tcp', family: 4 | 6 = 4):
  Promise<Transfers> => Transfers.start(lab.vm('a1'), lab.vm('b2'),
  { kind, family, connections: count, port, pace });

async function unharmed(running: Transfers, what: string): Promise<void> {
  const report = await running.stop();
  assert.equal(report.broken, [], what);
  assert.ok(report.blocks >= count, `${what}: ${report.blocks} blocks`);
  assert.ok(report.longestGap < stallSeconds, `${what}: a gap of ${report.longestGap} s`);
}

const mode = async (wanted: string): Promise<unknown> => Promise.all(agents.map((one) =>
  until(`mode ${wanted} on ${one.chassis.name}`, 20_000,
    async () => (await status(one)).conntrack.mode === wanted)));

test.before(async () => {
  lab = await Lab.start({ chassis: ['c1', 'c2'] });
  applyTopology(lab, withSecurityGroups(twoSubnets, {
    web: { ports: ['a1', 'a2', 'b2'] }, db: { ports: ['a3', 'b1'] } }));
  for (const family of [4, 6] as const) {
    await until('a way', 20_000, () => lab.vm('a1').ping(lab.vm('b2').ip(family), 1));
  }
  // So that a connection's end is not a matter of minutes. An echo's is to outlive a change.
  for (const chassis of lab.chassis.values()) {
    chassis.vsctl('set', 'Open_vSwitch', '.', ...['tcp-syn-sent', 'tcp-time-wait',
      'tcp-fin-wait', 'tcp-close', 'udp', 'udp-stream', 'icmp'].map((name) =>
      `external_ids:ovn-xdp-ct-timeout-${name}=${name === 'icmp' ? 4 * patience : 4}`));
  }
});
test.after(async () => {
  for (const one of agents) await one.stop('SIGKILL');
  lab?.close();
});

test('what OVS tracks when programs come stays OVS\'s, and does not notice', async () => {
  const before = await transfers(6000), datagrams = await transfers(6000, 'udp');
  await begun();
  agents = await startAgents(lab);
  await mode('on');
  await sleep(1000);
  const foreign = listed('--owner', 'foreign', '--port', '6000', '--proto', 'tcp');
  assert.is(foreign.length, count);
  assert.ok(foreign.every(({ orig }) => orig.src === lab.vm('a1').ip(4)));
  assert.is((await status()).conntrack.entries, 0, 'none of them is ours');
  assert.ok(((await status()).punted_by_reason['ct_midstream'] ?? 0) > count);
  await unharmed(before, 'attached meanwhile');
  await unharmed(datagrams, 'UDP, attached meanwhile');
});

test('new connections are ours and go by the fast path', async () => {
  const before = await status();
  const four = await transfers(6001), six = await transfers(6002, 'tcp', 6);
  await begun();
  const mine = listed('--port', '6001');
  assert.ok(mine.length >= count && mine.length % count === 0, `${mine.length} entries`);
  assert.ok(mine.every(({ owner, state, packets, zone }) => owner === 'ours' &&
    state === 'ESTABLISHED' && packets[0]! > 0 && packets[1]! > 0 && (zone ?? 0) > 0));
  assert.is(listed('--port', '6002', '--proto', 'tcp').length, mine.length);
  await unharmed(four, 'IPv4');
  await unharmed(six, 'IPv6');
  const { counters, punted_by_reason } = await status();
  const left = Object.entries(punted_by_reason).filter(([reason]) => reason.startsWith('ct_'))
    .reduce((sum, [reason, n]) => sum + n - (before.punted_by_reason[reason] ?? 0), 0);
  const carried = counters.forwarded - before.counters.forwarded;
  assert.ok(left < carried / 100, `${left} left to OVS, ${carried} carried`);
});

test('groups say who may connect', async () => {
  for (const [from, to, answer] of [['a1', 'a2', 'refused'], ['a2', 'b2', 'refused'],
    ['a1', 'b1', 'silent'], ['a3', 'b1', 'refused'], ['b1', 'b2', 'silent']] as const) {
    assert.is(await lab.vm(from).connect(lab.vm(to).ip(4), 7777), answer, `${from} to ${to}`);
  }
  assert.ok(await lab.vm('a1').exchange(lab.vm('b2'), 4, 'udp', 900));
  assert.ok(await lab.vm('a1').exchange(lab.vm('b2'), 6, 'udp', 900));
  assert.ok(await lab.vm('a1').ping(lab.vm('a2').ip(4)));
});

onlyHere('kill -9 and restart keep every connection', async () => {
  const running = await transfers(6003), datagrams = await transfers(6003, 'udp');
  await begun();
  const before = listed('--port', '6003');
  const takenOver = (): number => agent().logTail(1000).split('OVS tracks').length;
  const once = takenOver();
  for (const one of agents) await one.stop('SIGKILL');
  await sleep(2000);
  for (const one of agents) one.start();
  for (const one of agents) await one.ready();
  assert.is((await status()).conntrack.mode, 'on');
  assert.is(takenOver(), once, 'nothing is taken over a second time');
  assert.is(listed('--port', '6003').length, before.length);
  const { punted_by_reason: punts } = await status();
  await unharmed(running, 'killed and restarted');
  await unharmed(datagrams, 'UDP, killed and restarted');
  const after = (await status()).punted_by_reason;
  assert.is(after['ct_midstream'] ?? 0, punts['ct_midstream'] ?? 0, 'none went to OVS');
});

test('flush ends what it is asked to', async () => {
  assert.match(agent().cli('ct', 'flush', '--proto', 'udp', '--address', '10.9.9.9'), /^0 /);
  // On a slow machine one runs out before it is asked for.
  await until('a connection that is there when it is ended', 20_000, async () => {
    assert.ok(await lab.vm('a1').exchange(lab.vm('b2'), 4, 'udp', 100));
    return /^[1-9]\d* connections ended/.test(agent().cli('ct', 'flush', '--proto', 'udp'));
  });
  assert.is(listed('--proto', 'udp').length, 0);
});

test('drain leaves new connections to OVS and ends when ours have ended', async () => {
  const owned = await transfers(6004), datagrams = await transfers(6004, 'udp');
  await begun();
  assert.throws(() => agent().cli('drain', '--timeout', '1'), (error: Error) =>
    error instanceof CommandError && /time is up; draining goes on/.test(error.output));
  if (onlyHere === test) {
    await agent().stop();
    agent().start();
    await agent().ready();
  }
  assert.is((await status()).conntrack.mode, 'drain', 'a restart changes nothing');
  const fresh = await transfers(6005), freshDatagrams = await transfers(6005, 'udp');
  await begun();
  const ours = (...args: readonly string[]): number =>
    listed('--port', '6004', '--owner', 'ours', ...args).length;
  assert.is(ours('--proto', 'tcp'), count);
  // A port that one of OVS's exchanges had some minutes ago leads to OVS again.
  const again = listed('--port', '6004', '--owner', 'foreign').length;
  assert.is(ours('--proto', 'udp') + again, count);
  assert.ok(again <= count / 20, `${again} exchanges got a port of OVS's`);
  assert.is(listed('--port', '6005').length, 0);
  await unharmed(owned, 'owned while draining');
  await unharmed(datagrams, 'UDP, owned while draining');
  assert.match(agent().cli('drain', '--timeout', `${30 * patience}`),
    /drained: OVS has all devices\n$/);
  assert.ok((await status()).ports.every((port) => port.mode === 'none'));
  await sleep(500);
  agent().cli('undrain');
  await mode('on');
  assert.ok((await status()).ports.some((port) => port.mode !== 'none'));
  await unharmed(fresh, 'OVS\'s from drain to undrain');
  await unharmed(freshDatagrams, 'UDP, OVS\'s from drain to undrain');
});

test('detached in the middle, OVS\'s transfers go on; ours were waited for', async () => {
  const running = await transfers(6006);
  agent().cli('drain', '--timeout', '1', '--force');
  assert.is((await status()).conntrack.entries, 0);
  await running.stop();
  agent().cli('undrain');
  await mode('on');
});

test('a zone that is given up takes its connections along', async () => {
  const zone = JSON.parse(lab.chassis.get('c1')!.vsctl('get', 'Bridge', 'br-int',
    'external_ids:ct-zone-a2')) as string;
  assert.ok(await lab.vm('a1').ping(lab.vm('a2').ip(4), 1));
  assert.ok(listed('--zone', zone).length > 0);
  lab.nb([['lsp-del', 'a2']]);
  await until('its end', 10_000, () =>
    new RegExp(`zone ${zone} changed hands: [1-9]`).test(agent().logTail()));
  assert.is(listed('--zone', zone).length, 0);
  assert.ok(await lab.vm('a1').ping(lab.vm('b2').ip(4), 1), 'others are not concerned');
});

test.run();
