import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Slots } from './slots.js';

test('equal contents share an index, the last release frees it', () => {
  const slots = new Slots(3, 1);
  assert.equal(slots.acquire('a'), { index: 1, fresh: true });
  assert.equal(slots.acquire('a'), { index: 1, fresh: false });
  assert.equal(slots.acquire('b'), { index: 2, fresh: true });
  assert.is(slots.acquire('c'), undefined);
  slots.release('a');
  assert.is(slots.acquire('c'), undefined);
  slots.release('a');
  assert.equal(slots.acquire('c'), { index: 1, fresh: true });
  assert.throws(() => slots.release('a'), /holds no index/);
});

test('adopted indexes keep their content and are not given away', () => {
  const slots = new Slots(4);
  assert.is(slots.adopt('a', 1), 'a');
  const second = slots.adopt('a', 2);
  assert.equal(slots.acquire('a'), { index: 1, fresh: false });
  assert.equal(slots.acquire('b'), { index: 0, fresh: true });
  assert.equal(slots.acquire('c'), { index: 3, fresh: true });
  assert.is(slots.acquire('d'), undefined);
  slots.release(second);
  assert.equal(slots.acquire('d'), { index: 2, fresh: true });
});

test.run();
