/**
 * Translated connections of real OVS alone against OVS with ovn-xdp on every chassis, and on
 * one: generated clouds (gateway ports and gateway routers, floating addresses of every kind,
 * port ranges, balancers, VLANs, IPv6), generated sequences, the same frames out but for the
 * port that SNAT chose and the backend of a balancer. OVN_XDP_SEED repeats a run,
 * OVN_XDP_SEQUENCES sets how many (2,000 for a whole run), each lab has 160 at most;
 * OVN_XDP_KINDS (a pattern) which;
 * OVN_XDP_CHASSIS names the chassis with ovn-xdp ("c1,c2,g1 g1" is two comparisons).
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { patience, sleep, until } from '../exec.js';
import { arp, ethernet, ETH_TYPE, ipPacket, nd, PROTO, typeOf } from '../frames/frames.js';
import { Lab } from '../lab.js';
import { generateNatCloud, natChassis, onLink } from './nat_clouds.js';
import { NatStage, type NatSequence } from './nat_player.js';
import { explainNat, generateNatSequences, shorter, violations } from './nat_sequences.js';
import { NatWorld, outDevice, outsideMac } from './nat_world.js';
import { addressIn, applyCloud, familyOf } from '../neutron.js';
import { physicalNetwork } from '../neutron_rows.js';
import { Random } from '../random.js';
import { maxRechecked, type Recording } from './sequence_run.js';
import { none, Trial } from './sequence_trial.js';
import { addTallies, shareOf, type Tally } from '../shares.js';
import { Wire } from '../frames/wire.js';

/** The ordinary run repeats one seed: its cloud has no balancer. */
const seed = Number(process.env['OVN_XDP_SEED'] ?? 27);
const count = Number(process.env['OVN_XDP_SEQUENCES'] ?? 120);
/** Of unicast packets on the chassis with ovn-xdp, in all clouds, the least share that it must
 * carry: of one cloud much may be OVS's, as what waits for the address of a neighbour. */
const leastShare = 0.9;
const kinds = new RegExp(process.env['OVN_XDP_KINDS'] ?? '.');
const perLab = 160;
const places = (process.env['OVN_XDP_CHASSIS'] ?? `${natChassis.join()} g1`).split(' ')
  .map((names) => names.split(',').filter((name) => name !== ''));
/** Differences that are shown as short as they can be made. */
const maxShrunk = 2;
console.log(`seed ${seed}`);

/** A neighbour outside tells a router its address: an ARP reply, or an advertisement. */
function introduction(world: NatWorld, router: string, ip: string, to: string): Uint8Array {
  const gateway = world.cloud.router(router).gateway?.network ?? '';
  const dst = world.cloud.routerMac(router, gateway);
  const frame = { dst, src: outsideMac, vlans: [] };
  if (familyOf(ip) === 4) {
    return ethernet({ ...frame, type: ETH_TYPE.arp },
      arp({ op: 2, sha: outsideMac, spa: ip, tha: dst, tpa: to }));
  }
  return ethernet({ ...frame, type: typeOf(ip) }, ipPacket({ src: ip, dst: to,
    proto: PROTO.icmp6, ttl: 255 }, nd({ src: ip, dst: to },
    { type: 136, target: ip, flags: 0x60000000, lla: outsideMac })));
}

/** Every router learns who is outside, as it would when first asked. */
async function introduce(lab: Lab, wire: Wire, world: NatWorld): Promise<void> {
  const told = world.cloud.spec.routers.flatMap(({ name, gateway }) =>
    (gateway?.addresses ?? []).flatMap((own) => [1, onLink].map((host) => {
      const { subnets, provider } = world.cloud.network(gateway?.network ?? '');
      const cidr = subnets.find((one) => familyOf(one) === familyOf(own)) ?? '';
      return { ip: addressIn(cidr, host), frame: world.onWire(
        introduction(world, name, addressIn(cidr, host), own), provider?.vlan) };
    })));
  await until('the routers to know who is outside', 20_000, async () => {
    wire.send(told.map(({ frame }) => ({ kind: 'introduction', at: { vm: outDevice }, frame })));
    await wire.collect(200);
    return lab.sb('--bare', '--columns=ip', 'list', 'MAC_Binding').split('\n')
      .filter((ip) => told.some((one) => one.ip === ip)).length >= told.length;
  });
  lab.sync();
}

interface Stand { readonly lab: Lab; readonly wire: Wire; readonly world: NatWorld }

/** The shortest sequence found that shows a difference too, explained. */
async function shrink({ lab, wire, world }: Stand, chassis: readonly string[],
  sequence: NatSequence, step: number): Promise<string | undefined> {
  const stage = new NatStage(world, shorter(sequence, step));
  const trial = new Trial(lab, wire, stage);
  const { differences, traces } = await trial.compare(chassis, [await trial.record()]);
  const [best] = [...differences].sort((a, b) => a.index - b.index);
  return best === undefined ? undefined : `${explainNat(stage.sequences[best.index]!, best)}\n`
    + `trace: ${traces.get(best.index) ?? ''}`;
}

/** Packets that userspace OVS gave up because they were translated too often on one chassis. */
const givenUp = (lab: Lab): number => [...lab.chassis.values()].reduce((sum, chassis) =>
  sum + Number(/^datapath_drop_recirc_error .* total: (\d+)$/m
    .exec(chassis.appctl('ovs-vswitchd', 'coverage/show'))?.[1] ?? 0), 0);

/** Whether OVS alone does so with packets of this sequence: its outcome says nothing then. */
async function isGivenUp({ lab, wire, world }: Stand, sequence: NatSequence): Promise<boolean> {
  const before = givenUp(lab);
  await new Trial(lab, wire, new NatStage(world, [{ ...sequence, slot: 0 }])).record();
  // A thread of OVS hands in what it has counted about once a second.
  await sleep(2500 * patience);
  return givenUp(lab) > before;
}

const deliveredOf = (recording: Recording): number =>
  [...recording.values()].filter((steps) => steps.flat().length > 0).length;

/** One generated cloud; what is wrong, as text. */
async function compareIn(random: Random, howMany: number, totals: Map<string, Tally>):
  Promise<string[]> {
  const ground = generateNatCloud(random), world = new NatWorld(ground);
  console.log(ground.title.replace(/^/gm, '# '));
  const lab = await Lab.start({ chassis: natChassis });
  let wire: Wire | undefined;
  try {
    lab.addProvider(physicalNetwork, natChassis).addRaw(outDevice);
    applyCloud(lab, ground.cloud);
    wire = new Wire(lab);
    await introduce(lab, wire, world);
    const sequences = generateNatSequences(random, world, howMany, kinds);
    const stage = new NatStage(world, sequences), trial = new Trial(lab, wire, stage);
    await trial.record();
    const once = await trial.record();
    const problems = violations(stage, trial.players).map((text) => `OVS: ${text}`);
    const as = [once, await trial.record(once)];
    console.log(`# OVS alone: ${deliveredOf(once)} of ${sequences.length} sequences delivered `
      + `anything, ${givenUp(lab)} packets given up`);
    for (const chassis of places) {
      const verdict = await trial.compare(chassis, as, (players) => {
        problems.push(...violations(stage, players).map((text) => `ovn-xdp: ${text}`));
      });
      console.log(`# ovn-xdp on ${chassis.join(', ')}: ${sequences.length} sequences, `
        + `${verdict.suspects} looked at again, ${verdict.differences.length} differences; `
        + verdict.text);
      const place = chassis.join('+');
      totals.set(place, addTallies(totals.get(place) ?? none, verdict.total));
      if (verdict.suspects > maxRechecked) problems.push(`${verdict.suspects} suspects`);
      for (const [i, one] of verdict.differences.entries()) {
        const sequence = sequences[one.index]!;
        if (await isGivenUp({ lab, wire, world }, sequence)) {
          console.log(`# OVS gives packets up: ${explainNat(sequence, one).split('\n')[0] ?? ''}`);
          continue;
        }
        console.log(explainNat(sequence, one).replace(/^/gm, '# '));
        const text = i >= maxShrunk ? undefined
          : await shrink({ lab, wire, world }, chassis, sequence, one.step)
            .catch((error: unknown) => { console.log(`# not shrunk: ${String(error)}`); });
        problems.push(`${chassis.join('+')}: ${text ?? explainNat(sequence, one)}`);
      }
    }
    assert.ok(deliveredOf(once) > howMany / 2, `${deliveredOf(once)} delivered anything`);
    assert.is(wire.drops, 0, 'the harness lost frames');
    return problems;
  } finally {
    wire?.close();
    lab.close();
  }
}

test('translated sequences come out alike with and without ovn-xdp', async () => {
  const random = new Random(seed), problems: string[] = [], totals = new Map<string, Tally>();
  for (let left = count; left > 0; left -= perLab) {
    problems.push(...await compareIn(random, Math.min(left, perLab), totals));
  }
  assert.is(problems.slice(0, 6).join('\n'), '', `seed ${seed}: ${problems.length}`);
  for (const [place, total] of totals) {
    const share = shareOf(total) ?? 0;
    assert.ok(share >= leastShare, `${place}: only ${share} carried by ovn-xdp`);
  }
});

test.run();
