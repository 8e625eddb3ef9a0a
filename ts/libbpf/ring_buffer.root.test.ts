import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { hasCode, loadBasic, objectPath, plainEnv } from './kernel.fixture.js';
import { BpfMap, RingBuffer } from './mod.js';

const XDP_DROP = 1;
const XDP_PASS = 2;
/** The ring holds 4096 / (8 header + 8 data) records, minus the one that keeps it from full. */
const ringRecords = 255;

/** A frame whose first 8 bytes, which test_event records, are a number. */
function numbered(value: number): Uint8Array {
  const bytes = new Uint8Array(64);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}
const numberOf = (record: Uint8Array): number =>
  Number(new DataView(record.buffer).getBigUint64(0, true));
const pause = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms); });

function open(capacity?: number) {
  const object = loadBasic();
  const map = object.map('events');
  const program = object.program('test_event');
  const ring = RingBuffer.open(map, capacity === undefined ? {} : { capacity });
  return { ring, map, emit: (value: number) => program.testRun({ data: numbered(value) }).retval };
}

test('records arrive in order, those from before the first wait too', async () => {
  const { ring, map, emit } = open();
  map.close();
  emit(0);
  const later = setInterval(() => { emit(next); next += 1; }, 1);
  let next = 1;
  const seen: number[] = [];
  for await (const record of ring) {
    assert.is(record.length, 8);
    seen.push(numberOf(record));
    if (seen.length === 20) break;
  }
  clearInterval(later);
  assert.equal(seen, Array.from({ length: 20 }, (_, i) => i));
  ring.close();
});

test('a slow reader is felt by the program, and nothing that was taken is lost', async () => {
  const capacity = 10;
  const { ring, emit } = open(capacity);
  let taken = 0;
  for (let i = 0; i < 2 * ringRecords; i += 1) {
    if (emit(taken) === XDP_PASS) taken += 1;
    if (i % 32 === 0) await pause(1);
  }
  assert.is(emit(0), XDP_DROP);
  assert.ok(taken >= ringRecords && taken <= ringRecords + capacity + 1, `${taken} taken`);
  const seen: number[] = [];
  for await (const record of ring) {
    seen.push(numberOf(record));
    if (seen.length === taken) break;
  }
  assert.equal(seen, Array.from({ length: taken }, (_, i) => i));
  assert.is(emit(0), XDP_PASS);
  ring.close();
});

test('close ends a waiting reader, twice is once', async () => {
  const { ring } = open();
  const reading = (async () => {
    for await (const record of ring) assert.unreachable(`record ${numberOf(record)}`);
    return 'ended';
  })();
  await pause(5);
  ring.close();
  ring.close();
  assert.is(await reading, 'ended');
  for await (const record of ring) assert.unreachable(`record ${numberOf(record)}`);
});

test('the event loop turns while the reader waits; there is one reader', async () => {
  const { ring, emit } = open();
  const first = ring[Symbol.asyncIterator]();
  const waiting = first.next();
  let turns = 0;
  const timer = setInterval(() => { turns += 1; }, 1);
  await pause(30);
  clearInterval(timer);
  assert.ok(turns > 5);
  const second = await ring[Symbol.asyncIterator]().next().catch((error: unknown) => error);
  assert.match(String(second), /one reader/);
  emit(8);
  const record = await waiting;
  assert.is(numberOf(record.value as Uint8Array), 8);
  ring.close();
});

test('only ring buffer maps, only sensible capacities', () => {
  using map = BpfMap.create({ type: 'array', keySize: 4, valueSize: 4, maxEntries: 1 });
  assert.throws(() => RingBuffer.open(map), hasCode('EINVAL'));
  const object = loadBasic();
  using events = object.map('events');
  assert.throws(() => RingBuffer.open(events, { capacity: 0 }), /capacity/);
});

const script = (rest: string): string => `
  const { BpfObject, RingBuffer } = await import(${JSON.stringify(
    new URL('./mod.js', import.meta.url).href)});
  const object = BpfObject.open(${JSON.stringify(objectPath('test_basic'))});
  object.load();
  const ring = RingBuffer.open(object.map('events'));
  ${rest}`;

async function exitOf(code: string): Promise<unknown> {
  const run = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script(code)],
    { timeout: 10_000, env: plainEnv });
  return run.then(({ stdout }) => stdout.trim(), (error: unknown) => error);
}

test('a process ends with an open ring buffer', async () => {
  assert.is(await exitOf('console.log("idle");'), 'idle');
  assert.is(await exitOf('ring[Symbol.asyncIterator]().next(); console.log("x"); process.exit(0);'),
    'x');
  assert.is(await exitOf('setTimeout(() => ring.close(), 5); for await (const x of ring);'), '');
});

test('an unreachable ring buffer is collected', async () => {
  const run = promisify(execFile)(process.execPath, ['--expose-gc', '--input-type=module', '-e',
    script(`const { readdirSync } = await import('node:fs');
      const threads = () => readdirSync('/proc/self/task').length;
      const before = threads();
      for (let i = 0; i < 20; i += 1) RingBuffer.open(object.map('events'));
      const during = threads() - before;
      for (let i = 0; i < 100 && threads() > before; i += 1) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      console.log(during, threads() - before);`)], { timeout: 10_000, env: plainEnv });
  assert.is((await run).stdout.trim(), '20 0');
});

test('everything works in a worker, which may end at any time', async () => {
  const code = script(`
    const { parentPort } = await import('node:worker_threads');
    try { object.map('nothing'); } catch (error) {
      parentPort.postMessage([error.constructor.name, error.code]);
    }
    ring[Symbol.asyncIterator]().next();
    const program = object.program('test_pass');
    parentPort.postMessage(program.testRun({ data: new Uint8Array(64) }).retval);
    setInterval(() => {}, 1000);`);
  // A data URL, because eval'ed workers are CommonJS.
  const url = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
  const worker = new Worker(url);
  const messages: unknown[] = [];
  await new Promise<void>((resolve, reject) => {
    worker.on('error', reject);
    worker.on('message', (message) => {
      messages.push(message);
      if (messages.length === 2) resolve();
    });
  });
  assert.equal(messages, [['BpfError', 'ENOENT'], XDP_PASS]);
  await worker.terminate();
  const { ring, emit } = open();
  emit(3);
  const { value } = await ring[Symbol.asyncIterator]().next();
  assert.is(numberOf(value as Uint8Array), 3);
  ring.close();
});

test.run();
