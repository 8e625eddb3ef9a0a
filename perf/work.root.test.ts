/**
 * The work for each packet of the recorded networks against perf/baselines/work.json: exact,
 * because nothing in it depends on time. OVN_XDP_WRITE_BASELINES=1 writes the file anew; the
 * commit that does so says why.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { packageRoot } from '#ts/base/package_root.js';
import { stayOnOneCpu } from '#ts/lab/exec.js';
import { Tables } from '#ts/lab/tables.js';
import { compileGateway, gatewayPackets } from './harness/gateway_scene.js';
import { packetOps, type PacketOps } from './harness/map_ops.js';
import { comeTo, compileScene, packets, type Compiled, type Packet } from './harness/scenes.js';
import { workOf, type Work } from './harness/work.js';

const file = join(packageRoot, 'perf/baselines/work.json');
const write = process.env['OVN_XDP_WRITE_BASELINES'] === '1';
/** `maps`: lookups, updates and deletions. */
type Counted = Work & { readonly maps: PacketOps };

async function counted(scene: Compiled, list: readonly Packet[]):
  Promise<(readonly [string, Counted])[]> {
  const ops = await packetOps(scene, list), tables = Tables.load();
  try {
    await tables.apply(scene.desired);
    tables.trackConnections();
    return list.map((packet) => {
      comeTo(tables, scene, packet, 'first');
      const traced = tables.trace(packet.frame('first', scene.rows));
      return [packet.name, { ...workOf(traced), maps: ops.get(packet.name)! }];
    });
  } finally {
    tables.close();
  }
}

// Each CPU finds out what a device is by itself, too.
stayOnOneCpu();
const all = [...packets, ...gatewayPackets];
const work: Readonly<Record<string, Counted>> = Object.fromEntries([
  ...await counted(compileScene(), packets), ...await counted(compileGateway(), gatewayPackets)]);

test('work of each packet, operations on maps too, is that of the baseline', () => {
  if (write) {
    const lines = Object.entries(work).map(([name, value]) =>
      `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`);
    writeFileSync(file, `{\n${lines.join(',\n')}\n}\n`);
  }
  const baseline = JSON.parse(readFileSync(file, 'utf8')) as Record<string, Counted>;
  assert.equal(work, baseline, 'more work needs a reason, less a new baseline: '
    + 'OVN_XDP_WRITE_BASELINES=1');
});

test('packets of the networks meet what they are there for', () => {
  for (const { name, verdict } of all) assert.is(work[name]?.verdict, verdict, name);
  assert.ok((work['routed, IPv4']?.steps ?? 0) > (work['switch, IPv4']?.steps ?? 0));
  assert.is(work['punt, VLAN tag']?.lookups, 0);
});

test('a connection is made by its first packet alone, and nothing by a cached one', () => {
  for (const name of ['tracked, encap, IPv4', 'SNAT, IPv4', 'DNAT, IPv4']) {
    const maps = work[name]?.maps;
    assert.ok(maps && maps.first[1] > 0, `${name}: an entry is made`);
    assert.is(maps?.walk[1], 0, `${name}: and only once`);
  }
  for (const { name } of all) {
    const cached = work[name]?.maps.cached;
    if (cached) assert.equal(cached.slice(1), [0, 0], `${name}: nothing is written`);
  }
});

test.run();
