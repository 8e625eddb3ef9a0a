import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  eventually, frame, hasCode, loadBasic, makeBpffs, makeNetns,
} from './kernel.fixture.js';
import {
  BpfLink, ifNameToIndex, inNetns, PacketSocket, queryTcx, queryXdp, TcFilter,
} from './mod.js';

const netns = makeNetns();
const bpffs = makeBpffs();
const inside = <T>(call: () => T): T => inNetns(netns.path, call);
const left = inside(() => ifNameToIndex('left')!);
const object = loadBasic();
const pass = object.program('test_pass');
const drop = object.program('test_rewrite');
const tc = object.program('test_tc');

test.after(() => {
  bpffs.remove();
  netns.remove();
});

for (const mode of ['drv', 'skb'] as const) {
  test(`XDP in ${mode} mode: attach, take frames, update, close`, async () => {
    using sender = PacketSocket.open({ device: 'right', netns: netns.path });
    using receiver = PacketSocket.open({ device: 'left', netns: netns.path });
    const link = inside(() => BpfLink.attachXdp(drop, left, mode));
    const query = inside(() => queryXdp(left));
    assert.is(query.mode, mode);
    assert.is(query[mode], drop.info.id);
    assert.equal(link.info,
      { id: link.info.id, programId: drop.info.id, kind: 'xdp', ifindex: left });
    assert.throws(() => inside(() => BpfLink.attachXdp(pass, left, mode)), hasCode('EBUSY'));

    sender.send(frame(1));
    assert.throws(() => link.update(pass, pass), hasCode('EPERM'));
    link.update(pass, drop);
    assert.is(link.info.programId, pass.info.id);
    sender.send(frame(2));
    const got: Uint8Array[] = [];
    await eventually('the passed frame', () => got.push(...receiver.receive()) > 0);
    assert.equal(got.map((each) => each[14]), [2]);

    link.close();
    link.close();
    assert.throws(() => link.info, hasCode('EBADF'));
    assert.is(inside(() => queryXdp(left)).mode, 'none');
  });
}

test('a pinned link outlives its descriptor; detach ends it for all', () => {
  const path = `${bpffs.path}/link`;
  inside(() => BpfLink.attachXdp(pass, left, 'drv')).pin(path);
  using again = BpfLink.openPinned(path);
  assert.is(again.info.ifindex, left);
  again.update(drop);
  assert.is(inside(() => queryXdp(left)).drv, drop.info.id);
  again.detach();
  assert.is(again.info.ifindex, 0);
  assert.is(inside(() => queryXdp(left)).mode, 'none');
  assert.throws(() => again.update(pass), hasCode('ENOLINK'));
});

test('tcx: both directions, first and last', () => {
  inside(() => {
    assert.equal(queryTcx(left, 'ingress'), []);
    using object2 = loadBasic();
    using other = object2.program('test_tc');
    using a = BpfLink.attachTcx(tc, left, 'ingress');
    using b = BpfLink.attachTcx(other, left, 'ingress', 'first');
    using c = BpfLink.attachTcx(tc, left, 'egress', 'last');
    assert.equal(queryTcx(left, 'ingress'), [other.info.id, tc.info.id]);
    assert.equal([a.info.kind, b.info.kind, c.info.kind],
      ['tcx_ingress', 'tcx_ingress', 'tcx_egress']);
    using object3 = loadBasic();
    using third = object3.program('test_tc');
    b.update(third, other);
    assert.equal(queryTcx(left, 'ingress'), [third.info.id, tc.info.id]);
    assert.throws(() => b.update(tc), hasCode('EEXIST'));
    assert.throws(() => BpfLink.attachTcx(pass, left, 'ingress'), hasCode('EINVAL'));
  });
  assert.equal(inside(() => queryTcx(left, 'ingress')), []);
});

test('clsact filters stay until they are detached', () => {
  inside(() => {
    const filter = TcFilter.attach(tc, left, 'ingress', { handle: 3, priority: 9 });
    const again = TcFilter.attach(tc, left, 'ingress', { handle: 3, priority: 9 });
    assert.equal([again.handle, again.priority], [3, 9]);
    filter.detach();
    assert.throws(() => filter.detach(), hasCode('ENOENT'));
    TcFilter.removeQdisc(left);
    assert.throws(() => TcFilter.removeQdisc(left), hasCode('EINVAL'));
  });
});

test('devices and programs that do not fit', () => {
  assert.throws(() => inside(() => BpfLink.attachXdp(pass, 9999, 'drv')), hasCode('EINVAL'));
  assert.throws(() => inside(() => BpfLink.attachXdp(tc, left, 'drv')), hasCode('EINVAL'));
  assert.throws(() => inside(() => BpfLink.attachXdp(pass, 1, 'drv')), hasCode('EOPNOTSUPP'));
});

test.run();
