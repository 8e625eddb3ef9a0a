import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readControl } from './adopt.js';
import { Sync } from './apply.js';
import { FakePort } from './fake_port.js';
import { sequenceArbitrary, stateArbitrary } from './states.fixture.js';
import { kernelAsked } from './texts.fixture.js';
import { Epoch } from './versions.js';
import { decodeStage, toWords, words } from './wire.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
console.log(`  seed ${seed}`);

const version = (port: FakePort, slot: number): number =>
  toWords(port.get('cache_versions', words(slot))!)[0]!;
const epochOf = (port: FakePort): number => toWords(port.get('control', words(0))!)[4]!;
/** What a packet does not look at when its entry was last looked at under this epoch. */
const unasked = (port: FakePort): string => (['cache_versions', 'tunnels'] as const)
  .flatMap((map) => [...port.maps.get(map)!].map(([key, value]) =>
    `${map} ${key} ${Buffer.from(value).toString('hex')}`)).sort().join('\n');
/** What decides about packets of a datapath, in the buffer in force. */
function decisions(port: FakePort): Map<number, string> {
  const { active } = readControl(port);
  const found = new Map<number, string[]>();
  const add = (datapath: number, text: string): void => {
    found.set(datapath, [...found.get(datapath) ?? [], text]);
  };
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  for (const map of ['dispatch', 'ports'] as const) {
    for (const [key, value] of port.entries(map)) {
      const [buffer, datapath] = toWords(key);
      if (buffer !== active) continue;
      add(datapath!, `${map} ${text(key.subarray(8))} ${text(value)}`);
      if (map !== 'dispatch') continue;
      const { sets } = decodeStage(port.get('stages', value)!);
      add(datapath!, kernelAsked(port, active, sets));
    }
  }
  for (const [key, value] of port.entries('mac_bindings')) {
    add(toWords(key)[0]!, `mac ${text(key)} ${text(value)}`);
  }
  for (const [key, value] of port.entries('ifaces')) {
    if (toWords(key)[0] === active) add(toWords(value)[1]!, `iface ${text(key.subarray(4))}`);
  }
  // No packet gets into a datapath that `datapaths` does not have.
  const entered = new Set(port.entries('datapaths').map(([key]) => toWords(key))
    .filter(([buffer]) => buffer === active).map(([, datapath]) => datapath));
  return new Map([...found].filter(([datapath]) => entered.has(datapath))
    .map(([datapath, texts]) => [datapath, texts.sort().join('\n')]));
}
/** Sum of the counters that an entry of the datapath holds, or undefined while one is odd. */
function holding(port: FakePort, datapath: number): number | undefined {
  const values = [version(port, 0), ...datapath === 0 ? [] : [version(port, datapath)]];
  return values.some((value) => value % 2 === 1) ? undefined
    : values.reduce((sum, value) => sum + value, 0);
}

test('between any two writes, what a cached entry goes by is still what decides', async () => {
  let checked = 0;
  await fc.assert(fc.asyncProperty(sequenceArbitrary(4),
    async (states) => {
      const port = new FakePort();
      const sync = new Sync(port);
      const made = new Map<string, string>(), seen = new Map<number, string>();
      port.onWrite = () => {
        const epoch = epochOf(port);
        if (epoch % 2 === 0) {
          const now = unasked(port);
          assert.is(seen.get(epoch) ?? now, now, 'what nobody asks about under one epoch stays');
          seen.set(epoch, now);
        }
        for (const [datapath, now] of decisions(port)) {
          const sum = holding(port, datapath);
          if (sum === undefined) continue;
          const entry = `${datapath} ${sum}`;
          checked += 1;
          assert.is(made.get(entry) ?? now, now, `an entry of datapath ${datapath} is stale`);
          made.set(entry, now);
        }
      };
      for (const state of states) await sync.apply(state);
    }), { numRuns: 10, seed });
  assert.ok(checked > 0);
});

test('a datapath that a change has not to do with keeps its entries', async () => {
  const [state] = fc.sample(stateArbitrary, { seed, numRuns: 20 })
    .filter(({ desired }) => desired.datapaths.size > 1);
  if (state === undefined) return;
  const port = new FakePort();
  const sync = new Sync(port);
  await sync.apply(state);
  const keys = [...state.desired.datapaths.keys()];
  const before = keys.map((key) => version(port, key));
  const all = version(port, 0);
  const [gone] = keys;
  const less = { ...state, desired: { ...state.desired,
    dispatch: new Map([...state.desired.dispatch].filter(([key]) =>
      parseInt(key, 10) !== gone)) } };
  await sync.apply(less);
  assert.is(version(port, 0), all);
  keys.forEach((key, i) => assert.is(version(port, key) !== before[i],
    key === gone && [...state.desired.dispatch.keys()].some((at) => parseInt(at, 10) === gone)));
});

test('what a dead agent left odd is made even, and is not what it was', async () => {
  const port = new FakePort();
  port.put('cache_versions', [[words(5), words(7)], [words(6), words(8)]]);
  port.put('control', [[words(0), words(0, 0, 0, 0, 9)]]);
  const [state] = fc.sample(stateArbitrary, { seed, numRuns: 1 });
  await new Sync(port).apply(state!);
  assert.ok(version(port, 5) >= 8 && version(port, 5) % 2 === 0);
  assert.is(version(port, 6) % 2, 0);
  assert.ok(epochOf(port) >= 10 && epochOf(port) % 2 === 0);
});

test('changes that overlap are one to the epoch, and one that fails does not leave it odd',
  async () => {
    const port = new FakePort();
    const epoch = new Epoch(port);
    await epoch.across(async () => {
      epoch.during(() => { assert.is(epochOf(port), 1); });
      assert.is(epochOf(port), 1, 'the other goes on');
      await Promise.resolve();
    });
    assert.is(epochOf(port), 2);
    assert.throws(() => { epoch.during(() => { throw new Error('no'); }); }, 'no');
    assert.is(epochOf(port), 4);
    port.put('control', [[words(0), words(1, 2, 1, 64, 2 ** 32 - 4)]]);
    const late = new Epoch(port);
    late.during(() => { assert.is(epochOf(port), 2 ** 32 - 3); });
    assert.equal([...toWords(port.get('control', words(0))!)], [1, 2, 1, 64, 0]);
  });

test.run();
