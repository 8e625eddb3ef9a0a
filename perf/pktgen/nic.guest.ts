/**
 * `ovn-xdp bench nic` for real, where the kernel has pktgen: the device under test is a
 * namespace that carries so many packets per second and no more, so that the right answer is
 * known. Emulated NICs are veths.
 */
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { packageRoot } from '#ts/base/package_root.js';
import { run, runAsync } from '#ts/lab/exec.js';

const dut = 'bench-dut';
const [capacity, burst] = [3000, 150];
const dstMac = '02:00:00:00:0d:01';

const tc = (...args: readonly string[]): string => run(['tc', '-n', dut, ...args]);
/** From d0 to d1, `pps` of them. */
function carry(pps: number): void {
  tc('filter', 'replace', 'dev', 'd0', 'ingress', 'prio', '1', 'handle', '1', 'matchall', 'action',
    'police', 'pkts_rate', `${pps}`, 'pkts_burst', `${burst}`, 'conform-exceed', 'drop/pipe',
    'action', 'mirred', 'egress', 'redirect', 'dev', 'd1');
}

test.before(() => {
  run(['modprobe', '-a', 'pktgen', 'cls_matchall', 'act_police', 'act_mirred']);
  run(['ip', 'netns', 'add', dut]);
  for (const [ours, theirs] of [['tx0', 'd0'], ['rx0', 'd1']] as const) {
    run(['ip', 'link', 'add', ours, 'type', 'veth', 'peer', 'name', theirs, 'netns', dut]);
    run(['ip', 'link', 'set', ours, 'up']);
    run(['ip', '-n', dut, 'link', 'set', theirs, 'up']);
  }
  tc('qdisc', 'add', 'dev', 'd0', 'clsact');
  carry(capacity);
});
test.after(() => {
  run(['ip', 'netns', 'del', dut]);
});

interface Result { readonly size: number; readonly rate: number; readonly verified: boolean;
  readonly warning?: string; readonly trials: readonly unknown[] }
async function bench(...options: readonly string[]):
  Promise<{ readonly status: number; readonly results: readonly Result[]; readonly text: string }> {
  const { status, stdout, stderr } = await runAsync([process.execPath,
    join(packageRoot, 'dist/cli/main.js'), 'bench', 'nic', '--tx', 'tx0', '--rx', 'rx0',
    '--dst-mac', dstMac, '--seconds', '1', '--verify-seconds', '2', '--min', '200',
    '--json', ...options], { timeoutMs: 300_000 });
  const results = status === 0 || stdout !== ''
    ? (JSON.parse(stdout) as { results: readonly Result[] }).results : [];
  for (const { size, rate, trials, warning } of results) {
    console.log(`# ${size} bytes ${options.join(' ')}: ${rate.toFixed(0)} packets/s in `
      + `${trials.length} trials${warning === undefined ? '' : `, ${warning}`}`);
  }
  return { status, results, text: stdout + stderr };
}
const four = ['--src', '10.9.0.1', '--dst', '10.9.0.2'];
const six = ['--src', 'fd00:9::1', '--dst', 'fd00:9::2'];
/** Short trials find more: the burst that the policer lets through. */
const within = (rate: number, most: number): boolean =>
  rate > capacity * 0.8 && rate < most + burst * 1.2;

test('the highest rate without loss is what the device carries, and is verified', async () => {
  const { status, results, text } = await bench(...four, '--gbit', '0.01');
  assert.is(status, 0, text);
  assert.is(results.length, 1);
  assert.ok(results[0]!.verified);
  assert.ok(within(results[0]!.rate, capacity), text);
});

test('partial drop rate: as much more as may be lost; many flows, over IPv6', async () => {
  const { status, results, text } = await bench(...six, '--gbit', '0.01', '--loss', '0.2',
    '--flows', '1000', '--size', '200');
  assert.is(status, 0, text);
  assert.ok(within(results[0]!.rate, capacity / 0.8) && results[0]!.rate > capacity * 1.05, text);
});

test('a generator that is too slow says so', async () => {
  const { results, text } = await bench(...four, '--gbit', '100', '--size', '64');
  assert.match(results[0]?.warning ?? '', /the generator sent \d+ of \d+ packets/, text);
});

test('a device that carries nothing has no rate', async () => {
  carry(1);
  const { status, results, text } = await bench(...four, '--gbit', '0.01');
  carry(capacity);
  assert.is(status, 1, text);
  assert.equal([results[0]!.rate, results[0]!.verified], [0, false]);
});

test.run();
