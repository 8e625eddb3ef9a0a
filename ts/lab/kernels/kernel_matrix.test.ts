import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { kernelNames } from './kernel_image.js';
import { choose, executed, jobsOf, newsOf, parseCounts, partNames, readBaseline, resultTable,
  tableByKernel, verified, type Outcome, type PartName } from './kernel_matrix.js';

const baseline = new Map([['one', new Map([['6.1', 100]])], ['two', new Map([['6.1', 40]])]]);
const news = (...lines: string[]) => newsOf(parseCounts(lines.join('\n')), '6.1', baseline);

test('a program that grew, vanished or is new is news', () => {
  assert.equal(news('one 125', 'two 1'), []);
  assert.match(news('one 126', 'two 40').join(), /^one: 126 instructions, 100 in/);
  assert.equal(news('one 100'), ['two: not counted']);
  assert.match(news('one 100', 'two 40', 'three 3').join(), /^three: 3, not in/);
  assert.equal(news('one refused: EACCES 5', 'two 40'), ['one: not counted']);
});

test('a kernel of which nothing is kept has no news', () => {
  assert.equal(newsOf(parseCounts('one 9999'), '6.12', baseline), []);
});

test('the checked-in counts: what the verifier walks is kept of all kernels', () => {
  for (const baseline of [verified, executed]) {
    const rows = readBaseline(baseline);
    assert.ok(rows.size > 0, baseline.file);
    for (const [name, counts] of rows) {
      if (baseline === verified) assert.equal([...counts.keys()], kernelNames, name);
      for (const count of counts.values()) assert.ok(count > 0, name);
    }
  }
});

test('a table of programs by kernels', () => {
  assert.is(tableByKernel(new Map([['6.1', new Map([['b', 2], ['a', 1]])],
    ['6.12', new Map([['b', 20]])]])).replaceAll(/ +/g, ' '),
  ' 6.1 6.12\na 1 -\nb 2 20');
});

test('kernels and parts by name', () => {
  assert.equal(choose([]), { kernels: kernelNames, parts: partNames, everywhere: false });
  assert.equal(choose(['6.1', 'loads']), { kernels: ['6.1'], parts: ['loads'], everywhere: true });
  assert.is(choose(['5.0']), undefined);
});

test('what no other kernel would tell more of runs once, unless it is asked for', () => {
  const jobs = (...names: string[]) => jobsOf(choose(names)!)
    .map(({ kernel, part }) => `${kernel} ${part}`);
  assert.equal(jobs('datapath'), ['6.1 datapath']);
  assert.equal(jobs('6.12', 'datapath'), ['6.12 datapath']);
  assert.is(jobs('loads').length, kernelNames.length);
  assert.is(new Set(jobs()).size, jobs().length);
  assert.ok(partNames.every((part) => jobs().some((job) => job.endsWith(` ${part}`))));
});

test('the table of results: what failed, and how long each took', () => {
  const outcome = (failed: number, seconds: number) => ({ passed: 1, failed, seconds, notes: [] });
  const on = (part: PartName, result: Outcome) => new Map([[part, result]]);
  assert.is(resultTable(new Map([['6.1', on('loads', outcome(0, 61.4))],
    ['6.12', on('floor', outcome(2, 9))]])).replaceAll(/ +/g, ' '),
  ' 6.1 6.12\nfloor - FAILED 9 s\nloads ok 61 s -');
});

test.run();
