import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Slots } from './slots.js';

const given = (slots: Slots, id: string): unknown => {
  const slot = slots.acquire(id);
  return slot && [slot.index, slot.fresh];
};

test('equal contents share an index, the last release frees it', () => {
  const slots = new Slots(3, 1);
  assert.equal(given(slots, 'a'), [1, true]);
  assert.equal(given(slots, 'a'), [1, false]);
  assert.equal(given(slots, 'b'), [2, true]);
  assert.is(slots.acquire('c'), undefined);
  slots.release('a');
  assert.is(slots.acquire('c'), undefined);
  slots.release('a');
  assert.equal(given(slots, 'c'), [1, true]);
  assert.throws(() => slots.release('a'), /holds no index/);
});

test('an entry holds until its content is given away, and not when it comes again', () => {
  const slots = new Slots(3), { entry } = slots.acquire('a')!;
  assert.is(slots.acquire('a')!.entry, entry);
  slots.release('a');
  assert.ok(slots.holds(entry));
  slots.release('a');
  assert.not(slots.holds(entry));
  assert.is(slots.acquire('a')!.index, entry.index);
  assert.not(slots.holds(entry));
});

test('adopted indexes keep their content and are not given away', () => {
  const slots = new Slots(4);
  assert.is(slots.adopt('a', 1).id, 'a');
  const second = slots.adopt('a', 2);
  assert.equal(given(slots, 'a'), [1, false]);
  assert.equal(given(slots, 'b'), [0, true]);
  assert.equal(given(slots, 'c'), [3, true]);
  assert.is(slots.acquire('d'), undefined);
  slots.release(second.id);
  assert.equal(given(slots, 'd'), [2, true]);
});

test.run();
