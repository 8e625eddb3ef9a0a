/**
 * The work for each packet of the recorded network against perf/baselines/work.json: exact,
 * because nothing in it depends on time. OVN_XDP_WRITE_BASELINES=1 writes the file anew; the
 * commit that does so says why.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { packageRoot } from '#ts/base/package_root.js';
import { compileScene, packets } from './harness/scenes.js';
import { Tables } from '#ts/lab/tables.js';
import { workOf, type Work } from './harness/work.js';

const file = join(packageRoot, 'perf/baselines/work.json');
const write = process.env['OVN_XDP_WRITE_BASELINES'] === '1';

async function counted(): Promise<Record<string, Work>> {
  const scene = compileScene(), tables = Tables.load();
  try {
    await tables.apply(scene.desired);
    tables.trackConnections();
    return Object.fromEntries(packets.map((packet) =>
      [packet.name, workOf(tables, scene, packet)]));
  } finally {
    tables.close();
  }
}

const work = await counted();

test('stages, comparisons, tuples and ops of each packet are those of the baseline', () => {
  if (write) {
    const lines = Object.entries(work).map(([name, value]) =>
      `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`);
    writeFileSync(file, `{\n${lines.join(',\n')}\n}\n`);
  }
  const baseline = JSON.parse(readFileSync(file, 'utf8')) as Record<string, Work>;
  assert.equal(work, baseline, 'more work needs a reason, less a new baseline: '
    + 'OVN_XDP_WRITE_BASELINES=1');
});

test('packets of the network meet what they are there for', () => {
  for (const { name, verdict } of packets) assert.is(work[name]?.verdict, verdict, name);
  assert.ok((work['routed, IPv4']?.steps ?? 0) > (work['switch, IPv4']?.steps ?? 0));
  assert.is(work['punt, VLAN tag']?.lookups, 0);
});

test.run();
