import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { layoutProblems, struct } from './codec.js';
import * as abi from './generated.js';

const words = (...values: number[]): number[] => values;

test('a nested structure keeps its values', () => {
  const value: abi.Stage = {
    ntuples: 2, table: 7, sets: 0, datapath_hint: 0xffff_fffe, more: 0,
    tuples: [{ tuple: 1, max_priority: 65535 }, { tuple: 300, max_priority: 0 }],
  };
  const bytes = abi.stage.toBytes(value);
  assert.is(bytes.length, 256);
  assert.equal([...bytes.subarray(0, 20)],
    words(2, 7, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0, 0xff, 0xff, 0x2c, 1, 0, 0));
  const back = abi.stage.fromBytes(bytes);
  assert.is(back.tuples.length, abi.STAGE_TUPLES);
  assert.equal(back.tuples.slice(0, 2), value.tuples);
  assert.equal(back.tuples[2], { tuple: 0, max_priority: 0 });
});

test('u64 is bigint, s8 keeps its sign, u8 arrays are bytes of their own', () => {
  const counter = { packets: (1n << 64n) - 1n, bytes: 1n };
  assert.equal(abi.counter.fromBytes(abi.counter.toBytes(counter)), counter);
  const op = { code: 2, dst: 1, src: 3, shift: -12, mask: 0xffff_ffff, imm: 0, arg: 255 };
  assert.equal(abi.op.fromBytes(abi.op.toBytes(op)), op);
  const bytes = abi.flowUuid.toBytes({ uuid: Uint8Array.of(1, 2) });
  const { uuid } = abi.flowUuid.fromBytes(bytes);
  bytes.fill(9);
  assert.is(uuid[0], 1);
});

test('encode clears what was there, at any offset', () => {
  const buffer = new Uint8Array(64).fill(0xaa);
  abi.op.encode(new DataView(buffer.buffer, 8), 8,
    { code: 1, dst: 0, src: 0, shift: 0, mask: 0, imm: 0, arg: 0 });
  assert.equal([...buffer.subarray(16, 32)], [1, ...new Array<number>(15).fill(0)]);
  assert.is(buffer[15], 0xaa);
  assert.is(buffer[32], 0xaa);
});

test('what does not fit is refused by name', () => {
  const key = { buffer: 0, datapath: 1, table: 2 };
  assert.throws(() => abi.dispatchKey.toBytes({ ...key, table: -1 }), /dispatch_key.table/);
  assert.throws(() => abi.dispatchKey.toBytes({ ...key, table: 2 ** 32 }), /dispatch_key.table/);
  assert.throws(() => abi.dispatchKey.toBytes({ ...key, table: 1.5 }), /dispatch_key.table/);
  assert.throws(() => abi.ruleKeyS.toBytes({ stage: 1, tuple: 1, words: [1, 2, 3] }), /at most 2/);
  assert.throws(() => abi.counter.toBytes({ packets: -1n, bytes: 0n }), /counter.packets/);
  assert.throws(() => abi.dispatchKey.fromBytes(new Uint8Array(11)), /12 bytes, not 11/);
});

test('reasons stand at their numbers', () => {
  assert.is(abi.puntReasons.length, abi.puntReason.PUNT_REASON_COUNT);
  assert.is(abi.dropReasons.length, abi.dropReason.DROP_REASON_COUNT);
  for (const [name, value] of Object.entries(abi.puntReason)) {
    if (name === 'PUNT_REASON_COUNT') continue;
    assert.is(`PUNT_${abi.puntReasons[value]?.name}`, name);
  }
});

test('layoutProblems names size, offset and absence', () => {
  const codec = struct<{ a: number; b: number }>('x', 8, {
    a: { offset: 0, type: 'u32' }, b: { offset: 4, type: 'u32' } });
  const layout = (size: number, ...members: [string, number][]) => () =>
    ({ size, members: members.map(([name, at]) => ({ name, offsetBits: at * 8 })) });
  assert.equal(layoutProblems([codec], layout(8, ['a', 0], ['b', 4])), []);
  assert.equal(layoutProblems([codec], () => undefined), []);
  assert.equal(layoutProblems([codec], layout(12, ['a', 0], ['c', 4], ['b', 8])),
    ['struct x has 12 bytes in the object, 8 here', 'x.b is at 8 in the object, at 4 here']);
  assert.equal(layoutProblems([codec], layout(8, ['a', 0])), ['struct x has no b in the object']);
});

test.run();
