/**
 * The oldest kernel we support, in every run of the tests: each program passes its verifier, and
 * the dataplane does there what it does here. `npm run test:kernels` tries all kernels and more.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { lacksForVm } from './kernel_image.js';
import { parts, quickFloor, tableByKernel, type Outcome } from './kernel_matrix.js';

const lacks = lacksForVm();
if (lacks !== undefined) console.log(`SKIPPED: other kernels: ${lacks}`);
const run = lacks !== undefined && process.env['OVN_XDP_ALLOW_SKIP'] === '1' ? test.skip : test;

/** Both machines at once; the first test that asks starts them. */
let started: Promise<readonly PromiseSettledResult<Outcome>[]> | undefined;
async function outcomeOf(machine: 0 | 1): Promise<Outcome> {
  started ??= Promise.allSettled([parts.loads('6.1'), quickFloor('6.1')]);
  const settled = (await started)[machine]!;
  if (settled.status === 'rejected') throw settled.reason;
  return settled.value;
}

run('the verifier of 6.1 accepts every program', async () => {
  const { instructions, failed, notes, seconds } = await outcomeOf(0);
  console.log(tableByKernel(new Map([['6.1', instructions!]])).replace(/^/gm, '# '));
  console.log(`# ${seconds.toFixed(0)} s`);
  assert.is(failed, 0, notes.join('\n'));
});

run('the dataplane on 6.1', async () => {
  const { passed, failed, notes, seconds } = await outcomeOf(1);
  console.log(`# ${seconds.toFixed(0)} s`);
  assert.is(failed, 0, notes.join('\n'));
  assert.ok(passed > 0);
});

test.run();
