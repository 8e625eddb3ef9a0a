/**
 * Stateful ACLs of real OVS alone against OVS with ovn-xdp on both chassis, and on one of them:
 * the same sequences of frames, the same frames out. OVN_XDP_SEED repeats a run,
 * OVN_XDP_SEQUENCES sets how many.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Agent } from './agent.js';
import { sleep } from './exec.js';
import { Lab } from './lab.js';
import { hex } from './packet.js';
import { Random } from './random.js';
import { differencesOf, explainSequence, firstDifference, maxRechecked, SequenceRun, suspectsOf,
  tries, type Group, type Recording } from './sequence_run.js';
import { answering, framesOf, generateLasting, generateSequence, type Sequence }
  from './sequences.js';
import { withSecurityGroups } from './security_groups.js';
import { applyTopology, type Topology, type TopologyVm } from './topology.js';
import { Wire } from './wire.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const count = Number(process.env['OVN_XDP_SEQUENCES'] ?? 2000);
console.log(`seed ${seed}`);

const vm = (port: string, sw: number, host: number, chassis: string): TopologyVm =>
  ({ port, switch: sw, host, chassis, security: 'addresses', raw: true });
const vms = [vm('a1', 1, 11, 'c1'), vm('a2', 1, 12, 'c1'), vm('a3', 1, 13, 'c2'),
  vm('b1', 2, 11, 'c1'), vm('b2', 2, 12, 'c2')];

/** 80: open to all; 53: in one group; 113: rejected; 5000: stateless; 7001: policy changes. */
const services = [...Array<number>(24).fill(80), 53, 22, 113, 5000, 7001], rejected = [113];
const grouped = withSecurityGroups({ name: 'groups', switches: 2, routed: true, vms }, {
  web: { ports: ['a1', 'a2', 'b2'], more: [
    { direction: 'to-lport', match: 'tcp.dst == {80, 7001}' },
    { direction: 'to-lport', match: 'udp.dst == {80, 7001}' },
    { direction: 'to-lport', match: 'icmp4' }] },
  db: { ports: ['a3', 'b1'], more: [
    { direction: 'to-lport', match: 'tcp.dst == 80' },
    { direction: 'to-lport', match: 'udp.dst == 53' },
    { direction: 'to-lport', match: 'icmp6' }] },
});
const topology: Topology = { ...grouped, acls: [...grouped.acls ?? [],
  { on: 'neutron_pg_drop', direction: 'to-lport', priority: 1005, action: 'reject',
    match: 'outport == @neutron_pg_drop && (tcp.dst == 113 || udp.dst == 113)' },
  ...(['from-lport', 'to-lport'] as const).map((direction) => ({ on: 'db', direction,
    priority: 1004, action: 'allow-stateless', match: `${direction === 'to-lport' ? 'outport'
      : 'inport'} == @db && (udp.dst == 5000 || udp.src == 5000)` } as const))] };

const lastingServices = [80, 22, 7001, 7001, 5000];

/** What changes in the middle: web's 7001 is closed, db's 22 opened; and back. */
const changes = [
  ['web', 'to-lport', '1010', 'outport == @web && (tcp.dst == 7001 || udp.dst == 7001)', 'drop'],
  ['db', 'to-lport', '1010', 'outport == @db && (tcp.dst == 22 || udp.dst == 22)',
    'allow-related'],
];
const changeAt = 5, backAt = 9;

/** Every twentieth sequence lives through changes of policy. */
const lasts = (index: number): boolean => index % 20 === 0;
const groupSize = 96;
const maxTraced = 6;

class Runs {
  agents: Agent[] = [];
  readonly run: SequenceRun;
  private round = 1;

  constructor(readonly lab: Lab, wire: Wire, readonly sequences: readonly Sequence[]) {
    this.run = new SequenceRun(wire, lab, sequences);
  }

  groups(): Group[] {
    const all = this.sequences.map((_, index) => index);
    const steady = all.filter((index) => !lasts(index));
    const cut = Array.from({ length: Math.ceil(steady.length / groupSize) }, (_, i) =>
      ({ indices: steady.slice(i * groupSize, (i + 1) * groupSize) }));
    return [...cut, { indices: all.filter(lasts), policy: this.policy }];
  }

  readonly policy = async (step: number): Promise<void> => {
    if (step !== changeAt && step !== backAt) return;
    this.lab.nb(changes.map((acl) => step === changeAt ? ['acl-add', ...acl]
      : ['acl-del', ...acl.slice(0, 4)]));
    this.lab.sync();
    await sleep(this.agents.length > 0 ? 2000 : 200);
  };

  async attach(chassis: readonly string[]): Promise<void> {
    this.run.flush();
    this.agents = chassis.map((name) => new Agent(this.lab.id, this.lab.chassis.get(name)!));
    for (const agent of this.agents) agent.start();
    for (const agent of this.agents) await agent.ready();
    // Connection tracking begins when OVS's connections are known.
    for (const agent of this.agents) {
      for (let i = 0; i < 100 && !/"mode": *"on"/.test(agent.cli('ct', 'stats', '-o', 'json'));
        i++) await sleep(200);
    }
  }

  async detach(): Promise<void> {
    for (const agent of this.agents) await agent.remove();
    this.agents = [];
  }

  /** Packets by what became of them: carried by ovn-xdp, or left to OVS, with reasons. */
  carried(): { carried: number; left: number; reasons: string } {
    const all = this.agents.map((agent) => agent.status());
    const sum = (what: 'forwarded' | 'dropped' | 'punted'): number =>
      all.reduce((n, one) => n + (one?.counters[what] ?? 0), 0);
    return { carried: sum('forwarded') + sum('dropped'), left: sum('punted'),
      reasons: all.map((one) => JSON.stringify(one?.punted_by_reason)).join(' ') };
  }

  takeRounds(): number {
    const first = this.round;
    this.round += tries;
    return first;
  }

  again(indices: readonly number[], round: number, expected?: readonly Recording[]):
  Promise<Recording[]> {
    const policy = indices.filter(lasts), steady = indices.filter((index) => !lasts(index));
    return this.run.again([{ indices: steady }, { indices: policy, policy: this.policy }]
      .filter((group) => group.indices.length > 0), round, expected);
  }

  /** A packet as the loaded programs see it, when all before it were sent. */
  async trace(index: number, step = 0): Promise<string> {
    const round = this.takeRounds();
    await this.run.record([{ indices: [index], until: step,
      ...lasts(index) ? { policy: this.policy } : {} }], round);
    const last = framesOf(this.sequences[index]!, this.run.portOf(index, round))[step];
    const port = last !== undefined && 'vm' in last.at ? last.at.vm : '';
    const agent = this.agents.find(({ chassis }) => chassis === this.lab.vms.get(port)?.chassis);
    if (lasts(index) && step >= changeAt && step < backAt) await this.policy(backAt);
    if (agent === undefined || last === undefined) return '';
    try {
      return agent.cli('trace', port, hex(last.frame));
    } catch (problem) {
      return (problem as Error).message;
    }
  }
}

interface Compared { readonly suspects: readonly number[]; readonly bs: readonly Recording[];
  readonly round: number; readonly traces: ReadonlyMap<number, string>;
  readonly carried: ReturnType<Runs['carried']> }

/** With agents on these chassis: what differs from `as` at first, and what it is alone. */
async function withAgents(runs: Runs, chassis: readonly string[], as: readonly Recording[]):
Promise<Compared> {
  await runs.attach(chassis);
  const b = await runs.run.record(runs.groups(), 0, ...as);
  const carried = runs.carried();
  const suspects = suspectsOf(as, b);
  const round = runs.takeRounds();
  const bs = await runs.again(suspects.slice(0, maxRechecked), round);
  const traces = new Map<number, string>();
  for (const index of suspects.slice(0, maxTraced)) {
    traces.set(index, await runs.trace(index, firstDifference(as[0]?.get(index), b.get(index))));
  }
  await runs.detach();
  return { suspects, bs, round, carried, traces };
}

test('sequences come out alike with and without ovn-xdp', async () => {
  const lab = await Lab.start({ chassis: ['c1', 'c2'] });
  let wire: Wire | undefined;
  try {
    applyTopology(lab, topology);
    wire = new Wire(lab);
    const random = new Random(seed);
    const drafts = Array.from({ length: count }, (_, index) => lasts(index)
      ? generateLasting(vms, lastingServices, random)
      : generateSequence(vms, services, random, rejected));
    const draftRuns = new Runs(lab, wire, drafts);
    const heard = await draftRuns.run.record(draftRuns.groups(), 0);
    const sequences = drafts.map((draft, index) => answering(draft, (side, step) =>
      (heard.get(index) ?? []).slice(0, step).flat().some((line) =>
        line.startsWith(`${draft[side].port} `))));
    const runs = new Runs(lab, wire, sequences);
    const groups = runs.groups();
    const once = await runs.run.record(groups, 0);
    const as = [once, await runs.run.record(groups, 0, once)];
    const differences: string[] = [], shares: [number, number][] = [];
    for (const chassis of [['c1', 'c2'], ['c1']]) {
      const { suspects, bs, round, carried, traces } = await withAgents(runs, chassis, as);
      const rechecked = suspects.slice(0, maxRechecked);
      const found = differencesOf(await runs.again(rechecked, round, bs), bs, rechecked);
      const share = carried.carried / (carried.carried + carried.left);
      console.log(`# ovn-xdp on ${chassis.join(' and ')}: ${count} sequences, `
        + `${suspects.length} looked at again, ${found.length} differences; `
        + `${carried.carried} packets carried (${(share * 100).toFixed(1)} %), left to OVS: `
        + carried.reasons);
      shares.push([share, suspects.length]);
      differences.push(...found.map((one) =>
        `${chassis.join('+')}: ${explainSequence(sequences[one.index] as Sequence, one)}\n`
        + `trace: ${traces.get(one.index) ?? ''}`));
    }
    const delivered = [...once.values()].filter((steps) => steps.flat().length > 0).length;
    assert.ok(delivered > count / 2, `${delivered} sequences delivered anything`);
    assert.is(wire.drops, 0, 'the harness lost frames');
    assert.is(differences.slice(0, 6).join('\n'), '', `seed ${seed}: ${differences.length}`);
    for (const [share, suspects] of shares) {
      assert.ok(suspects <= maxRechecked, `${suspects} suspects`);
      assert.ok(share >= 0.9, `only ${share} of packets carried by ovn-xdp`);
    }
  } finally {
    wire?.close();
    lab.close();
  }
});

test.run();
