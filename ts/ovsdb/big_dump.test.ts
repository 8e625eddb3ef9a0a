import { monitorEventLoopDelay } from 'node:perf_hooks';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { OvsdbClient } from './client.js';
import { FakeServer } from './fake_server.js';
import { parseRemotes } from './remote.js';

const test = suite('big dump');
const ROWS = 165_000;

const columns = {
  pipeline: 'string', table_id: 'integer', match: 'string', actions: 'string',
  external_ids: 'map',
} as const;
const schema = { tables: { Logical_Flow: { columns: {
  pipeline: { type: 'string' }, table_id: { type: 'integer' }, match: { type: 'string' },
  actions: { type: 'string' },
  external_ids: { type: { key: 'string', value: 'string', min: 0, max: 'unlimited' } },
} } } };

const hex = (i: number): string => (i * 2654435761 % 2 ** 32).toString(16).padStart(8, '0');
const uuid = (i: number): string => `${hex(i)}-0000-4000-8000-${String(i).padStart(12, '0')}`;

/** The result of monitor_cond_since with ROWS logical flows, as ovsdb-server writes it. */
function dump(): Buffer {
  const rows: string[] = [];
  for (let i = 0; i < ROWS; i += 1) {
    rows.push(`"${uuid(i)}":{"initial":{"pipeline":"ingress","table_id":${i % 30},`
      + `"match":"inport == \\"${uuid(i)}\\" && ip4 && ip4.dst == 10.0.${i % 250}.0/24 && `
      + `${'tcp.dst == 80 && '.repeat(4)}eth.src == 02:00:00:00:00:01",`
      + '"actions":"reg0[7] = 1; next;","external_ids":["map",[["source","northd.c:6174"],'
      + '["stage-name","ls_in_acl_eval"]]]}}');
  }
  return Buffer.from(`"result":[false,"${uuid(1)}",{"Logical_Flow":{${rows.join(',')}}}]`);
}

test('a 60 MB dump: the loop stays free, and an echo behind it is answered', async () => {
  const server = new FakeServer({ database: 'DB', schema });
  const bytes = dump();
  assert.ok(bytes.length > 60e6, `${bytes.length} bytes`);
  let sentAt = 0;
  server.cannedDump = (id) => {
    sentAt = performance.now();
    const echo = Buffer.from('{"id":"probe","method":"echo","params":[]}');
    setImmediate(() => { server.raw(echo); });
    return [Buffer.from(`{"id":${String(id)},`), bytes, Buffer.from(',"error":null}')];
  };
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const client = new OvsdbClient({
    remotes: parseRemotes('tcp:fake:1').value, database: 'DB',
    tables: { Logical_Flow: columns }, connect: server.connect, onChanges: () => undefined,
  });
  let echoedAt = 0;
  delay.enable();
  const end = performance.now() + 60_000;
  // Processor time of a turn of the loop, all threads: on a busy machine a turn's wall
  // time tells of other programs.
  let longestCpu = 0;
  let cpu = process.cpuUsage();
  while (!client.status.inSync && performance.now() < end) {
    await new Promise((resolve) => { setImmediate(resolve); });
    const spent = process.cpuUsage(cpu);
    cpu = process.cpuUsage();
    longestCpu = Math.max(longestCpu, (spent.user + spent.system) / 1000);
    const echo = echoedAt === 0 && server.received.some((m) => m.id === 'probe');
    if (echo) echoedAt = performance.now();
  }
  delay.disable();
  const syncedAt = performance.now();
  assert.is(client.replica.table('Logical_Flow').size, ROWS);
  assert.ok(echoedAt > 0 && echoedAt < syncedAt, 'echo is answered before the rows are worked in');
  const longest = delay.max / 1e6;
  const heap = process.memoryUsage();
  console.log(`\n  ${(bytes.length / 1e6).toFixed(1)} MB, ${ROWS} rows: longest block `
    + `${longest.toFixed(0)} ms (processor ${longestCpu.toFixed(0)} ms; 99%: `
    + `${(delay.percentile(99) / 1e6).toFixed(0)}), echo after `
    + `${(echoedAt - sentAt).toFixed(0)} ms, in sync after ${(syncedAt - sentAt).toFixed(0)} ms, `
    + `RSS ${(heap.rss / 1e6).toFixed(0)} MB`);
  // The goal is 50 ms (docs/decisions/001); garbage collection is granted some more.
  assert.ok(longestCpu < 75, `a turn of the loop took ${longestCpu} ms`);
  client.close();
});

test.run();
