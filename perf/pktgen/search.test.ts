import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { lossOf, searchRate, type RunTrial, type SearchOptions, type Trial } from './search.js';

const options: SearchOptions = { loss: 0, min: 1000, max: 10_000_000, resolution: 0.001,
  trialSeconds: 1, verifySeconds: 10 };

/** A device that carries `capacity`, behind a generator that reaches `reach`. */
const device = (capacity: number, reach = Infinity, longCapacity = capacity): RunTrial =>
  (offered, seconds): Promise<Trial> => {
    const sent = Math.min(offered, reach);
    return Promise.resolve({ offered, sent,
      received: Math.min(sent, seconds > 5 ? longCapacity : capacity) });
  };

test('the rate is found to the resolution, and verified', async () => {
  for (const capacity of [1500, 123_456, 3_333_333, 9_999_000]) {
    const { rate, verified, warning } = await searchRate(options, device(capacity));
    assert.ok(rate <= capacity && rate >= capacity - options.max * options.resolution,
      `${rate} for ${capacity}`);
    assert.is(verified, true);
    assert.is(warning, undefined);
  }
});

test('a device faster than the most that is asked for has that rate', async () => {
  const { rate, trials } = await searchRate(options, device(20_000_000));
  assert.is(rate, options.max);
  assert.is(trials.length, 2, 'one trial and one that verifies');
});

test('a device that carries not even the least rate has none', async () => {
  const { rate, verified } = await searchRate(options, device(500));
  assert.is(rate, 0);
  assert.is(verified, false);
});

test('partial drop rate: as much loss as is allowed, and no more', async () => {
  const { rate } = await searchRate({ ...options, loss: 0.01 }, device(1_000_000));
  assert.ok(rate > 1_000_000 && rate <= 1_000_000 / 0.99 + 1);
});

test('a generator too slow for the rate: a warning, and no rate above what it sends', async () => {
  const { rate, warning } = await searchRate(options, device(5_000_000, 2_000_000));
  assert.ok(rate <= 2_000_000 && rate > 1_900_000, String(rate));
  assert.match(warning ?? '', 'the generator sent 2000000 of 10000000');
  const hopeless = await searchRate(options, device(5_000_000, 500));
  assert.is(hopeless.rate, 0);
  assert.ok(hopeless.warning);
});

test('what a short trial carries and a long one does not is taken back', async () => {
  const { rate, verified } = await searchRate(options, device(3_000_000, Infinity, 2_800_000));
  assert.is(verified, true);
  assert.ok(rate <= 2_800_000 && rate >= 2_800_000 * 0.98 - 1, String(rate));
});

test('an error of the trial is the search\'s', async () => {
  let message = '';
  await searchRate(options, () => Promise.reject(new Error('no link'))).catch((error: Error) => {
    message = error.message;
  });
  assert.is(message, 'no link');
});

test('loss: nothing sent is all lost; more received than sent is none', () => {
  assert.is(lossOf({ offered: 1, sent: 0, received: 0 }), 1);
  assert.is(lossOf({ offered: 1, sent: 10, received: 11 }), 0);
  assert.is(lossOf({ offered: 1, sent: 10, received: 5 }), 0.5);
});

test.run();
