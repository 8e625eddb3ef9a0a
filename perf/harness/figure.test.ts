import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inTurn, quantile, ratios, reached, spread, type Figure } from './figure.js';

const figure = (pairs: Figure['pairs'], target?: Figure['target']): Figure =>
  ({ name: 'f', ours: 'a', base: 'b', unit: 'ns', pairs, ...target ? { target } : {} });

test('spread: median, extremes and quartiles, in any order', () => {
  assert.equal(spread([5, 1, 4, 2, 3]), { median: 3, min: 1, max: 5, q1: 2, q3: 4 });
  assert.is(quantile([1, 2], 0.5), 1.5);
  assert.is(spread([7]).q3, 7);
  assert.ok(Number.isNaN(spread([]).median));
});

test('a ratio is made pair by pair, not of two medians', () => {
  const f = figure([{ ours: 2, base: 1 }, { ours: 30, base: 10 }, { ours: 8, base: 2 }]);
  assert.equal(ratios(f), [2, 3, 4]);
});

test('targets: of the ratio or the value, at most or at least, by the median', () => {
  const pairs = [{ ours: 100, base: 50 }, { ours: 120, base: 60 }, { ours: 900, base: 60 }];
  assert.is(reached(figure(pairs)), undefined);
  assert.is(reached(figure(pairs, { of: 'ratio', is: 'at most', value: 2 })), true);
  assert.is(reached(figure(pairs, { of: 'ratio', is: 'at most', value: 1.9 })), false);
  assert.is(reached(figure(pairs, { of: 'ours', is: 'at least', value: 120 })), true);
  assert.is(reached(figure(pairs, { of: 'ours', is: 'at least', value: 121 })), false);
});

test('in turn: who goes first alternates', async () => {
  const order: string[] = [];
  const pairs = await inTurn(3, () => order.push('a'), () => order.push('b'));
  assert.is(order.join(''), 'abbaab');
  assert.equal(pairs[1], { ours: 4, base: 3 });
});

test.run();
