/** What the verifier walks, against bpf/insn_baseline.txt: `program instructions` a line. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { packageRoot } from '../../base/package_root.js';
import { Dataplane, hook } from './dataplane.fixture.js';

/** The kernel refuses programs beyond a million; this leaves room to older kernels. */
const LIMIT = 300_000;
/** The count differs by kernel and compiler; more than this is news. */
const TOLERANCE = 1.25;

const baseline = new Map(readFileSync(join(packageRoot, 'bpf/insn_baseline.txt'), 'utf8')
  .split('\n').filter((line) => /^\w/.test(line))
  .map((line) => line.split(/\s+/) as [string, string])
  .map(([name, count]): [string, number] => [name, Number(count)]));

const test = suite('dataplane: verified instructions');

test(hook, () => {
  const plane = Dataplane.load();
  for (const { info } of [plane.forward, plane.tracer]) {
    const wanted = baseline.get(info.name);
    console.log(`${info.name}: ${info.verifiedInstructions} instructions, baseline ${wanted}`);
    assert.ok(wanted !== undefined, `${info.name} is in bpf/insn_baseline.txt`);
    assert.ok(info.verifiedInstructions < LIMIT);
    // kernels.lab.test.ts compares with the counts of that kernel.
    if (process.env['OVN_XDP_OTHER_KERNEL'] === '1') continue;
    assert.ok(info.verifiedInstructions < wanted * TOLERANCE,
      'write the new count to bpf/insn_baseline.txt if the growth is meant');
  }
  plane.close();
});

test.run();
