/** The speed of one TCP stream by TC, beside kernel OVS alone on the same machine, in turns. */
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { control as controlCodec, type Control } from '../../abi/generated.js';
import { BpfMap, u32Bytes } from '../../libbpf/map.js';
import { possibleCpus } from '../../libbpf/probe.js';
import { startAgents, type Agent } from '../agent.js';
import { uplink } from '../chassis.js';
import { run, until } from '../exec.js';
import { Lab } from '../lab.js';
import { applyTopology, twoSubnets } from '../topology.js';
import type { Vm } from '../vm.js';

const receivers = ['a2', 'b2'] as const;
const where = { a2: 'on one chassis', b2: 'over a router and geneve' } as const;

let lab: Lab;
let agents: Agent[] = [];
const forwarded = async (): Promise<number> =>
  (await Promise.all(agents.map((agent) => agent.ask())))
    .reduce((sum, { counters }) => sum + counters.forwarded, 0);

test.before(async () => {
  lab = await Lab.start({ chassis: ['c1', 'c2'], datapath: 'system' });
  applyTopology(lab, { ...twoSubnets,
    vms: twoSubnets.vms.filter(({ port }) => ['a1', 'a2', 'b2'].includes(port)) });
  for (const name of receivers) {
    run(['iperf3', '-s', '-D'], { netns: lab.vm(name).netns });
    await until(`a way to ${name}`, 20_000, () => lab.vm('a1').ping(lab.vm(name).ip(4), 1));
    await until(`a way to ${name} by IPv6`, 20_000, () =>
      lab.vm('a1').ping(lab.vm(name).ip(6), 1));
  }
  agents = await startAgents(lab);
});
test.after(async () => {
  for (const agent of agents) await agent.stop('SIGKILL');
  lab?.close();
});

interface IperfEnd {
  readonly end: { readonly sum_received?: { readonly bits_per_second: number };
    readonly sum_sent?: { readonly retransmits?: number };
    readonly sum?: { readonly lost_packets: number; readonly packets: number } };
}

async function iperf(to: Vm, family: 4 | 6, ...args: readonly string[]): Promise<IperfEnd['end']> {
  const done = await lab.vm('a1').run('iperf3', '-J', '--connect-timeout', '3000', '-c',
    to.ip(family), ...args);
  if (done.status !== 0) throw new Error(`iperf3 to ${to.port}: ${done.stdout.slice(-500)}`);
  return (JSON.parse(done.stdout) as IperfEnd).end;
}

type Way = 'kernel OVS' | 'walk' | 'cache';
const ways: Readonly<Record<Way, Partial<Control>>> = {
  'kernel OVS': { enabled: 0 }, walk: { enabled: 1, cache_sets: 0 }, cache: { enabled: 1 },
};
/** How often each is compared with kernel OVS. */
const pairs: Readonly<Record<Exclude<Way, 'kernel OVS'>, number>> = { walk: 3, cache: 7 };

/** Lets the programs of both chassis pass everything, walk always, or walk and remember. */
function go(way: Way): void {
  for (const { tables } of agents) {
    using map = BpfMap.openPinned(join(tables, 'control'));
    using cache = BpfMap.openPinned(join(tables, 'cache'));
    const control = controlCodec.fromBytes(map.lookup(u32Bytes(0))!);
    map.update(u32Bytes(0), controlCodec.toBytes(
      { ...control, cache_sets: cache.info.maxEntries / possibleCpus(), ...ways[way] }));
  }
}

async function bitsPerSecond(to: Vm, way: Way): Promise<number> {
  go(way);
  return (await iperf(to, 4, '-t', '1')).sum_received?.bits_per_second ?? 0;
}

/** To what kernel OVS carries in the same pair, ascending; which goes first changes. */
async function ratios(to: Vm, way: keyof typeof pairs): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < pairs[way]; i += 1) {
    const bits = new Map<Way, number>();
    for (const one of i % 2 === 0 ? ['kernel OVS', way] as const : [way, 'kernel OVS'] as const) {
      bits.set(one, await bitsPerSecond(to, one));
    }
    found.push(bits.get(way)! / bits.get('kernel OVS')!);
  }
  return found.sort((a, b) => a - b);
}

for (const name of receivers) {
  test(`one TCP stream ${where[name]} is as fast as through kernel OVS`, async () => {
    const before = await forwarded();
    const medians = new Map<Way, number>();
    for (const way of Object.keys(pairs) as (keyof typeof pairs)[]) {
      const all = await ratios(lab.vm(name), way);
      medians.set(way, all[all.length >> 1]!);
      console.log(`# one TCP stream ${where[name]}, ${way} to kernel OVS: median ${
        medians.get(way)!.toFixed(2)} of ${all.map((ratio) => ratio.toFixed(2)).join(' ')}`);
    }
    assert.ok(await forwarded() > before + 1000, 'the fast path carried it');
    assert.ok(medians.get('cache')! >= 1, `${medians.get('cache')}`);
  });
}

test.run();
