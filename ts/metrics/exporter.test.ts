import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Exporter, parseAddressPort, serveMetrics } from './exporter.js';
import { observed, prefix, scraped, type Snapshot } from './names.js';

const snapshot: Snapshot = {
  version: '0.1.0', abi: 1,
  forwarded: { packets: 5, bytes: 500 }, dropped: { packets: 2, bytes: 200 },
  punted: { packets: 1, bytes: 100 },
  drops: new Map([['flow', { packets: 2, bytes: 200 }], ['loopback', { packets: 0, bytes: 0 }]]),
  punts: new Map([['multicast', { packets: 1, bytes: 100 }]]),
  lflows: new Map([['compiled', 10], ['unsupported', 1]]),
  unsupported: [{ stage: 'ls_in_arp_rsp', reason: 'CONTROLLER', count: 1 }],
  maps: [{ map: 'rules_s', entries: 5, capacity: 10 }], refusedStages: new Map([['tuples', 1]]),
  generation: 7, loadedTimestampSeconds: 1e9, nbCfg: 3, sbConnected: true,
  sbReconnects: new Map([['closed', 2]]), sbSkippedRows: 0, ready: true, enabled: true,
  applyFailures: 0, ports: [{ hook: 'xdp', mode: 'native', count: 2 }],
  tunnels: new Map([['ready', 1]]),
  cache: { hits: 6, walks: new Map([['missed', 2]]), stored: 1, unstorable: 1 },
  conntrack: { mode: 'on', entries: 10, capacity: 100, watermark: 90, foreignEntries: 3,
    inserts: 12, failures: new Map([['table_full', 0], ['watermark', 4]]), races: 1, foreign: 5,
    ownedPunts: 0, givenUp: 0, deleted: 2,
    affinity: { sessions: 2, touched: 9 },
    fragments: { held: 0, handedIn: new Map([['first_seen', 3]]), lost: 0 },
    pools: [{ address: '192.0.2.1', taken: 5, failed: 0 },
      { address: '192.0.2.2', taken: 3, failed: 2 }] },
};

test('every metric is there, with the snapshot\'s numbers', async () => {
  const exporter = new Exporter(() => snapshot);
  exporter.observe('compile', 0.02);
  const text = await exporter.registry.metrics();
  for (const { name } of [...scraped, ...Object.values(observed)]) {
    assert.match(text, `# TYPE ${prefix}${name} `);
  }
  for (const line of ['ovn_xdp_rx_packets_total 8', 'ovn_xdp_rx_bytes_total 800',
    'ovn_xdp_drops_total{reason="loopback"} 0', 'ovn_xdp_punts_total{reason="multicast"} 1',
    'ovn_xdp_map_pressure_ratio{map="rules_s"} 0.5', 'ovn_xdp_sb_connected 1',
    'ovn_xdp_conntrack_mode{mode="on"} 1', 'ovn_xdp_conntrack_mode{mode="drain"} 0',
    'ovn_xdp_conntrack_insert_failures_total{reason="watermark"} 4',
    'ovn_xdp_cache_hits_total 6', 'ovn_xdp_cache_walks_total{cause="missed"} 2',
    'ovn_xdp_nat_ports_taken_total 8', 'ovn_xdp_nat_port_failures_total{address="192.0.2.2"} 2',
    'ovn_xdp_conntrack_entries 10', 'ovn_xdp_conntrack_capacity 100',
    'ovn_xdp_compile_duration_seconds_bucket{le="0.03"} 1']) {
    assert.ok(text.includes(`${line}\n`), line);
  }
});

test('one reading serves a second, and no vanished label stays', async () => {
  let now = 0, reads = 0;
  const exporter = new Exporter(() => {
    reads += 1;
    return { ...snapshot, unsupported: reads === 1 ? snapshot.unsupported : [] };
  }, () => now);
  const lines = async (): Promise<string[]> =>
    (await exporter.registry.metrics()).split('\n').filter((line) =>
      line.startsWith('ovn_xdp_unsupported_lflows{'));
  assert.is((await lines()).length, 1);
  now = 999;
  await lines();
  assert.is(reads, 1);
  now = 1000;
  assert.is((await lines()).length, 0);
  assert.is(reads, 2);
});

test('addresses', () => {
  assert.equal(parseAddressPort('127.0.0.1:9476'), { host: '127.0.0.1', port: 9476 });
  assert.equal(parseAddressPort('[::1]:1'), { host: '::1', port: 1 });
  assert.equal(parseAddressPort(':80'), { host: undefined, port: 80 });
  for (const bad of ['', '9476', 'x:', 'x:65536', '::1:80', 'http://x:80']) {
    assert.is(parseAddressPort(bad), undefined, bad);
  }
});

test('only /metrics is served, and a failing reading is an error of that scrape', async () => {
  let broken = false;
  const exporter = new Exporter(() => {
    if (broken) throw new Error('no map');
    return snapshot;
  }, () => Number(broken) * 5000);
  const server = await serveMetrics(exporter.registry, '127.0.0.1', 0);
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const good = await fetch(`${base}/metrics?x=1`);
    assert.is(good.status, 200);
    assert.match(good.headers.get('content-type') ?? '', 'text/plain; version=0.0.4');
    assert.is((await fetch(`${base}/`)).status, 404);
    assert.is((await fetch(`${base}/metrics`, { method: 'POST' })).status, 404);
    broken = true;
    const bad = await fetch(`${base}/metrics`);
    assert.is(bad.status, 500);
    assert.match(await bad.text(), 'no map');
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

if (existsSync('/usr/bin/promtool')) {
  test('promtool has nothing to say', async () => {
    const exporter = new Exporter(() => snapshot);
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'],
      { input: await exporter.registry.metrics(), encoding: 'utf8' });
    assert.is(`${stdout}${stderr}`, '');
    assert.is(status, 0);
  });
} else {
  console.log('  SKIPPED: promtool is not installed');
}

test.run();
