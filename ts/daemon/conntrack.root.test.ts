/** Connections on real maps and with the real collector; OVS is a socket that answers. */
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { conn, CONN_FROM_B, ctControl, tcpState } from '../abi/generated.js';
import { setLogSink } from '../base/log.js';
import { monotonicMs, type Connection } from '../conntrack/entry.js';
import { ours, parseFilter, type Filter } from '../conntrack/filter.js';
import { connectionCount, connections, expire, flush, foreignCount, mapOf, readCtControl,
  readCtStats } from '../conntrack/table.js';
import { canonical, keyBytes, noKey, type Tuple } from '../conntrack/tuple.js';
import { until } from '../lab/exec.js';
import { u32Bytes } from '../libbpf/map.js';
import type { LocalChassis } from '../vswitch/local.js';
import { Conntrack, restMs } from './conntrack.js';
import { listen } from './control_socket.js';
import { loadDataplane, removeOtherSets, type Dataplane } from './dataplane.js';
import { ZoneOwners } from './zones.js';

setLogSink(() => {});
let pinDir = '', ovsDir = '';
let dataplane: Dataplane;
let ovs: Server;
let dump: () => string = () => '';

test.before(async () => {
  mkdirSync('/sys/fs/bpf', { recursive: true });
  pinDir = mkdtempSync('/sys/fs/bpf/ovn-xdp-test-');
  ovsDir = mkdtempSync(join(tmpdir(), 'ovn-xdp-ovs-'));
  dataplane = loadDataplane(pinDir, { connections: 65_536 });
  ovs = await listen(join(ovsDir, 'ovs-vswitchd.1.ctl'), {
    'dpctl/dump-dps': { usage: '', args: [0, 0], run: () => 'netdev@ovs-netdev\n' },
    'dpctl/dump-conntrack': { usage: '', args: [1, 1], run: () => dump() },
  });
});
test.after(() => {
  ovs.close();
  dataplane.close();
  removeOtherSets(pinDir);
  if (existsSync(pinDir)) rmdirSync(pinDir);
  rmSync(ovsDir, { recursive: true });
});

const collector = (more: { ovsDb?: string; wake?: () => void } = {}): Conntrack =>
  new Conntrack({ maps: dataplane.maps, collect: dataplane.ct.get('ct_collect')!,
    expire: dataplane.ct.get('ct_expire')!, ovsDb: `unix:${ovsDir}/db.sock`,
    during: (change) => { change(); }, wake: () => {}, ...more });

const tuple = (n: number): Tuple => ({ family: 4, proto: 6, src: [0, 0, 0, 0x0a000000 + n],
  dst: [0, 0, 0, 0x0b000001], sport: 1000, dport: 80 });

/** As the programs would have made them. */
function insert(count: number, zone: number, lifeMs = 100_000, created = 7n): void {
  const keys: Uint8Array[] = [], values: Uint8Array[] = [];
  for (let n = 0; n < count; n += 1) {
    const { key, fromB } = canonical(tuple(n), zone);
    keys.push(keyBytes(key));
    const life = BigInt(monotonicMs() + lifeMs) << 16n |
      BigInt(tcpState.TCPS_ESTABLISHED * 17 + (fromB ? CONN_FROM_B : 0));
    values.push(conn.toBytes({ life, created, packets: [1n, 1n], bytes: [1n, 1n], mark: 0,
      label: [], twin: noKey }));
  }
  mapOf(dataplane.maps, 'conns').updateBatch(Buffer.concat(keys), Buffer.concat(values), count);
  const total = new BigInt64Array([BigInt(connectionCount(dataplane.maps) + count)]);
  mapOf(dataplane.maps, 'conn_count').update(u32Bytes(0), new Uint8Array(total.buffer));
}

async function list(filter: Filter = ours): Promise<Connection[]> {
  const all: Connection[] = [];
  for await (const some of connections(dataplane.maps, filter)) all.push(...some);
  return all;
}

const collected = (): Promise<unknown> => until('the collector to delete all', 30_000,
  () => connectionCount(dataplane.maps) === 0);

test('a new table observes, learns what OVS tracks, then takes new connections', async () => {
  assert.is(readCtControl(dataplane.maps).mode, 0);
  dump = () => { throw new Error('not yet'); };
  const ct = collector();
  assert.is(ct.mode, 'observe');
  ct.takeOver();
  await until('the problem', 5000, () => ct.status().problem.includes('not yet'));
  assert.is(ct.mode, 'observe', 'without OVS\'s answer nothing is ours');
  dump = () => Array.from({ length: 10_000 }, (_, n) =>
    `udp,orig=(src=10.0.${n >> 8}.${n & 255},dst=11.0.0.1,sport=5,dport=53),` +
    `reply=(src=11.0.0.1,dst=10.0.${n >> 8}.${n & 255},sport=53,dport=5),zone=4\n`).join('');
  await until('mode on', 10_000, () => ct.mode === 'on');
  assert.is(ct.status().problem, '');
  assert.is(await foreignCount(dataplane.maps), 10_000);
  const { value } = parseFilter({ owner: 'foreign', src: '10.0.3.7' });
  assert.equal((await list(value)).map(({ orig }) => [orig.sport, orig.dport]), [[5, 53]]);
  await ct.close();
  const next = collector();
  assert.is(next.mode, 'on', 'the mode outlives the agent');
  dump = () => { throw new Error('asked again'); };
  next.takeOver();
  assert.is(next.mode, 'on');
  next.observe();
  assert.is(next.mode, 'observe');
  await next.close();
});

test('more connections of OVS than fit are left to it', async () => {
  dump = () => Array.from({ length: 132_000 }, (_, n) =>
    `udp,orig=(src=10.${n >> 16}.${n >> 8 & 255}.${n & 255},dst=11.0.0.1,sport=5,dport=53),` +
    `reply=(src=11.0.0.1,dst=10.${n >> 16}.${n >> 8 & 255}.${n & 255},sport=53,dport=5)\n`)
    .join('');
  const ct = collector();
  ct.takeOver();
  await until('the problem', 20_000, () => ct.status().problem.includes('more than 131072'));
  assert.is(ct.mode, 'observe');
  await ct.close();
  const all = parseFilter({ owner: 'foreign' }).value;
  assert.ok(await flush(dataplane.maps, dataplane.ct.get('ct_expire')!, all) > 100_000);
  assert.is(await foreignCount(dataplane.maps), 0);
});

test('settings are in the table at once', async () => {
  const ct = collector();
  ct.configure(new Map([['ct-timeout-udp', '33'], ['ct-capacity', '1000']]), true);
  assert.is(readCtControl(dataplane.maps).timeouts[6], 33);
  assert.is(readCtControl(dataplane.maps).kernel, 1);
  assert.equal([ct.status().capacity, ct.status().watermark], [1000, 900]);
  ct.configure(new Map(), false);
  assert.is(readCtControl(dataplane.maps).timeouts[6], 30);
  assert.is(ct.status().capacity, 65_536);
  await ct.close();
});

test('flush ends what matches, and the collector deletes it', async () => {
  insert(30_000, 4);
  insert(100, 5);
  assert.is((await list()).length, 30_100);
  const program = dataplane.ct.get('ct_expire')!;
  const { key } = canonical(tuple(1), 4);
  assert.not(expire(program, key, 8n), 'another connection of that tuple by now');
  assert.ok(expire(program, key, 7n));
  assert.not(expire(program, canonical(tuple(1), 99).key, 7n));
  assert.is(await flush(dataplane.maps, program, { ...ours, zone: 4 }), 29_999);
  assert.equal((await list()).map(({ zone }) => zone), Array(100).fill(5));
  assert.is(connectionCount(dataplane.maps), 30_100, 'deletion is the collector\'s');
  const ct = collector();
  await until('zone 4 to be deleted', 30_000, () => ct.stats().get('deleted') === 30_000);
  assert.is(ct.entries, 100);
  assert.is(await flush(dataplane.maps, program, ours), 100);
  await collected();
  await ct.close();
});

test('drained means: told so, and none is left', async () => {
  insert(10, 6, 1500);
  let woken = 0;
  const ct = collector({ wake: () => { woken += 1; } });
  assert.not(ct.drained);
  ct.drain();
  assert.not(ct.drained);
  await until('the end of the last', 10_000, () => ct.drained);
  assert.ok(woken >= 2, 'a pass is wanted then');
  await ct.close();
  const next = collector();
  assert.ok(next.drained);
  dump = () => '';
  next.undrain();
  next.takeOver();
  await until('mode on', 5000, () => next.mode === 'on');
  await next.close();
});

const here = (zones: Readonly<Record<string, number>>, bridge = true): LocalChassis =>
  ({ integration_bridge: 'br-int', ct_zones: new Map(Object.entries(zones)),
    bridges: new Map(bridge ? [['br-int', { name: 'br-int', datapath_type: '', ports: [] }]] : []),
  }) as unknown as LocalChassis;

test('a zone that changes hands is withheld until its connections have ended', () => {
  const first = new ZoneOwners(dataplane.maps);
  const one = here({ a: 7, b: 8 });
  assert.is(first.usable(one), one);
  assert.is(first.stale.size, 0);
  // Another agent, later.
  const owners = new ZoneOwners(dataplane.maps);
  assert.is(owners.usable(one), one);
  const moved = here({ b: 8, c: 7, d: 9 });
  const usable = owners.usable(moved);
  assert.equal([...usable.ct_zones], [['b', 8], ['d', 9]]);
  assert.equal([...owners.stale], [7]);
  assert.is(owners.usable(moved), usable, 'nothing is compiled for nothing');
  owners.settle([7]);
  assert.is(owners.usable(moved), moved);
  assert.is(owners.stale.size, 0);
  const gone = here({ b: 8, c: 7 });
  assert.is(owners.usable(gone), gone, 'nobody waits for zone 9');
  assert.equal([...owners.stale], [9]);
  owners.settle([9]);
  assert.is(owners.usable(here({}, false)).ct_zones.size, 0);
  assert.is(owners.stale.size, 0, 'a missing bridge says nothing about zones');
  owners.usable(here({ b: 8, c: 7, e: 8 }));
  assert.equal([...owners.stale], [8], 'sharing is a change, too');
});

test('the collector rests less the fuller the table, and never hogs a CPU', () => {
  assert.equal([restMs(0, 1), restMs(0.5, 1), restMs(1, 1), restMs(2, 1)],
    [10_000, 5000, 1000, 1000]);
  assert.is(restMs(1, 500), 4500);
  assert.is(restMs(1, 60_000), 60_000);
});

test('statistics are sums over CPUs', () => {
  assert.equal([...readCtStats(dataplane.maps).keys()],
    ['created', 'revived', 'failed', 'races', 'foreign', 'owned_punts', 'given_up']);
  assert.is(ctControl.size, mapOf(dataplane.maps, 'ct_control').info.valueSize);
});

test.run();
