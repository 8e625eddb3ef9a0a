import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { setLogSink } from '../base/log.js';
import { OvsdbClient, type Batch, type ClientOptions, type Status } from './client.js';
import { FakeServer, type WireRow } from './fake_server.js';
import { parseRemotes } from './remote.js';

const test = suite('client');
const lines: string[] = [];
/** Closed after each test, also a failed one: an open client keeps the process alive. */
const opened: OvsdbClient[] = [];
test.after.each(() => { for (const client of opened.splice(0)) client.close(); });
test.before.each(() => { lines.length = 0; setLogSink((line) => { lines.push(line); }); });

const optional = { key: 'string', min: 0, max: 1 };
const strings = { key: 'string', min: 0, max: 'unlimited' };
const map = { key: 'string', value: 'string', min: 0, max: 'unlimited' };
const schema = { tables: {
  T: { columns: {
    name: { type: 'string' }, n: { type: { key: { type: 'integer' } } }, opt: { type: optional },
    set: { type: strings }, map: { type: map }, other: { type: 'real' },
  } },
  U: { columns: { name: { type: 'string' } } },
} };
const tables = {
  T: { name: 'string', n: 'integer', opt: 'string?', set: 'string*', map: 'map', absent: 'map',
    gone: 'uuid?' },
  U: { name: 'string' },
  Missing: { x: 'string' },
} as const;

const uuid = (i: number): string => `aaaaaaaa-0000-0000-0000-${String(i).padStart(12, '0')}`;
const row = (name: string, more: WireRow = {}): WireRow => ({ name, n: 1, ...more });

interface Lab {
  readonly server: FakeServer; readonly client: OvsdbClient;
  readonly batches: Batch[]; readonly statuses: Status[];
}

function lab(options: Partial<ClientOptions> = {}, unknown: readonly string[] = []): Lab {
  const server = new FakeServer({ database: 'DB', schema, unknown });
  const batches: Batch[] = [];
  const statuses: Status[] = [];
  const client = new OvsdbClient({
    remotes: parseRemotes('tcp:fake:1').value, database: 'DB', tables, connect: server.connect,
    onChanges: (batch) => { batches.push(batch); },
    onStatus: (status) => { statuses.push(status); },
    random: () => 0, minBackoffMs: 5, ...options,
  });
  opened.push(client);
  return { server, client, batches, statuses };
}

async function until(what: string, condition: () => boolean, ms = 3000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 1); });
  }
}
const synced = ({ client }: Lab): Promise<void> => until('sync', () => client.status.inSync);
const names = ({ client }: Lab): string[] =>
  [...client.replica.table('T').values()].map((r) => r['name'] as string).sort();
const requests = ({ server }: Lab, method: string): readonly unknown[][] =>
  server.received.filter((m) => m.method === method).map((m) => m.params as unknown[]);

test('a column is read once of some rows, or of none', async () => {
  const the = lab();
  assert.is((await the.client.select('T', 'map', [uuid(1)])).size, 0, 'not connected yet');
  the.server.transact([{ table: 'T', uuid: uuid(1), row: row('a', { map: ['map', [['k', 'v']]] }) },
    { table: 'T', uuid: uuid(2), row: row('b') }]);
  await synced(the);
  const found = await the.client.select('T', 'map', [uuid(1), uuid(3)]);
  assert.equal([...found], [[uuid(1), ['map', [['k', 'v']]]]]);
  the.server.silent = true;
  assert.is((await the.client.select('T', 'map', [uuid(1)], 5)).size, 0, 'no answer');
  const refused = lab({}, ['transact']);
  await synced(refused);
  assert.is((await refused.client.select('T', 'map', [uuid(1)])).size, 0, 'refused');
});

test('loads, follows insert, modify and delete, one batch a transaction', async () => {
  const the = lab();
  the.server.rows.get('T')!.set(uuid(1), row('a', {
    opt: 'x', set: ['set', ['p', 'q']], map: ['map', [['k', '1'], ['l', '2']]],
  }));
  await synced(the);
  const first = the.client.replica.table('T').get(uuid(1))!;
  assert.equal(first, {
    _uuid: uuid(1), name: 'a', n: 1, opt: 'x', set: ['p', 'q'],
    map: new Map([['k', '1'], ['l', '2']]), absent: new Map(), gone: undefined,
  });
  const txn = the.server.transact([
    { table: 'T', uuid: uuid(1), row: row('a', {
      set: ['set', ['q', 'r']], map: ['map', [['k', '9'], ['m', '3']]],
    }) },
    { table: 'U', uuid: uuid(2), row: { name: 'u' } },
  ]);
  await until('second batch', () => the.batches.length === 2);
  const [change] = the.batches[1]!.changes;
  assert.is(change!.old, first);
  assert.equal(change!.new, { ...first, opt: undefined, set: ['q', 'r'],
    map: new Map([['k', '9'], ['m', '3']]) });
  assert.is(the.batches[1]!.changes.length, 2);
  assert.is(the.batches[1]!.transaction, txn);
  the.server.transact([{ table: 'T', uuid: uuid(1), row: undefined }]);
  await until('third batch', () => the.batches.length === 3);
  assert.is(the.client.replica.table('T').size, 0);
  assert.is(the.batches[2]!.changes[0]!.new, undefined);
  the.client.close();
});

test('asks only for tables and columns that the schema lists', async () => {
  const the = lab();
  await synced(the);
  const [[, , monitored]] = requests(the, 'monitor_cond_since') as [[string, string, object]];
  assert.equal(monitored, {
    T: [{ columns: ['name', 'n', 'opt', 'set', 'map'], where: [true] }],
    U: [{ columns: ['name'], where: [true] }],
  });
  assert.is(the.client.replica.table('Missing').size, 0);
  assert.throws(() => the.client.replica.table('Nowhere'), /not monitored/);
  the.client.close();
});

for (const [version, unknown] of [
  [3, []], [2, ['monitor_cond_since']], [1, ['monitor_cond_since', 'monitor_cond']],
] as const) {
  test(`version ${version}: a reconnect keeps the rows and emits only the difference`, async () => {
    const the = lab({}, unknown);
    for (let i = 0; i < 9; i += 1) the.server.rows.get('T')!.set(uuid(i), row(`r${i}`));
    the.server.transact([{ table: 'T', uuid: uuid(0), row: row('first') }]);
    await synced(the);
    const kept = the.client.replica.table('T').get(uuid(5));
    const { lastTransaction } = the.client.status;
    the.server.refuse = true;
    the.server.drop();
    await until('disconnect', () => !the.client.status.connected);
    assert.is(the.client.replica.table('T').size, 9);
    the.server.transact([{ table: 'T', uuid: uuid(1), row: undefined }]);
    the.server.transact([{ table: 'T', uuid: uuid(2), row: row('changed') }]);
    the.server.refuse = false;
    await synced(the);
    assert.is(the.batches.length, 2);
    assert.equal(the.batches[1]!.changes.map((c) => [c.old?.['name'], c.new?.['name']]).sort(),
      [['r1', undefined], ['r2', 'changed']]);
    assert.is(the.client.replica.table('T').get(uuid(5)), kept);
    if (version === 3) assert.is(requests(the, 'monitor_cond_since')[1]![3], lastTransaction);
    assert.ok(the.client.status.reconnects['closed'] === 1);
    the.client.close();
  });
}

test('a server that lost its history is resynchronised by difference', async () => {
  const the = lab();
  the.server.transact([{ table: 'T', uuid: uuid(1), row: row('a') },
    { table: 'T', uuid: uuid(2), row: row('b') }]);
  await synced(the);
  the.server.forget();
  the.server.rows.get('T')!.delete(uuid(2));
  the.server.drop();
  await until('third batch', () => the.batches.length === 2);
  assert.equal(the.batches[1]!.changes.map((c) => [c.uuid, c.new]), [[uuid(2), undefined]]);
  the.client.close();
});

test('a stale or disconnected member is refused, then taken when caught up', async () => {
  const the = lab();
  the.server.setServer({ model: 'clustered', connected: true, leader: false, index: 50 });
  the.server.rows.get('T')!.set(uuid(1), row('a'));
  await synced(the);
  the.server.setServer({ model: 'clustered', connected: true, leader: false, index: 49 });
  await until('refused', () => (the.client.status.reconnects['stale'] ?? 0) >= 2);
  assert.not(the.client.status.inSync);
  assert.equal(names(the), ['a']);
  the.server.setServer({ model: 'clustered', connected: false, leader: false, index: 60 });
  await until('refused', () => (the.client.status.reconnects['not-connected'] ?? 0) >= 1);
  the.server.setServer({ model: 'clustered', connected: true, leader: false, index: 60 });
  await synced(the);
  assert.is(the.batches.length, 1);
  the.server.setServer({ model: 'clustered', connected: true, leader: false, index: 5 });
  await until('refused again', () => !the.client.status.connected);
  the.client.resetClusterState();
  await synced(the);
  the.client.close();
});

test('servers without _Server, and without the database', async () => {
  const old = lab();
  old.server.server = undefined;
  await synced(old);
  old.client.close();
  const other = lab({ database: 'Elsewhere' });
  await until('refused', () => (other.client.status.reconnects['no-database'] ?? 0) >= 1);
  other.client.close();
});

test('rows that do not decode are skipped, named once, and come back when whole', async () => {
  const the = lab();
  the.server.rows.get('T')!.set(uuid(1), row('good'));
  the.server.rows.get('T')!.set(uuid(2), row('bad', { n: 'seven' }));
  the.server.rows.get('T')!.set(uuid(3), row('worse', { set: ['set', [1]] }));
  the.server.rows.get('T')!.set(uuid(4), row('extra', { unasked: 1 }));
  await synced(the);
  assert.equal(names(the), ['good']);
  assert.is(the.client.status.skippedRows, 3);
  const log = lines.filter((line) => line.includes('skipped'));
  assert.is(log.length, 3);
  assert.match(log[0]!, `T ${uuid(2)}: column n`);
  the.server.transact([{ table: 'T', uuid: uuid(3), row: row('worse', { n: 3 }) }]);
  the.server.transact([{ table: 'T', uuid: uuid(1), row: row('good', { n: 'x' }) }]);
  await until('bad modify', () => the.client.status.skippedRows === 4);
  assert.equal(the.batches.at(-1)!.changes.map((c) => c.new), [undefined]);
  const opt = { opt: ['set', ['still']] };
  the.server.transact([{ table: 'T', uuid: uuid(2), row: row('bad', { n: 'seven', ...opt }) }]);
  the.server.transact([{ table: 'T', uuid: uuid(2), row: row('better', { n: 7, ...opt }) }]);
  the.server.transact([{ table: 'T', uuid: uuid(1), row: row('good', { n: 8 }) }]);
  await until('modified to be readable', () => the.client.status.skippedRows === 2);
  assert.equal(names(the), ['better', 'good']);
  const { _uuid, ...better } = the.client.replica.table('T').get(uuid(2))!;
  assert.equal([better['n'], better['opt'], better['set']], [7, 'still', []]);
  assert.equal(the.batches.at(-1)!.changes.map(({ old }) => old), [undefined]);
  the.server.transact([{ table: 'T', uuid: uuid(2), row: row('bad', { n: 'eight' }) }]);
  await until('bad again', () => the.client.status.skippedRows === 3);
  the.server.transact([{ table: 'T', uuid: uuid(2), row: undefined }]);
  await until('bad row deleted', () => the.client.status.skippedRows === 2);
  assert.ok(the.client.status.inSync);
  the.client.close();
});

test('malformed JSON, foreign tables and impossible deltas lead to a fresh full load', async () => {
  const the = lab();
  the.server.transact([{ table: 'T', uuid: uuid(1), row: row('a') }]);
  await synced(the);
  const wrong: [string, string][] = [
    ['{"id":nul', 'closed'], ['}', 'protocol'],
    ['{"id":null,"method":"update3","params":["data","x",{"T":{"u":{"modify":{"n":1}}}}]}',
      'inconsistent'],
    ['{"id":null,"method":"update3","params":["data","x",{"Z":{}}]}', 'inconsistent'],
    ['{"id":null,"method":"update3","params":["data","x",[]]}', 'inconsistent'],
    ['{"id":null,"method":"update3","params":["data","x",{"T":{"u":5}}]}', 'inconsistent'],
    ['{"id":null,"method":"update2","params":["data",{}]}', 'protocol'],
    ['{"id":99,"result":{},"error":null}', 'protocol'],
    ['[]', 'protocol'],
    ['{"id":null,"method":"monitor_canceled","params":["data"]}', 'monitor-canceled'],
  ];
  for (const [text, cause] of wrong) {
    const before = the.client.status.reconnects[cause as 'closed'] ?? 0;
    the.server.raw(text);
    if (cause === 'closed') the.server.drop();
    await until(text, () => the.client.status.reconnects[cause as 'closed'] === before + 1);
    await synced(the);
    const since = requests(the, 'monitor_cond_since').at(-1)![3] as string;
    if (cause === 'inconsistent') assert.match(since, /^0{8}-0{4}-0{4}-0{4}-0{12}$/);
  }
  assert.equal(names(the), ['a']);
  assert.is(the.batches.length, 1, 'the same rows again are no change');
  the.client.close();
});

test('conditions: applied at once, kept over a reconnect, refused ones reported', async () => {
  const the = lab({ conditions: { T: [['name', '==', 'a']] } });
  the.server.transact(['a', 'b', 'c'].map((name, i) =>
    ({ table: 'T', uuid: uuid(i), row: row(name) })));
  await synced(the);
  assert.equal(names(the), ['a']);
  the.client.setConditions({ T: [['name', '==', 'b'], ['name', '==', 'c']] });
  assert.not(the.client.status.conditionsApplied);
  await until('applied', () => the.client.status.conditionsApplied);
  assert.equal(names(the), ['b', 'c']);
  the.server.drop();
  await until('gone', () => !the.client.status.connected);
  the.client.setConditions({ T: [['absent', '==', 'z']] });
  await synced(the);
  assert.equal(names(the), ['a', 'b', 'c'], 'an unknown column narrows nothing');
  the.client.setConditions({ T: [] });
  await until('none', () => the.client.status.conditionsApplied);
  assert.equal(names(the), []);
  the.client.close();
});

test('a change of conditions cut off by a disconnect is followed by a full load', async () => {
  const the = lab();
  the.server.transact([{ table: 'T', uuid: uuid(1), row: row('a') }]);
  await synced(the);
  the.server.silent = true;
  the.client.setConditions({ T: [['name', '==', 'a']] });
  await until('sent', () => requests(the, 'monitor_cond_change').length === 1);
  the.server.silent = false;
  the.server.drop();
  await until('gone', () => !the.client.status.connected);
  await synced(the);
  assert.match(requests(the, 'monitor_cond_since').at(-1)![3] as string, /^0+-/);
  assert.equal(names(the), ['a']);
  the.client.close();
});

test('a server that makes up a large answer is waited for', async () => {
  const the = lab({ probeIntervalMs: 20 });
  the.server.silencedBy = 'monitor_cond_since';
  await until('asked', () => the.server.silent);
  await new Promise((resolve) => { setTimeout(resolve, 200); });
  assert.equal(the.client.status.reconnects, {});
  assert.ok(the.client.status.connected);
  the.client.close();
});

test('a silent server is probed and left; several remotes are all tried', async () => {
  const tried: string[] = [];
  const server = new FakeServer({ database: 'DB', schema });
  const client = new OvsdbClient({
    remotes: parseRemotes('tcp:a:1,tcp:b:1,tcp:c:1').value, database: 'DB', tables,
    connect: (remote, events) => {
      tried.push(remote.text);
      return server.connect(remote, events);
    },
    onChanges: () => undefined, minBackoffMs: 5, probeIntervalMs: 30,
  });
  server.silent = true;
  await until('probe timeouts', () => (client.status.reconnects['probe-timeout'] ?? 0) >= 3);
  assert.is(new Set(tried.slice(0, 3)).size, 3);
  assert.ok(server.received.some((m) => m.method === 'echo'));
  server.silent = false;
  await until('sync', () => client.status.inSync);
  const before = client.status.reconnects['probe-timeout'];
  await new Promise((resolve) => { setTimeout(resolve, 200); });
  assert.is(client.status.reconnects['probe-timeout'], before, 'answers keep it alive');
  client.close();
});

const wireRow = fc.record({
  name: fc.constantFrom('a', 'b', 'c'), n: fc.nat(3),
  opt: fc.constantFrom(['set', []], 'x', 'y'),
  set: fc.uniqueArray(fc.constantFrom('p', 'q', 'r', 's')).map((atoms) =>
    atoms.length === 1 ? atoms[0] : ['set', atoms]),
  map: fc.uniqueArray(fc.tuple(fc.constantFrom('k', 'l', 'm'), fc.constantFrom('1', '2')),
    { selector: ([key]) => key }).map((pairs) => ['map', pairs]),
});
const step = fc.oneof(
  { weight: 6, arbitrary: fc.array(fc.tuple(fc.nat(5), fc.option(wireRow, { nil: undefined })),
    { minLength: 1, maxLength: 4 }) },
  { weight: 1, arbitrary: fc.constantFrom('drop', 'forget' as const) },
);

test('after any history of transactions and losses the replica is the database', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
    const the = lab({ minBackoffMs: 1 });
    the.server.chunk = 57;
    const seen = new Map<string, unknown>();
    let followed = 0;
    const follow = (): void => {
      for (const { changes } of the.batches.slice(followed)) {
        for (const c of changes) {
          assert.is(seen.get(c.uuid), c.old, 'old is what was last told');
          seen.set(c.uuid, c.new);
        }
      }
      followed = the.batches.length;
    };
    for (const one of steps) {
      if (one === 'drop') the.server.drop();
      else if (one === 'forget') the.server.forget();
      else {
        const last = new Map(one);
        the.server.transact([...last].map(([i, r]) => ({ table: 'T', uuid: uuid(i), row: r })));
      }
      await new Promise((resolve) => { setImmediate(resolve); });
    }
    await synced(the);
    const fresh = lab();
    for (const [id, r] of the.server.rows.get('T')!) fresh.server.rows.get('T')!.set(id, r);
    await synced(fresh);
    const plain = (l: Lab): unknown => [...l.client.replica.table('T')]
      .sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, r]) =>
        [id, { ...r, map: [...(r['map'] as Map<string, string>)].sort() }]);
    await until('equal', () => {
      try { assert.equal(plain(the), plain(fresh)); return true; } catch { return false; }
    });
    follow();
    assert.is([...seen.values()].filter((r) => r !== undefined).length,
      the.client.replica.table('T').size);
    the.client.close();
    fresh.client.close();
  }), { numRuns: 60, verbose: 1 });
});

test.run();
