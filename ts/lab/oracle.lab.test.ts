/**
 * Compiled flows against ovn-trace: generated packets through the walk of ts/compile/reference.ts
 * and through ovn-trace, over what the installed northd makes of each arena. A difference is
 * shrunk to the simplest packet that still shows it and printed with both traces.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { flowWord as fw } from '../abi/generated.js';
import { Compiler } from '../compile/compiler.js';
import type { Desired } from '../compile/model.js';
import { walk, type Walked } from '../compile/reference.js';
import { localChassis, packet, readDatabase } from '../compile/testing.js';
import { View } from '../southbound/view.js';
import { run } from './exec.js';
import { Lab } from './lab.js';
import { TraceOracle } from './oracle.js';
import { Random } from './random.js';
import { arenas } from './frames/scenes.js';
import { routerIp, routerMac, topologyCommands, vmIp, vmMac, type Topology, type TopologyVm }
  from './topology.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Date.now() % 2 ** 31);
const perArena = process.env['OVN_XDP_FULL'] === '1' ? 10_000 : 420;
console.log(`seed ${seed} (OVN_XDP_SEED=${seed} repeats it)`);

/** Fields of a packet by symbol; their order is that of the microflow. */
type Fields = ReadonlyMap<string, string>;
interface Sent { readonly from: TopologyVm; readonly fields: Fields }

/** What ovn-trace leaves out or guesses (ovn-trace(8)); a packet of which one holds is counted
 * by its name and not compared. */
type Deviates = (sent: Sent, ours: Walked, theirs: string) => boolean;
const deviations: Readonly<Record<string, Deviates>> = {
  // It runs what ovn-controller does itself as if nothing could go wrong.
  'left to OVS': (_sent, { verdict }) => verdict.kind === 'punt',
  // Port security of the ingress checks only IP, ARP and ND there.
  'other ethertype': ({ fields }) => !/^0x(800|86dd|806)$/.test(fields.get('eth.type') ?? ''),
  // 23.03's dies of some neighbour solicitations.
  'crash of ovn-trace': (_sent, _ours, theirs) => theirs === 'crashed',
  // It prints the answer's actions, without what it answers with.
  'answer of ovn-controller': (_sent, _ours, theirs) =>
    /(icmp[46](_error)?|tcp_reset|reject|nd_na(_router)?) \{/.test(theirs),
};

const numbers = (random: Random): number =>
  random.pick([0, 1, 22, 53, 80, 443, 1023, 1024, 5000, 8080, 32768, 32769, 65535,
    random.below(65536)]);

function layer4(random: Random, isV6: boolean): [string, string][] {
  const ports = (proto: string): [string, string][] =>
    [[`${proto}.src`, `${numbers(random)}`], [`${proto}.dst`, `${numbers(random)}`]];
  const icmp = isV6 ? 'icmp6' : 'icmp4';
  return random.weighted<() => [string, string][]>([
    [4, () => [['ip.proto', '6'], ...ports('tcp'),
      ['tcp.flags', `${random.pick([2, 16, 18, 0x29, 4, 0])}`]]],
    [4, () => [['ip.proto', '17'], ...ports('udp')]],
    [2, () => [['ip.proto', isV6 ? '58' : '1'], [`${icmp}.type`, isV6 ? '128' : '8'],
      [`${icmp}.code`, '0']]],
    [1, () => [['ip.proto', `${random.pick([47, 50, 132, 253])}`]]],
  ])();
}

function ipPacket(topology: Topology, random: Random, from: TopologyVm): [string, string][] {
  const family = random.pick([4, 6] as const), own = from.switch;
  const to = random.pick(topology.vms);
  const src = random.chance(0.9) ? vmIp(from, family) : vmIp(random.pick(topology.vms), family);
  const dst = random.weighted<string>([[8, vmIp(to, family)],
    [2, routerIp(random.chance(0.6) ? own : 1 + random.below(topology.switches), family)],
    [1, family === 4 ? '198.51.100.7' : 'fd77::1']]);
  const direct = to.switch === own ? vmMac(to) : routerMac(own);
  return [
    ['eth.src', random.chance(0.93) ? vmMac(from) : vmMac(random.pick(topology.vms))],
    ['eth.dst', random.chance(0.85) ? direct : random.pick([routerMac(own), vmMac(to),
      '02:00:00:00:99:99'])],
    ['eth.type', family === 4 ? '0x800' : '0x86dd'],
    [`ip${family}.src`, src], [`ip${family}.dst`, dst],
    ['ip.ttl', `${random.pick([64, 255, 99, 100, 3, 2, 1])}`], ...layer4(random, family === 6)];
}

function arpPacket(topology: Topology, random: Random, from: TopologyVm): [string, string][] {
  const target = random.chance(0.5) ? routerIp(from.switch, 4)
    : vmIp(random.pick(topology.vms), 4);
  return [['eth.src', vmMac(from)], ['eth.dst', 'ff:ff:ff:ff:ff:ff'], ['eth.type', '0x806'],
    ['arp.op', `${random.pick([1, 1, 1, 2])}`], ['arp.sha', vmMac(from)],
    ['arp.spa', vmIp(from, 4)], ['arp.tha', '00:00:00:00:00:00'], ['arp.tpa', target]];
}

function ndPacket(topology: Topology, random: Random, from: TopologyVm): [string, string][] {
  const target = random.chance(0.5) ? routerIp(from.switch, 6)
    : vmIp(random.pick(topology.vms), 6);
  return [['eth.src', vmMac(from)], ['eth.dst', '33:33:ff:00:00:01'], ['eth.type', '0x86dd'],
    ['ip6.src', vmIp(from, 6)], ['ip6.dst', 'ff02::1:ff00:1'], ['ip.ttl', '255'],
    ['ip.proto', '58'], ['icmp6.type', '135'], ['icmp6.code', '0'], ['nd.target', target],
    ['nd.sll', random.chance(0.9) ? vmMac(from) : '02:00:00:00:99:98']];
}

function generate(topology: Topology, random: Random): Sent {
  const from = random.pick(topology.vms);
  const make = random.weighted([[18, ipPacket], [1, arpPacket], [1, ndPacket]] as const);
  return { from, fields: new Map(make(topology, random, from)) };
}

const microflow = ({ from, fields }: Sent): string => [`inport == "${from.port}"`,
  ...[...fields].map(([name, value]) => `${name} == ${value}`)].join(' && ');

/** An address or number as an integer. */
function integer(text: string): bigint {
  if (/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(text)) return BigInt(`0x${text.replaceAll(':', '')}`);
  if (text.includes(':')) return ip6Integer(text);
  if (!text.includes('.')) return BigInt(text);
  return text.split('.').reduce((sum, part) => sum << 8n | BigInt(part), 0n);
}
function ip6Integer(text: string): bigint {
  const [head = '', tail] = text.split('::');
  const groups = (part: string | undefined): string[] => part ? part.split(':') : [];
  const left = groups(head), right = groups(tail);
  const middle = new Array<string>(8 - left.length - right.length).fill('0');
  return [...left, ...tail === undefined ? [] : middle, ...right]
    .reduce((sum, group) => sum << 16n | BigInt(`0x${group}`), 0n);
}

class Arena {
  constructor(readonly desired: Desired, readonly oracle: TraceOracle,
    readonly topology: Topology) {}

  ours({ from, fields }: Sent): Walked {
    const port = [...this.desired.ports.values()].find((p) => p.logical_port === from.port)!;
    const words = packet(Object.fromEntries([...fields].map(([name, value]) =>
      [name, integer(value)])));
    words[fw.FW_DATAPATH] = port.datapath;
    words[fw.FW_INPORT] = port.port;
    words[fw.FW_PKT_LEN] = 100;
    return walk(this.desired, words);
  }

  theirs(sent: Sent): string {
    return this.oracle.minimal(`s${sent.from.switch}`, microflow(sent));
  }

  summary(sent: Sent): string {
    return this.oracle.summary(`s${sent.from.switch}`, microflow(sent));
  }
}

/** Where the packet ends and what it looks like there, as far as a route changes it. */
function ourOutcome({ verdict, words }: Walked): string {
  if (verdict.kind !== 'output') return 'nowhere';
  const mac = (at: number): string =>
    (BigInt(words[at]!) << 32n | BigInt(words[at + 1]!)).toString(16);
  return `${verdict.port.logical_port} ${mac(fw.FW_ETH_SRC)} ${mac(fw.FW_ETH_DST)} `
    + `${words[fw.FW_IP]! >>> 16 & 255}`;
}
function theirOutcome({ fields }: Sent, text: string): string {
  const outputs = [...text.matchAll(/^\s*output\("([^"]*)"\)/gm)].map((found) => found[1]);
  if (outputs.length !== 1) return outputs.length === 0 ? 'nowhere' : outputs.join();
  const assigned = (field: string): string =>
    [...text.matchAll(new RegExp(`^\\s*${field} = ([^;]*);`, 'gm'))].at(-1)?.[1]
      ?? fields.get(field) ?? '0';
  const hops = [...text.matchAll(/^\s*ip\.ttl--;/gm)].length;
  const mac = (field: string): string => integer(assigned(field)).toString(16);
  return `${outputs[0]} ${mac('eth.src')} ${mac('eth.dst')} `
    + `${Number(assigned('ip.ttl')) - hops}`;
}

interface Compared { readonly deviation?: string; readonly ours: string; readonly theirs: string }
function compare(arena: Arena, sent: Sent): Compared {
  const walked = arena.ours(sent);
  // What is left to OVS needs no oracle.
  if (walked.verdict.kind === 'punt') return { deviation: 'left to OVS', ours: '', theirs: '' };
  const text = arena.theirs(sent);
  const ours = ourOutcome(walked), theirs = theirOutcome(sent, text);
  // The minimal text leaves an answer out that gets nowhere there.
  const asked = ours === theirs || text === 'crashed' ? text : `${text}\n${arena.summary(sent)}`;
  const deviation = Object.keys(deviations).find((name) => deviations[name]!(sent, walked, asked));
  return { ...deviation === undefined ? {} : { deviation }, ours, theirs };
}
const differs = ({ deviation, ours, theirs }: Compared): boolean =>
  deviation === undefined && ours !== theirs;

/** Values that say less than others, in the order in which they are tried. */
const plain: Readonly<Record<string, string>> = { 'ip.ttl': '64', 'tcp.src': '0', 'tcp.dst': '0',
  'udp.src': '0', 'udp.dst': '0', 'tcp.flags': '0', 'ip.proto': '253' };

function shrink(arena: Arena, sent: Sent): Sent {
  const port = /^(tcp|udp|icmp[46])\./;
  for (const [name, value] of Object.entries(plain)) {
    if (!sent.fields.has(name) || sent.fields.get(name) === value) continue;
    const fields = new Map([...sent.fields].filter(([field]) =>
      name !== 'ip.proto' || !port.test(field))).set(name, value);
    if (differs(compare(arena, { ...sent, fields }))) return shrink(arena, { ...sent, fields });
  }
  return sent;
}

function describe(arena: Arena, sent: Sent): string {
  const small = shrink(arena, sent);
  const { verdict, steps } = arena.ours(small);
  return [`${arena.topology.name}: ${microflow(small)}`, 'ours:',
    ...steps.map(({ datapath, table, rule }) =>
      `  ${datapath}/${table} ${rule ? `${rule.priority} ${rule.flow}` : 'no match'}`),
    `  ${JSON.stringify(verdict)}`, 'ovn-trace:', arena.summary(small)].join('\n');
}

/** All VMs are on one chassis, which exists in the database alone. */
function prepare(lab: Lab, topology: Topology): Arena {
  lab.sb('chassis-add', 'c', 'geneve', '192.0.2.1');
  lab.nb(topologyCommands(topology), '--wait=sb');
  for (const { port } of topology.vms) lab.sb('lsp-bind', port, 'c');
  lab.nb([['sync']], '--wait=sb');
  const file = join(lab.dir, 'sb.copy.db');
  writeFileSync(file, run(['ovsdb-client', 'backup', lab.southbound, 'OVN_Southbound']));
  const rows = readDatabase(file);
  const desired = new Compiler().compile(new View(rows), localChassis(rows, 'c'));
  return new Arena(desired, new TraceOracle(lab), topology);
}

const counts = new Map<string, number>();
const count = (what: string): void => { counts.set(what, (counts.get(what) ?? 0) + 1); };
let crashes = 0;

for (const { topology } of arenas) {
  test(`the walk ends where ovn-trace says: ${topology.name}`, async () => {
    const lab = await Lab.start({ chassis: [] });
    try {
      const arena = prepare(lab, topology);
      const random = new Random(seed);
      const differences: string[] = [];
      for (let i = 0; i < perArena; i++) {
        const sent = generate(topology, random);
        const compared = compare(arena, sent);
        count(compared.deviation ?? (compared.ours === 'nowhere' ? 'dropped' : 'delivered'));
        if (differs(compared) && differences.push(describe(arena, sent)) >= 3) break;
      }
      crashes += arena.oracle.restarts;
      arena.oracle.exit();
      assert.is(differences.join('\n\n'), '');
    } finally {
      lab.close();
    }
  });
}

test('most packets are compared', () => {
  console.log([...counts].map(([what, n]) => `${n} ${what}`).join(', ')
    + `, ${crashes} crashes of ovn-trace`);
  const all = [...counts.values()].reduce((a, b) => a + b, 0);
  const compared = (counts.get('delivered') ?? 0) + (counts.get('dropped') ?? 0);
  assert.ok(all >= 2000, `${all} packets`);
  assert.ok(compared > all / 2, `${compared} of ${all}`);
  assert.ok((counts.get('delivered') ?? 0) > all / 8);
});

test.run();
