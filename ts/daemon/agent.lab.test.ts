/** The agent beside a real OVN: what it does when things come, change, die and go. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startAgents, type Agent } from '../lab/agent.js';
import { run, until } from '../lab/exec.js';
import { Lab } from '../lab/lab.js';
import { applyTopology, twoSubnets } from '../lab/topology.js';
import type { Status } from './status.js';

let lab: Lab;
let agents: Agent[] = [];
const agent = (): Agent => agents[0]!;
const full = (one = agent()): Status => JSON.parse(one.cli('status', '-o', 'json')) as Status;
const forwarded = (): number => full().counters.forwarded;
const ping = (name: string): Promise<boolean> => lab.vm('a1').ping(lab.vm(name).ip(4), 3);
const control = (): string => agent().runDir + '/ovn-xdp.' + String(agent().pid) + '.ctl';
const appctl = (...args: readonly string[]): string =>
  run(['ovn-appctl', '-t', control(), ...args]);

test.before(async () => {
  lab = await Lab.start({ chassis: ['c1', 'c2'] });
  applyTopology(lab, twoSubnets);
  agents = await startAgents(lab);
});
test.after(async () => {
  for (const one of agents) await one.stop('SIGKILL');
  lab?.close();
});

test('traffic goes by the fast path, on one chassis and between two', async () => {
  const before = forwarded();
  for (const name of ['a2', 'a3', 'b1', 'b2']) assert.ok(await ping(name), name);
  assert.ok(forwarded() >= before + 24, `${forwarded() - before} forwarded`);
  assert.is(JSON.parse(agent().cli('ports', '-o', 'json')).length, 4);
});

test('where nothing happens, it asks nothing: the kernel watches over the neighbour', async () => {
  const { netns } = agent().chassis;
  await until('a neighbour that the kernel manages', 10_000, () =>
    run(['ip', 'neigh', 'show', 'dev', 'br-phys'], { netns }).includes(' managed '));
  // Each of its own looks that changed anything would be an event, and lead to the next look.
  const { stdout } = spawnSync('nsenter', [`--net=/run/netns/${netns}`, 'timeout', '3', 'ip',
    'monitor', 'neigh'], { encoding: 'utf8' });
  assert.ok(stdout.split('\n').length < 10, stdout);
});

test('ovn-appctl talks with the agent', () => {
  assert.match(appctl('version'), /^ovn-xdp \d/);
  assert.match(appctl('list-commands'), /sb-cluster-state-reset/);
  assert.is(appctl('connection-status'), 'connected\n');
  assert.ok((JSON.parse(appctl('status')) as Status).ready);
});

test('a changed ACL is in force at once, and the drop is accounted to its flow', async () => {
  // The egress pipeline of b2 is on the other chassis: the first has none of the ACL.
  const dropping = agents[1]!;
  const { generation } = full(dropping);
  lab.nb([['acl-add', 's2', 'to-lport', '1001', 'outport == "b2" && ip4 && icmp4', 'drop']]);
  lab.settle();
  await until('the next generation', 10_000, () => full(dropping).generation > generation);
  assert.not(await lab.vm('a1').ping(lab.vm('b2').ip(4), 2));
  const { flows } = JSON.parse(dropping.cli('drops', '-o', 'json')) as
    { flows: { match: string; packets: number }[] };
  // Since 23.06 an ACL's verdict is carried out by a stage of its own.
  const drops = flows.find(({ match }) => match.includes('icmp4') || match === 'reg8[17] == 1');
  assert.ok(drops !== undefined && drops.packets >= 2, JSON.stringify(flows));
  lab.nb([['acl-del', 's2']]);
  lab.settle();
  await until('b2 answers again', 10_000, () => ping('b2'));
});

test('killed, the tables go on; a new agent takes them over with their counters', async () => {
  await agent().stop('SIGKILL');
  assert.ok(await ping('a3'), 'forwarding without the agent');
  agent().start();
  const answers: Promise<boolean> = lab.vm('a1').ping(lab.vm('b2').ip(4), 20);
  const before = (await agent().ready()).counters.forwarded;
  assert.ok(await answers, 'no packet is lost while the agent starts');
  assert.ok(before > 0, 'counters survive');
  assert.match(agent().logTail(100), /took over the tables/);
  assert.match(agent().logTail(100), /took over the link/);
});

test('trace names the stages and flows', () => {
  const text = agent().cli('trace', 'inport == "a1" && eth.src == 02:00:00:00:01:11 && '
    + 'eth.dst == 00:00:00:00:ff:01 && ip4.src == 10.0.1.11 && ip4.dst == 10.0.2.12 && '
    + 'ip.ttl == 64 && udp.dst == 80');
  assert.match(text, /lr_in_ip_routing /);
  assert.match(text, /tunnel to eth0\n$/);
  const spoofed = 'ffffffffffff' + '0200000001aa' + '08060001080006040001' + '0200000001aa' +
    '0a00010b' + '000000000000' + '0a00010c';
  assert.match(agent().cli('trace', 'a1', spoofed),
    /drop dropped by a logical flow by [0-9a-f-]{36}\n$/);
});

test('a port that goes is let go, and taken again when it comes back', async () => {
  const names = (): string => full().ports.map(({ name }) => name).sort().join();
  lab.chassis.get('c1')!.vsctl('del-port', 'br-int', 'a2');
  await until('the port is gone', 10_000, () => names() === 'a1,b1,eth0');
  assert.equal(readdirSync(`${agent().pinDir}/links`).sort(), ['a1', 'b1', 'eth0']);
  lab.chassis.get('c1')!.addVif('a2', 'a2');
  lab.settle();
  await until('the port is back', 10_000, () => names() === 'a1,a2,b1,eth0');
  await until('a2 answers', 10_000, () => ping('a2'));
});

test('promtool finds nothing in what is scraped', async () => {
  const text = await agent().metrics();
  assert.match(text, /^ovn_xdp_sb_connected 1$/m);
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'],
    { input: text, encoding: 'utf8' });
  assert.equal([status, stdout, stderr], [0, '', '']);
});

test('SIGTERM leaves everything, detach leaves nothing, and OVS goes on', async () => {
  await agent().stop();
  assert.ok(await ping('a2'));
  assert.match(agent().cli('punts'), /REASON/);
  assert.match(agent().cli('flows'), /DATAPATH/);
  assert.is(agent().cli('detach'), 'detached from 4 devices\n');
  assert.equal(readdirSync(agent().pinDir), []);
  assert.ok(await ping('a2'));
  assert.ok(await ping('b2'));
  agent().start();
  await agent().ready();
  appctl('exit', '--cleanup');
  await until('everything is removed', 10_000, () => readdirSync(agent().pinDir).length === 0);
  assert.ok(await ping('b2'));
});

test.run();
