import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually, frame, hasCode, loadBasic, makeBpffs, makeNetns } from './kernel.fixture.js';
import { BpfProgram, ifNameToIndex, inNetns, PacketSocket } from './mod.js';

const XDP_PASS = 2;
const XDP_DROP = 1;

test('a test run gives back verdict, frame and context', () => {
  using object = loadBasic();
  using program = object.program('test_rewrite');
  const data = frame(9);
  const { retval, dataOut, ctxOut, durationNs } = program.testRun({ data, repeat: 100 });
  assert.is(retval, XDP_DROP);
  assert.is(dataOut.length, data.length);
  assert.equal(dataOut.subarray(2), data.subarray(2));
  assert.is(ctxOut.length, 0);
  assert.ok(durationNs < 1e6);
  // struct xdp_md: data, data_end, data_meta, then ingress_ifindex.
  const ctxIn = new Uint8Array(Uint32Array.of(0, data.length, 0, 0, 0, 0).buffer);
  assert.equal(program.testRun({ data, ctxIn }).ctxOut, ctxIn);
});

test('a tc program sees and returns struct __sk_buff', () => {
  using object = loadBasic();
  using program = object.program('test_tc');
  const { retval, ctxOut } = program.testRun({ data: frame(), ctxIn: new Uint8Array(192) });
  assert.is(retval, 0);
  assert.is(new DataView(ctxOut.buffer).getUint32(8, true), 7);  // mark
});

test('a syscall program gives its context back', async () => {
  using object = loadBasic();
  using program = object.program('test_syscall');
  const ctx = new Uint8Array(Uint32Array.of(2, 3, 0).buffer);
  const after = new Uint8Array(Uint32Array.of(2, 3, 5).buffer);
  const { retval, ctxOut } = program.runSyscall(ctx);
  assert.is(retval, 5);
  assert.equal(ctxOut, after);
  assert.equal((await program.runSyscallAsync(ctx)).ctxOut, after);
  assert.throws(() => program.runSyscall(new Uint8Array(4)), hasCode('EINVAL'));
});

test('test runs that cannot be are refused', async () => {
  using object = loadBasic();
  using program = object.program('test_pass');
  assert.throws(() => program.testRun({ data: new Uint8Array(3) }), hasCode('EINVAL'));
  assert.throws(() => program.testRun({ data: frame(), dataOutSize: 10 }), hasCode('ENOSPC'));
  assert.throws(() => program.testRun({ data: frame(), repeat: -1 }), /repeat must be/);
  const refused = await program.testRunAsync({ data: new Uint8Array(3) }).catch((e: unknown) => e);
  assert.ok(hasCode('EINVAL')(refused));
});

test('info: what the kernel made of it, and how often it ran', () => {
  using object = loadBasic();
  using program = object.program('test_pass');
  const stats = BpfProgram.enableStats();
  program.testRun({ data: frame(), repeat: 10 });
  stats.close();
  const { info } = program;
  assert.is(info.name, 'test_pass');
  assert.is(info.type, 'xdp');
  assert.match(info.tag, /^[0-9a-f]{16}$/);
  assert.ok(info.jited);
  assert.is(info.xlatedSize, 16);
  assert.is(info.verifiedInstructions, 2);
  assert.is(info.runCount, 10n);
  using same = BpfProgram.fromId(info.id);
  assert.is(same.info.tag, info.tag);
});

test('pin and open', () => {
  const bpffs = makeBpffs();
  try {
    using object = loadBasic();
    using program = object.program('test_pass');
    program.pin(`${bpffs.path}/p`);
    using again = BpfProgram.openPinned(`${bpffs.path}/p`);
    assert.is(again.info.id, program.info.id);
    assert.is(again.testRun({ data: frame() }).retval, XDP_PASS);
  } finally {
    bpffs.remove();
  }
});

test('live frames go where the verdict sends them, off the event loop', async () => {
  const netns = makeNetns();
  try {
    using object = loadBasic();
    // XDP_TX after the rewrite: out by the device the frame is said to have come in on.
    using program = object.program('test_pass');
    using socket = PacketSocket.open({ device: 'left', netns: netns.path, promiscuous: true });
    const ifindex = inNetns(netns.path, () => ifNameToIndex('left')!);
    const ctxIn = new Uint8Array(Uint32Array.of(0, 64, 0, ifindex, 0, 0).buffer);
    const run = { data: frame(5), ctxIn, liveFrames: true, batchSize: 8 };
    // The device's index means the one in the namespace of the thread that runs the test.
    inNetns(netns.path, () => program.testRun({ ...run, repeat: 20 }));
    const got: Uint8Array[] = [];
    await eventually('20 frames', () => got.push(...socket.receive()) >= 20);
    assert.is(got.length, 20);
    assert.equal(got[0], frame(5));
    let turns = 0;
    const timer = setInterval(() => { turns += 1; }, 1);
    using rewrite = object.program('test_rewrite');
    const result = await rewrite.testRunAsync({ data: frame(), liveFrames: true, repeat: 200_000 });
    clearInterval(timer);
    assert.is(result.dataOut.length, 0);
    assert.ok(turns > 3, `the event loop turned ${turns} times`);
  } finally {
    netns.remove();
  }
});

test('a program may be closed while a test run is under way', async () => {
  using object = loadBasic();
  const program = object.program('test_pass');
  const run = program.testRunAsync({ data: frame(), repeat: 100_000 });
  program.close();
  object.close();
  assert.is((await run).retval, XDP_PASS);
});

test.run();
