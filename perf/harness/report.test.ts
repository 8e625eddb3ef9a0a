import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Figure } from './figure.js';
import { html, markdown, shortfalls, shown, summary } from './markdown.js';
import { plot } from './plots.js';
import { csvCell, load, save, trialsCsv, type Run } from './store.js';

const pairs = [{ ours: 300, base: 30 }, { ours: 330, base: 30 }, { ours: 360, base: 30 }];
const figure = (more: Partial<Figure>): Figure =>
  ({ name: 'walk', ours: 'walk', base: 'floor', unit: 'ns', pairs, ...more });
const run = (figures: readonly Figure[], notes: readonly string[] = []): Run => ({
  started: '2026-01-01T00:00:00.000Z', seconds: 1, command: 'npm run bench --', seed: 1,
  quick: false, machine: { cpu: 'one | two' },
  results: [{ bench: 'b', about: 'of <things>', seconds: 1, figures, notes, axis: 'how many' }] });
const missed = figure({ name: 'too slow', target: { of: 'ratio', is: 'at most', value: 5 } });

test('the first lines of a report are what is not reached, and what failed', () => {
  const page = markdown(run([figure({}), missed], ['FAILED: no root']), new Map());
  const [title, , first, second] = page.split('\n');
  assert.is(title, '# Performance of ovn-xdp');
  assert.is(first, '- Not reached: b, too slow: 11, wanted ratio at most 5.');
  assert.is(second, '- b: FAILED: no root');
  assert.equal(shortfalls(run([figure({})])), []);
});

test('a missed target has its profile beside it; one that is reached has none', () => {
  const [result] = run([missed]).results;
  const of = (figures: readonly Figure[]): string[] => shortfalls({ ...run([]),
    results: [{ ...result!, figures, profile: ['most of it in c()'] }] });
  assert.is(of([missed])[1], 'Where the time goes: b, most of it in c()');
  assert.equal(of([figure({})]), []);
});

test('a figure is the median of its ratios with the spread', () => {
  const page = markdown(run([figure({})]), new Map([['b', 'b.svg']]));
  assert.match(page, '| walk | 330 ns | 30 ns (floor) | 11 | 10 .. 12 | 10.5 .. 11.5 | 3 |');
  assert.match(page, '![b](b.svg)');
  assert.match(page, '| cpu | one \\| two |');
});

test('the page for a browser has the same text, escaped, and the plots', () => {
  const page = html(markdown(run([missed]), new Map([['b', 'b.svg']])), new Map([['b', '<svg/>']]));
  assert.match(page, '<svg/>');
  assert.match(page, 'of &lt;things&gt;');
  assert.match(page, '<b>not reached</b>');
  assert.match(page, '<td>one | two</td>');
});

test('every trial is a line of CSV, and a run survives its file', () => {
  const lines = trialsCsv(run([figure({ name: 'a, "b"' })])).trimEnd().split('\n');
  assert.is(lines.length, 4);
  assert.is(lines[2], 'b,"a, ""b""",1,walk,floor,330,30,ns,11,,');
  assert.is(csvCell('plain'), 'plain');
  const dir = mkdtempSync(join(tmpdir(), 'ovn-xdp-perf-'));
  try {
    assert.throws(() => load(dir), /npm run bench/);
    save(run([missed]), dir);
    assert.equal(load(dir), run([missed]));
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('bars and sweeps are drawn; without figures nothing is', async () => {
  const bars = await plot(run([missed]).results[0]!);
  assert.match(bars ?? '', /^<svg[\s\S]*too slow/);
  const sweep = await plot(run([0, 10, 100].map((x) => figure({ x, series: 's' }))).results[0]!);
  assert.match(sweep ?? '', 'how many');
  assert.is(await plot(run([]).results[0]!), undefined);
});

test('the summary has the figures with a target, and what is missed', () => {
  const text = summary(run([figure({ name: 'without target' }), missed], ['as it is']));
  assert.match(text, '- Not reached: b, too slow');
  assert.match(text, '| b | too slow | 330 ns |');
  assert.match(text, '- b: as it is');
  assert.not.match(text, 'without target');
});

test('numbers are shown with three digits', () => {
  assert.equal([0.04567, 11, 1234.5, 1234567, NaN].map(shown),
    ['0.0457', '11', '1,235', '1,234,567', 'none']);
});

test.run();
