/** What changes of large address sets cost, and that they become visible as a whole. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { setLookups } from '../abi/generated.js';
import type { Desired, SetContent, Stage, UsedSet } from '../compile/model.js';
import { readControl } from './adopt.js';
import { Sync } from './apply.js';
import { FakePort } from './fake_port.js';
import type { State } from './image.js';
import type { Bytes, HashMap, MapName } from './port.js';
import { decodeStage, toWords, words } from './wire.js';

/** Notes which maps are written. */
class Watched extends FakePort {
  written: string[] = [];
  override put(map: MapName, entries: readonly (readonly [Bytes, Bytes])[]): void {
    for (const _ of entries) this.written.push(map);
    super.put(map, entries);
  }
  override delete(map: HashMap, keys: readonly Bytes[]): void {
    for (const _ of keys) this.written.push(`less ${map}`);
    super.delete(map, keys);
  }
}

const goes = (imm: number) => ({ ops: [{ code: 3, imm }] });
const stage: Stage = { digest: 'asks', table: 1,
  lookups: [{ set: 's', word: 27, words: 1, prefixes: true }],
  rules: [{ shape: { words: [60], masks: [1] }, key: [1], priority: 1, program: goes(2), args: [],
    flow: '' }] };
const plain: Stage = { digest: 'plain', table: 1, rules: [] };
const empty = new Map<never, never>();

/** Datapath 1 asks for the set; datapath 2 does not. */
function stateOf(content: SetContent, before?: State, extra?: Stage): State {
  const sets = new Map<string, UsedSet>([['s', { content, datapaths: new Set([1]) }]]);
  const datapaths = before?.desired.datapaths ?? new Map([1, 2].map((key) => [key, { key,
    uuid: `${key}`, name: '', router: false, dnatZone: 0, snatZone: 0 }]));
  const tunnels = before?.desired.tunnels ?? empty;
  const dispatch = new Map([['1/1', stage], ['2/1', plain], ...extra ? [['2/2', extra] as const]
    : []]);
  const since: Desired['since'] = before && { from: before.desired.name!, refused: [],
    dispatch: new Set(extra ? ['2/2'] : []), views: new Set(), ports: new Set(),
    macBindings: new Set(), hairpins: new Set() };
  return { placement: before?.placement ?? { devices: empty, uplinks: [], providers: empty,
    nextHops: empty }, desired: { dispatch, datapaths, tunnels, ports: empty, macBindings: empty,
    hairpins: empty, unsupported: [], name: {}, since, sets } };
}
const contentOf = (keys: readonly string[], from?: SetContent): SetContent => {
  const members = new Map(keys.map((key) => [key, 1]));
  const changed = new Set([...keys, ...from?.members.keys() ?? []]
    .filter((key) => members.has(key) !== from?.members.has(key)));
  return { bits: 32, members, version: {}, since: from && { from: from.version, changed } };
};
const hosts = (n: number): string[] =>
  Array.from({ length: n }, (_, i) => `${(0x0b000000 + i).toString(16)}/32`);

async function begin(keys: readonly string[]): Promise<{ port: Watched; sync: Sync;
  content: SetContent; state: State }> {
  const port = new Watched({ set_hosts: 5000 }), sync = new Sync(port);
  const content = contentOf(keys), state = stateOf(content);
  assert.is((await sync.apply(state)).refused.size, 0);
  port.written = [];
  return { port, sync, content, state };
}

const around = (change: string): string[] =>
  ['control', 'cache_versions', change, 'cache_versions', 'control'];
test('one member more or less is one write, and the datapaths that ask forget what they cached',
  async () => {
    const { port, sync, content, state } = await begin(hosts(3000));
    const graces = port.graces, { generation } = readControl(port);
    const more = contentOf([...content.members.keys(), '14000001/32'], content);
    const then = stateOf(more, state);
    await sync.apply(then);
    assert.equal(port.written, around('set_hosts'));
  assert.equal([1, 2].map((slot) =>
      toWords(port.get('cache_versions', words(slot))!)[0]), [4, 2]);
    assert.equal([port.graces, readControl(port).generation], [graces, generation]);
    port.written = [];
    await sync.apply(stateOf(contentOf(hosts(3000), more), then));
    assert.equal(port.written, around('less set_hosts'));
  });

test('several members, or one with something else, become visible by a flip', async () => {
  for (const [keys, extra] of [[['14000001/32', '14000002/32'], undefined],
    [['14000001/32'], { ...plain, table: 2 }]] as const) {
    const { port, sync, content, state } = await begin(hosts(10));
    const { active } = readControl(port);
    const seen = new Set<string>();
    port.onWrite = () => {
      const control = readControl(port);
      const id = setLookups.fromBytes(port.get('set_lookups',
        words(decodeStage(port.get('stages', words(2))!).sets))!).lookup[0]!.set;
      const there = keys.map((key) => toWords(port.get('set_hosts',
        words(id, 0, 0, 0, parseInt(key, 16))) ?? words(0, 0))[control.active]);
      seen.add(`${control.active === active ? 'before' : 'after'} ${there}`);
    };
    await sync.apply(stateOf(contentOf([...content.members.keys(), ...keys], content), state,
      extra));
    assert.equal([...seen], [`before ${keys.map(() => 0)}`, `after ${keys.map(() => 1)}`]);
  }
});

test('a state that does not say what differs comes to the same', async () => {
  const { port, sync } = await begin(['0/0', 'a000000/8', 'a000001/32']);
  await sync.apply(stateOf(contentOf(['a000000/24', 'a000001/32'])));
  assert.is(port.keys('set_hosts').length, 1);
  assert.equal(port.keys('set_prefixes').map((key) => toWords(key)[0]), [32 + 96 + 24]);
});

test('a set that does not fit leaves its stage to OVS, and others alone', async () => {
  const port = new Watched({ set_hosts: 5 }), sync = new Sync(port);
  const { refused } = await sync.apply(stateOf(contentOf(hosts(6))));
  assert.equal([...refused], [['set_hosts', 1]]);
  assert.is(port.keys('set_hosts').length, 0);
  assert.is((await sync.apply(stateOf(contentOf(hosts(5))))).refused.size, 0);
});

test.run();
