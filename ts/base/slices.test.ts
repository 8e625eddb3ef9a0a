import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { finish, inSlices, type Steps } from './slices.js';

function* counting(to: number): Steps<number> {
  for (let i = 0; i < to; i++) {
    const until = performance.now() + 1;
    while (performance.now() < until);
    yield;
  }
  return to;
}

test('the result is that of the work, at once or in slices', async () => {
  assert.is(finish(counting(3)), 3);
  assert.is(await inSlices(counting(3)), 3);
  assert.is(await inSlices(counting(0)), 0);
});

test('others have their turn after each budget', async () => {
  let turns = 0, over = false;
  const turn = (): void => {
    turns += 1;
    if (!over) setImmediate(turn);
  };
  setImmediate(turn);
  await inSlices(counting(40), 5);
  over = true;
  assert.ok(turns >= 5, `${turns} turns`);
});

test('an error ends the work', async () => {
  function* failing(): Steps<void> {
    yield;
    throw new Error('no');
  }
  let text = '';
  await inSlices(failing()).catch((error: Error) => { text = error.message; });
  assert.is(text, 'no');
});

test.run();
