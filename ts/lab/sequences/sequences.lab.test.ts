/**
 * Stateful ACLs of real OVS alone against OVS with ovn-xdp on both chassis, and on one of them:
 * the same sequences of frames, the same frames out. OVN_XDP_SEED repeats a run,
 * OVN_XDP_SEQUENCES sets how many, OVN_XDP_KINDS (a pattern) which.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { calm, sleep } from '../exec.js';
import { Lab } from '../lab.js';
import { Random } from '../random.js';
import { explainSequence, maxRechecked, PlainStage } from './sequence_run.js';
import { inGroups, Trial, type Verdict } from './sequence_trial.js';
import { answering, generateLasting, generateSequence, type Sequence } from './sequences.js';
import { withSecurityGroups } from '../security_groups.js';
import { shareOf } from '../shares.js';
import { applyTopology, type Topology, type TopologyVm } from '../topology.js';
import { Wire } from '../frames/wire.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const count = Number(process.env['OVN_XDP_SEQUENCES'] ?? 2000);
const kinds = new RegExp(process.env['OVN_XDP_KINDS'] ?? '.');
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
/** Changes the policy before a step of those that live through it. */
class Policy {
  private changed = false;
  constructor(private readonly lab: Lab, private readonly agents: () => readonly unknown[]) {}

  readonly at = async (step: number): Promise<void> => {
    const wanted = step >= changeAt && step < backAt;
    if (wanted === this.changed) return;
    this.changed = wanted;
    this.lab.nb(changes.map((acl) => wanted ? ['acl-add', ...acl]
      : ['acl-del', ...acl.slice(0, 4)]));
    this.lab.sync();
    await sleep((this.agents().length > 0 ? 2000 : 200) * calm);
  };
}

function trialOf(lab: Lab, wire: Wire, sequences: readonly Sequence[]): Trial {
  const policy = new Policy(lab, () => trial.agents);
  const trial = new Trial(lab, wire, new PlainStage(sequences), (indices) =>
    [...inGroups(indices.filter((index) => !lasts(index))),
      { indices: indices.filter(lasts), policy: policy.at }]
      .filter((group) => group.indices.length > 0));
  return trial;
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
      : generateSequence(vms, services, random, rejected, kinds));
    const heard = await trialOf(lab, wire, drafts).record();
    const sequences = drafts.map((draft, index) => answering(draft, (side, step) =>
      (heard.get(index) ?? []).slice(0, step).flat().some((line) =>
        line.startsWith(`${draft[side].port} `))));
    const trial = trialOf(lab, wire, sequences);
    const once = await trial.record();
    const as = [once, await trial.record(once)];
    const problems: string[] = [], verdicts: Verdict[] = [];
    for (const chassis of [['c1', 'c2'], ['c1']]) {
      const verdict = await trial.compare(chassis, as);
      console.log(`# ovn-xdp on ${chassis.join(' and ')}: ${count} sequences, `
        + `${verdict.suspects} looked at again, ${verdict.differences.length} differences; `
        + verdict.text);
      verdicts.push(verdict);
      problems.push(...verdict.differences.map((one) =>
        `${chassis.join('+')}: ${explainSequence(sequences[one.index] as Sequence, one)}\n`
        + `trace: ${verdict.traces.get(one.index) ?? ''}`));
    }
    const delivered = [...once.values()].filter((steps) => steps.flat().length > 0).length;
    assert.ok(delivered > count / 2, `${delivered} sequences delivered anything`);
    assert.is(wire.drops, 0, 'the harness lost frames');
    assert.is(problems.slice(0, 6).join('\n'), '', `seed ${seed}: ${problems.length}`);
    for (const { total, suspects } of verdicts) {
      const share = shareOf(total) ?? 0;
      assert.ok(suspects <= maxRechecked, `${suspects} suspects`);
      assert.ok(share >= 0.9, `only ${share} of packets carried by ovn-xdp`);
    }
  } finally {
    wire?.close();
    lab.close();
  }
});

test.run();
