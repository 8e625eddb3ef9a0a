/** Copies of what OVS has learned, on real maps; OVS itself is in ../lab/lb.lab.test.ts. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { affinity as affinityCodec, affinityKey } from '../abi/generated.js';
import { monotonicMs } from '../conntrack/entry.js';
import { parseLearned } from '../conntrack/affinity.js';
import { until } from '../lab/exec.js';
import { BpfMap, u32Bytes, u64Bytes } from '../libbpf/map.js';
import { Affinity, holdsMs, marginMs } from './affinity.js';

const line = (client: string, age = 0): string => ' cookie=0x5b8a8b1c, duration=31.4s, table=78, '
  + `n_packets=3, n_bytes=222, idle_timeout=60, idle_age=${age}, tcp,metadata=0x3,nw_src=${client},`
  + 'nw_dst=172.16.0.18,tp_dst=80 actions=set_field:0x4000/0x4000->reg10,'
  + 'set_field:0xa00020b->reg4,set_field:0x1f90/0xffff->reg8';
const keyOf = (client: string): Uint8Array => affinityKey.toBytes(parseLearned(line(client))!.key);

/** The maps of bpf/maps.h, and an OVS that has learned `lines`. */
function scene(lines: string[]) {
  const hash = (name: string, valueSize: number): [string, BpfMap] => [name, BpfMap.create(
    { type: 'hash', name, keySize: affinityKey.size, valueSize, maxEntries: 4 })];
  const word = (name: string): [string, BpfMap] => [name, BpfMap.create(
    { type: 'array', name, keySize: 4, valueSize: 8, maxEntries: 1 })];
  const maps = new Map([hash('affinity', affinityCodec.size), hash('affinity_used', 8),
    word('affinity_until'), word('affinity_asked')]);
  const ovs = { lines, dumps: 0, told: [] as string[], problem: '' };
  const answer = <T>(value: T): Promise<T> => ovs.problem === '' ? Promise.resolve(value)
    : Promise.reject(new Error(ovs.problem));
  const affinity = (): Affinity => new Affinity({ maps, bridge: () => 'br-int', flows: {
    dump: (_, table) => {
      ovs.dumps += 1;
      return answer(table === 78 ? ovs.lines : []);
    },
    submit: async (bridge, table, packets) => {
      await answer(undefined);
      ovs.told.push(...packets.map(({ datapath, frame }) =>
        `${bridge} ${table} ${datapath} ${frame.subarray(26, 30).join('.')}`));
    } } });
  const number = (name: string): number =>
    Number(new DataView(maps.get(name)!.lookup(u32Bytes(0))!.buffer).getBigUint64(0, true));
  const now = (): Uint8Array => u64Bytes(BigInt(monotonicMs()));
  return { ovs, affinity, number, entry: (client: string) =>
    maps.get('affinity')!.lookup(keyOf(client)),
  ask: () => { maps.get('affinity_asked')!.update(u32Bytes(0), now()); },
  use: (client: string) => { maps.get('affinity_used')!.update(keyOf(client), now()); },
  isUsed: (client: string) => maps.get('affinity_used')!.lookup(keyOf(client)) !== undefined };
}

test('nobody asks: OVS is not asked, and nothing holds', async () => {
  const { ovs, affinity, number } = scene([line('10.0.0.1')]);
  const one = affinity();
  await new Promise((resolve) => { setTimeout(resolve, 300); });
  await one.close();
  assert.equal([ovs.dumps, number('affinity_until')], [0, 0]);
});

test('what OVS has learned is copied, ends before OVS\'s does, and goes with it', async () => {
  const { ovs, affinity, number, entry, ask } = scene([line('10.0.0.1', 10), line('10.0.0.2', 49)]);
  ask();
  const one = affinity();
  await until('a copy', 3000, () => entry('10.0.0.1') !== undefined);
  const { until: end, values } = affinityCodec.fromBytes(entry('10.0.0.1')!);
  const left = Number(end) - monotonicMs();
  assert.ok(left > 38_000 - 3000 && left <= 49_000 - marginMs, `${left} ms left`);
  assert.is(values[4], 0x0a00020b);
  assert.is(entry('10.0.0.2'), undefined, 'too little is left of it');
  assert.ok(number('affinity_until') > monotonicMs());
  assert.is(one.status.sessions, 1);
  ovs.lines = [];
  await until('its end', 3000, () => entry('10.0.0.1') === undefined);
  await one.close();
  assert.is(number('affinity_until'), 0, 'nothing holds without an agent');
});

test('OVS does not answer: what it has said holds no more, and hears of uses later', async () => {
  const { ovs, affinity, number, entry, ask, use, isUsed } = scene([line('10.0.0.1')]);
  ask();
  const one = affinity();
  await until('a copy', 3000, () => entry('10.0.0.1') !== undefined);
  ovs.problem = 'ovs-ofctl: gone';
  const held = number('affinity_until');
  use('10.0.0.1');
  await until('the use to be taken', 3000, () => !isUsed('10.0.0.1'));
  await until('the end', holdsMs + 1000, () => monotonicMs() > number('affinity_until'));
  assert.ok(number('affinity_until') <= held + 1000);
  assert.equal(ovs.told, []);
  ovs.problem = '';
  await until('OVS to be told', 5000, () => ovs.told.length > 0);
  assert.equal(ovs.told, ['br-int 78 3 10.0.0.1']);
  await one.close();
});

test('the end of an agent tells the last uses, and so does the start of one', async () => {
  const { ovs, affinity, use, isUsed } = scene([line('10.0.0.1')]);
  use('10.0.0.9');
  const first = affinity();
  await until('what an earlier one left', 3000, () => ovs.told.length === 1);
  use('10.0.0.1');
  await first.close();
  assert.equal(ovs.told, ['br-int 78 3 10.0.0.9', 'br-int 78 3 10.0.0.1']);
  assert.not(isUsed('10.0.0.1'));
});

test.run();
