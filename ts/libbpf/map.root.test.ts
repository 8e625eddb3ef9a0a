import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { hasCode, isA, loadBasic, makeBpffs } from './kernel.fixture.js';
import {
  BpfError, BpfMap, BpfProgram, mapFlags, possibleCpus, u32Bytes, unpin, updateFlags,
  type MapType,
} from './mod.js';

const key = u32Bytes;
const hash = (maxEntries: number, type: MapType = 'hash'): BpfMap =>
  BpfMap.create({ type, name: 'test', keySize: 4, valueSize: 4, maxEntries });
/** 0..count-1 as u32 keys and values, one after the other. */
const numbers = (count: number): Uint8Array =>
  new Uint8Array(Uint32Array.from({ length: count }, (_, i) => i).buffer);
const toNumber = (bytes: Uint8Array): number =>
  new DataView(bytes.slice().buffer).getUint32(0, true);

test('hash: lookup, update with flags, delete', () => {
  using map = hash(2);
  assert.is(map.lookup(key(1)), undefined);
  map.update(key(1), key(10), updateFlags.noExist);
  assert.throws(() => map.update(key(1), key(11), updateFlags.noExist), hasCode('EEXIST'));
  assert.throws(() => map.update(key(2), key(11), updateFlags.exist), hasCode('ENOENT'));
  map.update(key(1), key(12), BigInt(updateFlags.exist));
  assert.equal(map.lookup(key(1)), key(12));
  map.update(key(2), key(20));
  assert.throws(() => map.update(key(3), key(30)), hasCode('E2BIG'));
  assert.equal(map.lookupAndDelete(key(2)), key(20));
  assert.is(map.lookupAndDelete(key(2)), undefined);
  assert.ok(map.delete(key(1)));
  assert.not(map.delete(key(1)));
  assert.is(map.nextKey(), undefined);
});

test('info is the kernel\'s', () => {
  using map = BpfMap.create({
    type: 'hash', name: 'a_name', keySize: 12, valueSize: 3, maxEntries: 5,
    flags: mapFlags.noPrealloc });
  const { id, ...info } = map.info;
  assert.ok(id > 0);
  assert.equal(info, {
    name: 'a_name', type: 'hash', keySize: 12, valueSize: 3, userValueSize: 3, perCpu: false,
    maxEntries: 5, flags: mapFlags.noPrealloc });
  using same = BpfMap.fromId(id);
  assert.equal(same.info, map.info);
});

test('wrong lengths are refused before the kernel is asked', () => {
  using map = BpfMap.create({ type: 'hash', keySize: 4, valueSize: 8, maxEntries: 4 });
  const short = new Uint8Array(3);
  const long = new Uint8Array(9);
  assert.throws(() => map.lookup(short), /key must have 4 bytes, not 3/);
  assert.throws(() => map.lookup(new Uint8Array(5)), /key must have 4 bytes, not 5/);
  assert.throws(() => map.update(key(1), long), /value must have 8 bytes, not 9/);
  assert.throws(() => map.update(short, new Uint8Array(8)), isA(RangeError));
  assert.throws(() => map.delete(short), isA(RangeError));
  assert.throws(() => map.nextKey(short), isA(RangeError));
  assert.throws(() => map.updateBatch(new Uint8Array(8), new Uint8Array(15), 2),
    /values must have at least 16 bytes, not 15/);
  assert.throws(() => map.updateBatch(new Uint8Array(7), new Uint8Array(16), 2), isA(RangeError));
  assert.throws(() => map.deleteBatch(new Uint8Array(7), 2), isA(RangeError));
  assert.throws(() => map.lookup(new Uint32Array(1) as unknown as Uint8Array), isA(TypeError));
  assert.is(map.nextKey(), undefined);
});

test('a view into a larger buffer is taken as the view it is', () => {
  using map = hash(4);
  const buffer = Uint8Array.of(9, 9, 1, 0, 0, 0, 9, 9, 2, 0, 0, 0);
  map.update(buffer.subarray(2, 6), buffer.subarray(8, 12));
  assert.equal(map.lookup(key(1)), key(2));
});

for (const type of ['hash', 'lru_hash', 'percpu_hash'] as const) {
  test(`${type}: batches and entries() see everything once`, () => {
    using map = hash(5000, type);
    const cpus = type === 'percpu_hash' ? possibleCpus() : 1;
    assert.is(map.info.userValueSize, type === 'percpu_hash' ? 8 * cpus : 4);
    const count = 1000;
    const values = new Uint8Array(count * map.info.userValueSize);
    map.updateBatch(numbers(count), values, count);
    const seen = [...map.keys()].map(toNumber).sort((a, b) => a - b);
    assert.equal(seen, Array.from({ length: count }, (_, i) => i));
    assert.is(map.deleteBatch(numbers(500), 500), 500);
    assert.is([...map.keys()].length, 500);
    assert.is(map.deleteBatch(numbers(500), 500), 0);
  });
}

test('a batch that fails part way says how far it came', () => {
  using map = hash(3);
  const run = (): void => map.updateBatch(numbers(5), numbers(5), 5);
  assert.throws(run, (error: unknown) => error instanceof BpfError && error.code === 'E2BIG'
    && /3 of 5 written/.test(error.operation));
  assert.equal([...map.keys()].map(toNumber).sort(), [0, 1, 2]);
  // The kernel takes no element flags but BPF_F_LOCK in a batch.
  assert.throws(() => map.updateBatch(numbers(1), numbers(1), 1, updateFlags.noExist),
    hasCode('EINVAL'));
});

test('lookupBatch by cursor, with removal', () => {
  using map = hash(64);
  map.updateBatch(numbers(50), numbers(50), 50);
  const cursor = map.cursor();
  const seen: number[] = [];
  for (let done = false; !done;) {
    const batch = map.lookupBatch(cursor, 32, true);
    ({ done } = batch);
    assert.equal(batch.keys, batch.values);
    for (let i = 0; i < batch.count; i += 1) seen.push(toNumber(batch.keys.subarray(i * 4)));
  }
  assert.equal(seen.sort((a, b) => a - b), Array.from({ length: 50 }, (_, i) => i));
  assert.is(map.nextKey(), undefined);
});

test('entries() while the map changes: what stays is seen exactly once', () => {
  using map = hash(4000);
  map.updateBatch(numbers(1000), numbers(1000), 1000);
  const seen = new Map<number, number>();
  let fresh = 1000;
  for (const [each] of map.entries(16)) {
    const number = toNumber(each);
    seen.set(number, (seen.get(number) ?? 0) + 1);
    if (number % 2 === 1) map.delete(each);
    if (fresh < 2000) { map.update(key(fresh), key(0)); fresh += 1; }
  }
  for (let i = 0; i < 1000; i += 2) assert.is(seen.get(i), 1, `key ${i}`);
  assert.ok([...seen.values()].every((times) => times === 1));
});

test('entries() of a map type without batches', () => {
  using inner = BpfMap.create({ type: 'array', keySize: 4, valueSize: 4, maxEntries: 1 });
  using map = BpfMap.create(
    { type: 'devmap_hash', keySize: 4, valueSize: 8, maxEntries: 8 });
  map.update(key(77), new Uint8Array(new Uint32Array([1, 0]).buffer));
  assert.equal([...map.keys()].map(toNumber), [77]);
  assert.equal([...inner.entries()], [[key(0), key(0)]]);
});

test('array, LPM trie, queue and stack', () => {
  using array = BpfMap.create({ type: 'array', keySize: 4, valueSize: 4, maxEntries: 3 });
  assert.equal(array.lookup(key(2)), key(0));
  assert.is(array.lookup(key(3)), undefined);
  assert.throws(() => array.delete(key(0)), hasCode('EINVAL'));
  assert.is([...array.entries(2)].length, 3);
  using trie = BpfMap.create({ type: 'lpm_trie', keySize: 8, valueSize: 4, maxEntries: 3,
    flags: mapFlags.noPrealloc });
  const net = (bits: number, ...address: number[]): Uint8Array =>
    Uint8Array.of(bits, 0, 0, 0, ...address);
  trie.update(net(8, 10, 0, 0, 0), key(8));
  trie.update(net(16, 10, 1, 0, 0), key(16));
  assert.equal(trie.lookup(net(32, 10, 1, 2, 3)), key(16));
  assert.equal(trie.lookup(net(32, 10, 2, 2, 3)), key(8));
  assert.is([...trie.entries()].length, 2);
  const none = new Uint8Array(0);
  for (const [type, order] of [['queue', [1, 2]], ['stack', [2, 1]]] as const) {
    using map = BpfMap.create({ type, keySize: 0, valueSize: 4, maxEntries: 2 });
    map.update(none, key(1));
    map.update(none, key(2));
    assert.throws(() => map.update(none, key(3)), hasCode('E2BIG'));
    assert.equal(order.map(() => toNumber(map.lookupAndDelete(none)!)), [...order]);
  }
});

test('per-CPU values have a place for every possible CPU', () => {
  using object = loadBasic();
  using counts = object.map('counts');
  using program = object.program('test_rewrite');
  assert.is(counts.info.userValueSize, 8 * possibleCpus());
  program.testRun({ data: new Uint8Array(64), repeat: 3 });
  const values = counts.perCpuValues(counts.lookup(key(0))!);
  assert.is(values.length, possibleCpus());
  assert.is(values.map(toNumber).reduce((a, b) => a + b), 3);
  const all = new Uint8Array(counts.info.userValueSize);
  counts.perCpuValues(all).forEach((each, cpu) => each.set(key(cpu + 5)));
  counts.update(key(1), all);
  assert.equal(counts.perCpuValues(counts.lookup(key(1))!).map(toNumber),
    values.map((_, cpu) => cpu + 5));
  assert.throws(() => counts.update(key(1), key(1)), /value must have/);
});

test('maps of maps', () => {
  using object = loadBasic();
  using outer = object.map('outer');
  using inner = BpfMap.create({ type: 'array', keySize: 4, valueSize: 4, maxEntries: 8 });
  assert.is(outer.openInner(key(0)), undefined);
  outer.setInner(key(0), inner);
  inner.update(key(2), key(99));
  using found = outer.openInner(key(0))!;
  assert.is(found.info.id, inner.info.id);
  assert.equal(found.lookup(key(2)), key(99));
  using wrong = hash(1);
  assert.throws(() => outer.setInner(key(0), wrong), hasCode('EINVAL'));
  using own = BpfMap.create({
    type: 'hash_of_maps', keySize: 4, valueSize: 4, maxEntries: 4, inner });
  own.setInner(key(7), inner);
  assert.equal([...own.keys()].map(toNumber), [7]);
});

test('pin, open, unpin; kinds are not confused', () => {
  const bpffs = makeBpffs();
  try {
    using map = hash(4);
    const path = `${bpffs.path}/map`;
    map.pin(path);
    assert.throws(() => map.pin(path), hasCode('EEXIST'));
    map.update(key(1), key(2));
    using again = BpfMap.openPinned(path);
    assert.equal(again.lookup(key(1)), key(2));
    assert.throws(() => BpfProgram.openPinned(path), hasCode('EINVAL'));
    assert.ok(unpin(path));
    assert.not(unpin(path));
    assert.throws(() => BpfMap.openPinned(path), hasCode('ENOENT'));
  } finally {
    bpffs.remove();
  }
});

test('a frozen map is read-only for user space', () => {
  using map = BpfMap.create({ type: 'array', keySize: 4, valueSize: 4, maxEntries: 1 });
  map.update(key(0), key(5));
  map.freeze();
  assert.throws(() => map.update(key(0), key(6)), hasCode('EPERM'));
  assert.equal(map.lookup(key(0)), key(5));
});

test('a refused creation names the map', () => {
  const run = (): BpfMap => BpfMap.create(
    { type: 'hash', name: 'nokey', keySize: 0, valueSize: 4, maxEntries: 1 });
  assert.throws(run, (error: unknown) => error instanceof BpfError && error.code === 'EINVAL'
    && error.operation === 'create map nokey');
});

test.run();
