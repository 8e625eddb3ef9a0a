import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { firstConditions, Narrowing } from './narrowing.js';

const set = (...uuids: string[]): ReadonlySet<string> => new Set(uuids);
const grouped = ['logical_dp_group', '!=', ['set', []]];
const of = (column: string, ...uuids: string[]): unknown[] =>
  uuids.map((uuid) => [column, '==', ['uuid', uuid]]);

test('before anything is known only flows of groups are asked for', () => {
  assert.equal(firstConditions(false), { MAC_Binding: [], Logical_Flow: [grouped] });
  assert.equal(firstConditions(true), {});
});

test('a datapath that becomes local is incomplete until the server has confirmed', () => {
  const narrowing = new Narrowing(false);
  const local = set('b', 'a');
  assert.equal(narrowing.follow(local, 100, false, true), { MAC_Binding: of('datapath', 'a', 'b'),
    Logical_Flow: [grouped, ...of('logical_datapath', 'a', 'b')] });
  assert.equal(narrowing.missing(local), ['b', 'a']);
  assert.is(narrowing.follow(set('a', 'b'), 100, false, false), undefined);
  assert.equal(narrowing.missing(local), ['b', 'a']);
  narrowing.follow(local, 100, false, true);
  assert.equal(narrowing.missing(local), []);
  assert.ok(narrowing.follow(set('a', 'c'), 100, false, true));
  assert.equal(narrowing.missing(set('a', 'c')), ['c']);
  // Back again before the server said anything: its rows may be gone.
  assert.ok(narrowing.follow(set('a', 'b'), 100, false, false));
  assert.equal(narrowing.missing(set('a', 'b')), ['b']);
});

test('with most datapaths local, or by ovn-monitor-all, all rows are asked for', () => {
  const narrowing = new Narrowing(false);
  const many = set('a', 'b', 'c', 'd', 'e');
  assert.equal(narrowing.follow(many, 10, false, true), {});
  assert.equal(narrowing.missing(many), [...many]);
  assert.is(narrowing.follow(set('a', 'b', 'c'), 10, false, true), undefined, 'stays so');
  assert.equal(narrowing.missing(set('x')), []);
  assert.ok(narrowing.follow(set('a', 'b'), 10, false, true)?.['Logical_Flow']);
  assert.equal(narrowing.missing(set('a', 'b')), []);
  assert.equal(narrowing.follow(set('a'), 100, true, true), {});
  assert.equal(new Narrowing(true).missing(many), []);
  assert.is(new Narrowing(true).follow(set(), 0, true, true), undefined);
});

test.run();
