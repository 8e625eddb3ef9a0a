/**
 * What TC must keep right whatever the devices leave to it: super-packets and checksums that are
 * yet to be completed, with every setting of `ethtool -K` on VMs and uplinks. The other end of
 * each wire does nothing by itself, so that what arrives there is what a wire would carry.
 * argv: `4` or `6`, the underlay's family; `csum` or `zero`; `all` for every combination, else
 * each setting of one side beside changing ones of the other.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startAgents, type Agent } from '../agent.js';
import { uplink } from '../chassis.js';
import { run, until } from '../exec.js';
import { Lab } from '../lab.js';
import { OffloadTraffic } from './offload_traffic.js';
import { applyTopology, twoSubnets } from '../topology.js';
import { capture, checksumsIn, type Checksums } from './tshark.js';

const encap = { family: process.argv[2] === '6' ? 6 : 4,
  csum: process.argv[3] !== 'zero' } as const;
const everything = process.argv.includes('all');
const receivers = ['a2', 'b2'] as const;

let lab: Lab;
let agents: Agent[] = [];
let traffic: OffloadTraffic;
const forwarded = async (): Promise<number> =>
  (await Promise.all(agents.map((agent) => agent.ask())))
    .reduce((sum, { counters }) => sum + counters.forwarded, 0);

test.before(async () => {
  lab = await Lab.start({ chassis: ['c1', 'c2'], datapath: 'system', encap });
  applyTopology(lab, { ...twoSubnets,
    vms: twoSubnets.vms.filter(({ port }) => ['a1', 'a2', 'b2'].includes(port)) });
  for (const name of receivers) {
    for (const family of [4, 6] as const) {
      await until(`a way to ${name} by IPv${family}`, 20_000, () =>
        lab.vm('a1').ping(lab.vm(name).ip(family), 1));
    }
  }
  traffic = await OffloadTraffic.start(lab.vm('a1'), receivers.map((name) => lab.vm(name)));
});
test.after(async () => {
  traffic?.stop();
  for (const agent of agents) await agent.stop('SIGKILL');
  lab?.close();
});

const netnsOf = (): string[] => [...[...lab.vms.values()].map(({ netns }) => netns),
  ...[...lab.chassis.values()].map(({ netns }) => netns)];

/** Wrong checksums that the stacks of all VMs and chassis have met so far. */
function checksumErrors(): number {
  return netnsOf().reduce((sum, netns) => {
    const text = run(['cat', '/proc/net/snmp', '/proc/net/snmp6'], { netns });
    const six = [...text.matchAll(/^\w+InCsumErrors\s+(\d+)/gm)].map(([, n]) => Number(n));
    const lines = text.split('\n').filter((line) => /^(Tcp|Udp|Icmp):/.test(line))
      .map((line) => line.split(' '));
    const four = lines.flatMap((names, i) => {
      const at = names.indexOf('InCsumErrors');
      return at < 0 ? [] : [Number(lines[i + 1]?.[at])];
    });
    return [...six, ...four].reduce((a, b) => a + b, sum);
  }, 0);
}

// ---- Combinations -----------------------------------------------------------------------------

type Switches = Readonly<Record<'tx' | 'tso' | 'gso' | 'gro', boolean>>;
interface Combination { readonly vm: Switches; readonly wire: Switches }
const off: Switches = { tx: false, tso: false, gso: false, gro: false };

/** All that make sense: without checksums there is no segmentation by the device. */
const settings: readonly Switches[] = [true, false].flatMap((tx) => [true, false].flatMap((gso) =>
  [true, false].flatMap((gro) => [true, false].filter((tso) => tx || !tso)
    .map((tso) => ({ tx, tso, gso, gro })))));
const combinations: readonly Combination[] = settings.flatMap((vm, i) =>
  everything ? settings.map((wire) => ({ vm, wire }))
    // 5 and 12 have no common factor: each setting of the wires comes up once as well.
    : [{ vm, wire: settings[i * 5 % settings.length]! }]);

const named = (switches: Switches): string => Object.entries(switches)
  .filter(([, value]) => value).map(([name]) => name).join('+') || 'none';

function ethtool(netns: string, devices: readonly string[], switches: Switches): void {
  const words = Object.entries(switches).map(([name, value]) => `${name} ${value ? 'on' : 'off'}`);
  run(['sh', '-c', devices.map((device) => `ethtool -K ${device} ${words.join(' ')}`).join(';')],
    { netns });
}

function apply({ vm, wire }: Combination): void {
  for (const one of lab.vms.values()) ethtool(one.netns, [one.device], vm);
  for (const chassis of lab.chassis.values()) ethtool(chassis.netns, [uplink], wire);
}

/** What does nothing by itself: the taps and the fabric. */
function makeWires(): void {
  for (const one of lab.vms.values()) ethtool(one.chassis.netns, [one.port], off);
  ethtool(lab.fabricNetns, [...lab.chassis.keys()].map((name) => lab.fabricPortOf(name)), off);
}

async function problemsWith(combination: Combination): Promise<string[]> {
  apply(combination);
  const before = checksumErrors();
  const wrong = await traffic.round();
  const errors = checksumErrors() - before;
  return [...wrong === '' ? [] : [wrong], ...errors === 0 ? [] : [`${errors} wrong checksums`]]
    .map((text) => `VM ${named(combination.vm)}, uplink ${named(combination.wire)}: ${text}`);
}

async function problems(): Promise<string[]> {
  const found: string[] = [];
  for (const combination of combinations) found.push(...await problemsWith(combination));
  return found;
}

/** What both ends of the tunnel and a VM see of a round of traffic. */
async function seen(): Promise<Checksums> {
  const dir = mkdtempSync(join(tmpdir(), 'capture-'));
  const ends = [...[...lab.chassis.values()].map(({ netns }) => ({ netns, device: uplink })),
    ...receivers.map((name) => ({ netns: lab.vm(name).netns, device: lab.vm(name).device }))];
  const captures = await Promise.all(ends.map(({ netns, device }, i) =>
    capture(netns, device, 'in', join(dir, `${i}.pcap`))));
  assert.is(await traffic.round(), '');
  const files = await Promise.all(captures.map((one) => one.stop()));
  return files.map(checksumsIn).reduce((a, b) =>
    ({ good: a.good + b.good, bad: a.bad + b.bad, absent: a.absent + b.absent,
      outerGood: a.outerGood + b.outerGood, outerAbsent: a.outerAbsent + b.outerAbsent }));
}

/** With all that devices can do, and with nothing. Without GRO, which leaves checksums unfinished
 * before a capture sees them. */
async function rightOnTheWire(): Promise<void> {
  const some = settings.filter(({ gro, tx, tso, gso }) => !gro && tx === tso && tx === gso);
  for (const [i, vm] of some.entries()) {
    apply({ vm, wire: some[some.length - 1 - i]! });
    const sums = await seen();
    console.log(`# VM ${named(vm)}: ${JSON.stringify(sums)}`);
    assert.is(sums.bad, 0);
    assert.ok(sums.good > 100, 'inner checksums were seen');
    assert.ok((encap.csum ? sums.outerGood : sums.outerAbsent) > 50, 'outer ones as configured');
    assert.is(encap.csum ? sums.outerAbsent : sums.outerGood, 0);
  }
}

// ---- Who carries it ---------------------------------------------------------------------------

test('kernel OVS alone: the harness finds nothing wrong', async () => {
  makeWires();
  assert.is(await traffic.round(), '');
});

test(`ovn-xdp on both chassis: ${combinations.length} combinations of offloads`, async () => {
  agents = await startAgents(lab);
  const before = await forwarded();
  assert.equal(await problems(), []);
  assert.ok(await forwarded() > before + combinations.length * 100, 'the fast path carried it');
});

test('tshark finds the checksums right on both ends', rightOnTheWire);

test('ovn-xdp on one chassis, kernel OVS alone on the other', async () => {
  await agents[1]!.remove();
  agents = agents.slice(0, 1);
  const before = await forwarded();
  for (const at of [0, 3, 7, settings.length - 1]) {
    assert.equal(await problemsWith({ vm: settings[at]!, wire: settings[at]! }), []);
  }
  assert.ok(await forwarded() > before + 100, 'the fast path carried its half');
  await rightOnTheWire();
});

test('a wrong checksum would have been seen', async () => {
  apply({ vm: off, wire: off });
  const before = checksumErrors();
  const from = lab.vm('a1'), to = lab.vm('b2');
  await from.run('python3', '-c', wrongUdp, from.ip(4), to.ip(4));
  await until('the error', 5_000, () => checksumErrors() > before);
});

/** argv: source, destination. Sends a UDP datagram with a wrong checksum. */
const wrongUdp = `
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
s.sendto(struct.pack('!HHHH', 4000, 5301, 12, 1) + b'abcd', (sys.argv[2], 0))
`;

test.run();
