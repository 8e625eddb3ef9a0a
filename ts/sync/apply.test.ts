import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NODE_HASH, datapath as datapathCodec, view as viewCodec } from '../abi/generated.js';
import type { Datapath, Stage } from '../compile/model.js';
import { readControl } from './adopt.js';
import { CapacityError, Sync } from './apply.js';
import { decodeTables } from './decode.js';
import { FakePort, Killed } from './fake_port.js';
import { reasonNumber, type State } from './image.js';
import { changed, sequenceArbitrary, stateArbitrary } from './states.fixture.js';
import { kernelText, stateText } from './texts.fixture.js';
import { decodeUuid, toWords, words } from './wire.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
console.log(`  seed ${seed}`);
const runs = (numRuns: number) => ({ numRuns, seed });
const sequence = sequenceArbitrary(4);
const emptyText = '';

/** Both buffers hold `state`, and nothing else is in the kernel. */
function assertInForce(port: FakePort, sync: Sync, state: State): void {
  const wanted = stateText(state);
  assert.is(kernelText(port, 0), wanted);
  assert.is(kernelText(port, 1), wanted);
  assert.ok(readControl(port).enabled);
  const used = decodeTables(port);
  const rules = ['rules_s', 'rules_m', 'rules_l'] as const;
  const kernelRules = rules.reduce((sum, map) => sum + port.keys(map).length, 0);
  // The barrier's rule is always there.
  const reachable = [...used.stages.values()].reduce((sum, stage) => sum + stage.rules.length, 1);
  assert.is(kernelRules, reachable, 'rules that nothing refers to');
  const usage = sync.usage();
  for (const map of rules) assert.is(usage.get(map), port.keys(map).length);
  const flows = new Set([...state.desired.dispatch.values()].flatMap((stage) =>
    bestFlows(stage)));
  flows.add('');
  const named = port.entries('flow_uuids').map(([, value]) => decodeUuid(value))
    .filter((flow) => flow !== '').sort();
  assert.equal(named, [...flows].filter((flow) => flow !== '').sort(), 'flow names');
  assert.is(usage.get('flow_uuids'), flows.size);
  assert.is(usage.get('tunnels'), state.desired.tunnels.size);
  assertViews(port, sync);
  assertTunnels(port, state);
  assertSets(port, sync, state);
}

/** Members of the sets that stages ask for, and no others. */
function assertSets(port: FakePort, sync: Sync, { desired }: State): void {
  const asked = new Set([...desired.dispatch.values()].flatMap(({ lookups = [] }) =>
    lookups.map(({ set }) => set)));
  const all = [...asked].flatMap((set) => [...desired.sets!.get(set)!.content.members.keys()]);
  const hosts = all.filter((key) => key.endsWith('/32')).length;
  assert.equal([port.keys('set_hosts').length, port.keys('set_prefixes').length],
    [hosts, all.length - hosts]);
  const usage = sync.usage();
  assert.equal([usage.get('set_hosts'), usage.get('set_prefixes')], [hosts, all.length - hosts]);
  for (const map of ['set_hosts', 'set_prefixes'] as const) {
    for (const [, value] of port.entries(map)) assert.equal(toWords(value), [1, 1]);
  }
}

/** Rows, views and their rules that are in use are those that the datapaths lead to. */
function assertViews(port: FakePort, sync: Sync): void {
  const rows = new Set<number>(), views = new Set<number>(), rules = new Set<number>();
  for (const [, value] of port.entries('datapaths')) {
    const { row } = datapathCodec.fromBytes(value);
    if (row === 0) continue;
    rows.add(row);
    for (const head of toWords(port.get('rows', words(row))!)) {
      for (let slot = head; slot !== 0;) {
        views.add(slot);
        const { more, nodes, nnodes } = viewCodec.fromBytes(port.get('views', words(slot))!);
        for (const { kind, index } of nodes.slice(0, nnodes)) {
          if ((kind & NODE_HASH) === 0) rules.add(index);
        }
        slot = more;
      }
    }
  }
  const usage = sync.usage();
  assert.equal([usage.get('rows'), usage.get('views'), usage.get('single_rules')],
    [rows.size, views.size, rules.size]);
}

function bestFlows(stage: Stage): string[] {
  const best = new Map<string, { priority: number; flow: string }>();
  for (const rule of stage.rules) {
    const id = `${rule.shape.words}/${rule.shape.masks}/${rule.key}`;
    if ((best.get(id)?.priority ?? -1) < rule.priority) best.set(id, rule);
  }
  return [...best.values()].map(({ flow }) => flow);
}

function assertTunnels(port: FakePort, { desired, placement }: State): void {
  const ready = port.entries('tunnels').filter(([, value]) => toWords(value)[0] === 1)
    .map(([, value]) => [...value.subarray(36, 40)].join('.')).sort();
  assert.equal(ready,
    [...desired.tunnels.keys()].filter((ip) => placement.nextHops.has(ip)).sort());
  const macs = [...desired.macBindings.values()].map(({ ip, mac }) =>
    `${ip.includes(':') ? 6 : 4}${mac.slice(-2)}`).sort();
  assert.equal(port.entries('mac_bindings').map(([key, value]) =>
    `${toWords(key)[2] ? 6 : 4}0${(toWords(value)[1] ?? 0) & 15}`).sort(), macs);
  assert.equal(port.entries('hairpins').map(([key, value]) =>
    `${toWords(key).join('.')} ${toWords(value).join('.')}`).sort(),
  [...desired.hairpins].map(([key, { snat }]) => `${key} ${snat.join('.')}`).sort());
}

test('after any sequence of states both buffers hold exactly the last', async () => {
  await fc.assert(fc.asyncProperty(sequence, async (states) => {
    const port = new FakePort();
    const sync = new Sync(port);
    for (const state of states) {
      const { refused } = await sync.apply(state);
      assert.is(refused.size, 0);
      assertInForce(port, sync, state);
      assert.not((await sync.apply(state)).flipped, 'the same state again flips nothing');
    }
  }), runs(20));
});

test('at every write the active buffer is the whole old or the whole new state', async () => {
  await fc.assert(fc.asyncProperty(sequence, async (states) => {
    const port = new FakePort();
    const sync = new Sync(port);
    let old = emptyText;
    for (const state of states) {
      const next = stateText(state);
      let seen = old;
      port.onWrite = () => {
        const { active, enabled } = readControl(port);
        const now = kernelText(port, active);
        if (now !== seen) assert.is(seen, old, 'goes back');
        if (now !== old) assert.is(now, next);
        if (!enabled) assert.is(now, emptyText);
        seen = now;
      };
      await sync.apply(state);
      old = next;
    }
  }), runs(6));
});

test('killed at any write, a new agent ends in the new state, consistent on the way', async () => {
  await fc.assert(fc.asyncProperty(fc.tuple(stateArbitrary, stateArbitrary, stateArbitrary),
    fc.nat(1000), async ([before, during, after], at) => {
      const port = new FakePort();
      const first = new Sync(port);
      await first.apply(before);
      port.writesLeft = at % 400;
      await first.apply(during).catch((error: unknown) => {
        if (!(error instanceof Killed)) throw error;
      });
      port.writesLeft = Infinity;
      const inForce = kernelText(port, readControl(port).active);
      assert.ok([stateText(before), stateText(during)].includes(inForce));
      const next = stateText(after);
      port.onWrite = () => {
        const { active } = readControl(port);
        const now = kernelText(port, active);
        if (now !== inForce) assert.is(now, next);
      };
      const second = new Sync(port);
      await second.apply(after);
      port.onWrite = () => {};
      assertInForce(port, second, after);
    }), runs(15));
});

test('killed at every single write of one change, then killed again while adopting', async () => {
  const [before, other] = fc.sample(stateArbitrary, { seed, numRuns: 2 }) as [State, State];
  for (const during of [other, changed(before, other)]) await killEverywhere(before, during);
});
async function killEverywhere(before: State, during: State): Promise<void> {
  for (let at = 0, done = false; !done; at += 1) {
    const port = new FakePort();
    const first = new Sync(port);
    await first.apply(before);
    port.writesLeft = at;
    done = await first.apply(during).then(() => true, () => false);
    port.writesLeft = at % 7;
    await new Sync(port).apply(during).catch(() => {});
    port.writesLeft = Infinity;
    const last = new Sync(port);
    await last.apply(during);
    assertInForce(port, last, during);
  }
}

test('a change writes what differs, and no more when there is more besides', async () => {
  const writes = await Promise.all([10, 1000].map(async (datapaths) => {
    const stages = Array.from({ length: datapaths }, (_, i): [string, Stage] =>
      [`${i + 1}/1`, stageOf([ruleOf(i), ruleOf(i + 1)])]);
    const port = new FakePort({ stages: 2000, rules_s: 4000, dispatch: 4000, datapaths: 2000 });
    const sync = new Sync(port);
    const before = simple([]);
    const first: State = { ...before, desired: { ...before.desired, name: {},
      dispatch: new Map(stages), datapaths: new Map(stages.map((_, i): [number, Datapath] =>
        [i + 1, { key: i + 1, uuid: '', name: '', router: false, dnatZone: 0, snatZone: 0 }])) } };
    await sync.apply(first);
    const one = { ...first, desired: { ...first.desired,
      dispatch: new Map(stages).set('5/1', stageOf([ruleOf(4), ruleOf(7)])) } };
    const asked = port.asked;
    const { writes, flipped } = await sync.apply(changed(first, one));
    assert.ok(flipped);
    return [writes, port.asked - asked];
  }));
  // A stage and its two rules; dispatch and generation in both buffers, control; the old stage.
  assert.equal(writes[0], [9, writes[0]![1]]);
  assert.equal(writes[1], writes[0]);
});

test('flow and tunnel indexes survive a restart, so counters keep their meaning', async () => {
  await fc.assert(fc.asyncProperty(stateArbitrary, async (state) => {
    const port = new FakePort();
    const first = new Sync(port);
    await first.apply(state);
    const flows = kept(port, 'flow_uuids');
    const tunnels = kept(port, 'tunnels');
    await new Sync(port).apply(state);
    assert.equal(kept(port, 'flow_uuids'), flows);
    assert.equal(kept(port, 'tunnels'), tunnels);
  }), runs(20));
});
const kept = (port: FakePort, map: 'flow_uuids' | 'tunnels'): string[] =>
  port.entries(map).map(([, value]) => Buffer.from(value).toString('hex'));

test('a tunnel changes only while it is not ready', async () => {
  await fc.assert(fc.asyncProperty(sequence, async (states) => {
    const port = new FakePort();
    const sync = new Sync(port);
    let before = kept(port, 'tunnels');
    port.onWrite = () => {
      const now = kept(port, 'tunnels');
      now.forEach((value, i) => {
        const old = before[i] ?? '';
        if (old === value) return;
        const body = (text: string): string => text.slice(8);
        const isReady = (text: string): boolean => text.startsWith('01');
        if (isReady(old) || isReady(value)) {
          // Deleted at last, all zero at once: nothing refers to it then.
          if (!/^0*$/.test(value)) assert.is(body(value), body(old));
        }
      });
      before = now;
    };
    for (const state of states) await sync.apply(state);
  }), runs(15));
});

const stageOf = (rules: Stage['rules'], table = 1): Stage =>
  ({ digest: JSON.stringify(rules), table, rules });
const simple = (rules: Stage['rules'], table = 1): State => ({
  desired: {
    datapaths: new Map(), ports: new Map(), tunnels: new Map(), macBindings: new Map(),
    hairpins: new Map(),
    unsupported: [], dispatch: new Map([['1/1', stageOf(rules, table)]]),
  },
  placement: { devices: new Map(), uplinks: [], providers: new Map(), nextHops: new Map() },
});
const ruleOf = (n: number, words: number[] = [27]): Stage['rules'][number] => ({
  shape: { words, masks: words.map(() => 0xffffffff) }, key: words.map(() => n), priority: 1,
  program: { ops: [{ code: 4 }] }, args: [], flow: '',
});
const barrierText = (port: FakePort): number | undefined => {
  const { dispatch, stages } = decodeTables(port);
  return stages.get(dispatch.get('1/1') ?? 0)?.rules[0]?.program.ops[0]?.imm;
};

test('a stage that does not fit is a punt barrier, and fits again when there is room', async () => {
  const many = simple([ruleOf(1), ruleOf(2), ruleOf(3), ruleOf(4)]);
  const wide = simple([ruleOf(1, Array.from({ length: 17 }, (_, i) => i))]);
  const long = simple([{ ...ruleOf(1), program: { ops: Array(33).fill({ code: 1 }) } }]);
  const port = new FakePort({ rules_s: 4, tuples: 3 });
  const sync = new Sync(port);
  for (const [state, what] of [[many, 'rules_s'], [wide, 'words of one tuple'],
    [long, 'ops of one program']] as const) {
    assert.equal([...(await sync.apply(state)).refused], [[what, 1]]);
    assert.is(barrierText(port), reasonNumber('CAPACITY'));
  }
  assert.is((await sync.apply(simple([ruleOf(1), ruleOf(2), ruleOf(3)]))).refused.size, 0);
  assert.is(barrierText(port), 0);
  // Beside the old state there is no room for the new one, after it there is.
  assert.is((await sync.apply(simple([ruleOf(4), ruleOf(5)]))).refused.size, 0);
});

test('a state that fits in no way is an error that says what is too small', async () => {
  const port = new FakePort({ dispatch: 1 });
  const sync = new Sync(port);
  const error = await sync.apply(simple([ruleOf(1)])).catch((caught: unknown) => caught);
  assert.instance(error, CapacityError);
  assert.match((error as Error).message, /dispatch needs 2 entries and has 1/);
  assert.not(readControl(port).enabled);
});

test('disable leaves the tables and the next state enables again', async () => {
  const port = new FakePort();
  const sync = new Sync(port);
  await sync.apply(simple([ruleOf(1)]));
  sync.disable();
  assert.not(readControl(port).enabled);
  assert.ok((await sync.apply(simple([ruleOf(1)]))).flipped);
  assert.ok(readControl(port).enabled);
});

test('the cache has as many sets as are wanted, and no more than there are', async () => {
  const port = new FakePort();
  const sync = new Sync(port);
  const sets = (): number | undefined => toWords(port.get('control', words(0))!)[3];
  sync.limitCache(16);
  await sync.apply(simple([ruleOf(1)]));
  assert.is(sets(), 16);
  for (const [wanted, used] of [[0, 0], [1000, 64], [Infinity, 64]] as const) {
    sync.limitCache(wanted);
    assert.is(sets(), used);
    assert.ok(readControl(port).enabled);
  }
});

test('a device that the kernel does not take as a target is left to OVS', async () => {
  const port = new FakePort();
  port.badDevices.add(5);
  const state = simple([ruleOf(1)]);
  await new Sync(port).apply({
    desired: { ...state.desired, ports: new Map([['1/1', { datapath: 1, port: 1, kind: 'local',
      logical_port: 'a', device: 'tap', zone: 0 }]]) },
    placement: { ...state.placement, devices: new Map([['tap',
      { ifindex: 5, mtu: 1500, target: true }]]) },
  });
  const value = toWords(port.get('ports', words(0, 1, 1)) ?? new Uint8Array());
  assert.equal([value[0], value[6]], [4, reasonNumber('UNSUPPORTED_PORT')]);
});

test('a device that XDP cannot send to is TC\'s target all the same; an uplink before TC is said',
  async () => {
    const port = new FakePort(), sync = new Sync(port);
    const state = simple([ruleOf(1)]);
    const found = async (tcOnly: boolean): Promise<unknown> => {
      await sync.apply({
        desired: { ...state.desired, ports: new Map([['1/1', { datapath: 1, port: 1, kind: 'local',
          logical_port: 'a', device: 'tap', zone: 0 }]]) },
        placement: { ...state.placement, devices: new Map([['tap',
          { ifindex: 5, mtu: 1500, target: true, tcOnly }]]),
        uplinks: [{ ifindex: 6, mtu: 1500, target: false, beforeTc: true }] },
      });
      const kind = toWords(port.get('ports', words(0, 1, 1)) ?? new Uint8Array())[0];
      return [kind, port.get('devmap', words(5)) !== undefined];
    };
    for (const tcOnly of [true, false, true]) assert.equal(await found(tcOnly), [1, !tcOnly]);
    assert.equal([toWords(port.get('ifaces', words(0, 6))!)[0], port.get('devmap', words(6))],
      [10, undefined]);
  });

test.run();
