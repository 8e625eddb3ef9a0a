import { readFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { packageRoot } from '../base/package_root.js';
import { hasCode, isA, loadBasic, makeBpffs, objectPath } from './kernel.fixture.js';
import { BpfError, BpfMap, BpfObject, ensureBpffs, u32Bytes } from './mod.js';

const elf = readFileSync(objectPath('test_basic'));

test('an opened object tells its programs, maps and types', () => {
  using object = BpfObject.open(elf);
  assert.equal(object.programs.map(({ name, type }) => `${name} ${type}`),
    ['test_rewrite xdp', 'test_pass xdp', 'test_event xdp', 'test_tc sched_cls',
      'test_syscall syscall']);
  const pairs = object.maps.find(({ name }) => name === 'pairs')!;
  assert.equal([pairs.type, pairs.keySize, pairs.valueSize, pairs.maxEntries],
    ['hash', 4, 8, 1024]);
  assert.ok(pairs.value.kind === 'struct');
  assert.equal(pairs.value.members.map(({ name, offsetBits, sizeBits }) =>
    [name, offsetBits, sizeBits]), [['a', 0, 32], ['b', 32, 32]]);
  assert.equal(object.maps.map(({ name }) => name).sort(), ['counts', 'events', 'outer', 'pairs']);
});

test('constants are set by name before load, variables are read after it', () => {
  using object = BpfObject.open(elf);
  const answer = object.variable('answer')!;
  assert.equal([answer.section, answer.size, [...answer.get()]], ['.rodata', 4, [1, 0, 0, 0]]);
  answer.set(42);
  object.variable('letters')!.set(Uint8Array.of(7, 0, 0, 0));
  assert.throws(() => object.variable('letters')!.set(Uint8Array.of(7)), /4 bytes, not 1/);
  assert.is(object.variable('LICENSE'), undefined);
  assert.is(object.variable('nothing'), undefined);
  object.load();
  using program = object.program('test_rewrite');
  const { retval, dataOut } = program.testRun({ data: new Uint8Array(64), repeat: 5 });
  assert.is(retval, 3);
  assert.equal([...dataOut.subarray(0, 3)], [7, 42, 0]);
  assert.equal(object.variable('runs')!.get(), u32Bytes(5));
  object.variable('runs')!.set(100);
  assert.equal(object.variable('runs')!.get(), u32Bytes(100));
  assert.throws(() => answer.set(43), hasCode('EPERM'));
});

test('signals that come while the verifier walks do not end a load', async () => {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 100 });
  await session.post('Profiler.start');
  using object = BpfObject.open(readFileSync(join(packageRoot, 'build/bpf/xdp.bpf.o')));
  object.load();
  await session.post('Profiler.stop');
  session.disconnect();
});

test('sizes and autoload are adjusted before load', () => {
  using object = BpfObject.open(elf);
  object.changeMap('pairs', { maxEntries: 7 });
  object.changeProgram('test_tc', { autoload: false });
  object.load();
  using pairs = object.map('pairs');
  assert.is(pairs.info.maxEntries, 7);
  assert.throws(() => object.program('test_tc'), hasCode('ENOENT'));
  assert.throws(() => object.changeMap('pairs', { maxEntries: 8 }), hasCode('EBUSY'));
});

test('unknown names are ENOENT', () => {
  using object = BpfObject.open(elf);
  assert.throws(() => object.changeMap('nothing', {}), hasCode('ENOENT'));
  assert.throws(() => object.changeProgram('nothing', {}), hasCode('ENOENT'));
  assert.throws(() => object.map('nothing'), hasCode('ENOENT'));
  assert.throws(() => object.map('pairs'), (error: unknown) =>
    error instanceof BpfError && /unloaded/.test(error.operation));
});

test('a map is taken over by reuse', () => {
  using first = loadBasic();
  using pairs = first.map('pairs');
  pairs.update(u32Bytes(1), new Uint8Array(8).fill(5));
  using second = BpfObject.open(elf);
  second.changeMap('pairs', { reuse: pairs });
  second.load();
  using same = second.map('pairs');
  assert.is(same.info.id, pairs.info.id);
  assert.equal(same.lookup(u32Bytes(1)), new Uint8Array(8).fill(5));
});

test('a pinned map is found again by its path', () => {
  const bpffs = makeBpffs();
  try {
    assert.not(ensureBpffs(bpffs.path));
    assert.throws(() => ensureBpffs('/nonexistent'), hasCode('ENOENT'));
    const path = `${bpffs.path}/pairs`;
    const id = ((): number => {
      using object = BpfObject.open(elf);
      object.changeMap('pairs', { pinPath: path });
      object.load();
      using pairs = object.map('pairs');
      return pairs.info.id;
    })();
    using again = BpfObject.open(elf);
    again.changeMap('pairs', { pinPath: path });
    again.load();
    using pairs = again.map('pairs');
    assert.is(pairs.info.id, id);
    using other = BpfObject.open(elf);
    other.changeMap('pairs', { pinPath: path, maxEntries: 3 });
    assert.throws(() => other.load(), (error: unknown) =>
      error instanceof BpfError && /parameter mismatch|mismatch/.test(error.log));
  } finally {
    bpffs.remove();
  }
});

test('the verifier has the last word, and the error keeps all of them', () => {
  using object = BpfObject.open(objectPath('test_refused'));
  try {
    object.load();
    assert.unreachable('the verifier accepted an unchecked access');
  } catch (error) {
    assert.ok(error instanceof BpfError);
    assert.is(error.code, 'EACCES');
    assert.is(error.errno, 13);
    assert.match(error.operation, 'load object test_refused');
    assert.match(error.message, /R1 offset is outside of the packet$/);
    assert.match(error.log, 'BEGIN PROG LOAD LOG');
    assert.match(error.log, /processed \d+ insns/);
  }
});

test('bytes that are no object are refused', () => {
  assert.throws(() => BpfObject.open(new Uint8Array(100)), isA(BpfError));
  assert.throws(() => BpfObject.open('/nonexistent.o'), /ENOENT/);
});

test('close is idempotent, and what was taken out lives on', () => {
  const object = loadBasic();
  const map = object.map('pairs');
  const program = object.program('test_pass');
  object.close();
  object.close();
  assert.throws(() => object.load(), hasCode('EBADF'));
  assert.throws(() => object.programs, hasCode('EBADF'));
  map.update(u32Bytes(3), new Uint8Array(8));
  assert.is(program.testRun({ data: new Uint8Array(64) }).retval, 2);
  for (const each of [map, program]) { each.close(); each.close(); }
  assert.throws(() => map.lookup(u32Bytes(3)), hasCode('EBADF'));
  assert.throws(() => program.info, hasCode('EBADF'));
  assert.throws(() => BpfMap.fromId(0xfff_ffff), hasCode('ENOENT'));
});

test.run();
