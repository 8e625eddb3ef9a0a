import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseTotals } from './totals.js';

const summary = (total: number, passed: number, skipped = 0): string =>
  `• •   (${passed} / ${total})\n\n  Total:     ${total}\n  Passed:    ${passed}\n`
  + `  Skipped:   ${skipped}\n  Duration:  1.00ms\n\n`;

test('passed and failed are those of the summary', () => {
  assert.equal(parseTotals(summary(5, 5), 0), { passed: 5, failed: 0, skipped: 0 });
  assert.equal(parseTotals(summary(5, 3, 1), 1), { passed: 3, failed: 2, skipped: 1 });
});

test('a process that dies or says nothing is a failure', () => {
  assert.is(parseTotals('', 0).failed, 1);
  assert.is(parseTotals('Segmentation fault', null).failed, 1);
  assert.is(parseTotals(summary(5, 5), 1).failed, 1);
  assert.is(parseTotals(summary(5, 5), null).failed, 1);
  assert.is(parseTotals(summary(0, 0), 0).failed, 1);
});

test.run();
