/** Every benchmark runs, small and short, and a report comes of it; figures are not judged. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { run as runCommand } from '#ts/lab/exec.js';
import { removeAtExit } from '#ts/lab/run_dir.js';
import { benches } from './benches/all.js';
import { LabObject } from './harness/lab_object.js';
import { markdown } from './harness/markdown.js';
import { measure, type Path } from './harness/path.js';
import { failures, runBenches } from './harness/run_benches.js';
import { searchRate } from './pktgen/search.js';

test('all benchmarks, quickly', async () => {
  const result = await runBenches(benches, { quick: true, seed: 1, rounds: 1, command: 'test',
    progress: () => undefined });
  assert.is(failures(result).join('\n'), '');
  for (const { bench, figures, notes } of result.results) {
    console.log(`# ${bench}: ${figures.length} figures`);
    assert.ok(figures.length > 0 || notes.length > 0, bench);
    for (const { name, pairs } of figures) {
      assert.ok(pairs.length > 0 && pairs.every(({ ours, base }) => ours > 0 && base > 0), name);
    }
  }
  assert.match(markdown(result, new Map()), 'A smoke run');
});

test('the rate search on a real path: what the generator cannot send is not claimed', async () => {
  const id = `q${process.pid.toString(36)}`;
  const [near, far] = [`ox-${id}-near`, `ox-${id}-far`];
  removeAtExit(id);
  for (const netns of [near, far]) runCommand(['ip', 'netns', 'add', netns]);
  runCommand(['ip', '-n', near, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1', 'netns',
    far]);
  runCommand(['ip', '-n', near, 'link', 'set', 'v0', 'up']);
  runCommand(['ip', '-n', far, 'link', 'set', 'v1', 'up']);
  const programs = LabObject.load(), link = programs.attach('receive', far, 'v1');
  const path: Path = { name: 'veth', source: { netns: near, device: 'v0' },
    sink: { netns: far, device: 'v1' }, frame: new Uint8Array(60).fill(2, 0, 12), sportAt: 34 };
  try {
    const found = await searchRate({ loss: 0.05, min: 100, max: 20_000_000, resolution: 0.5,
      trialSeconds: 0.2, verifySeconds: 0.3 }, async (pps, seconds) =>
      ({ offered: pps, ...await measure(programs, path, { seconds, flows: 1, offer: pps }) }));
    assert.match(found.warning ?? '', 'the generator sent');
    assert.ok(found.rate < 20_000_000);
    assert.ok(found.trials.some(({ received }) => received > 0), 'frames arrived');
  } finally {
    link.close();
    programs.close();
    for (const netns of [near, far]) runCommand(['ip', 'netns', 'del', netns]);
  }
});

test.run();
