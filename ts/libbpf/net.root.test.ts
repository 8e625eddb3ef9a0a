import { readlinkSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { eventually, frame, hasCode, makeNetns } from './kernel.fixture.js';
import {
  ifIndexToName, ifNameToIndex, inNetns, interfaces, PacketSocket, possibleCpus, probe,
  xdpFeatures,
} from './mod.js';

const netns = makeNetns();
test.after(() => netns.remove());
const here = (): string => readlinkSync('/proc/thread-self/ns/net');

test('interfaces of the namespace, not of the mounts', () => {
  const list = inNetns(netns.path, interfaces);
  assert.equal(list.map(({ name }) => name).sort(), ['left', 'lo', 'right']);
  const left = list.find(({ name }) => name === 'left')!;
  const right = list.find(({ name }) => name === 'right')!;
  assert.equal([left.kind, left.up, left.mtu, left.mac.length], ['veth', true, 1500, 6]);
  assert.is(left.link, right.index);
  assert.is(list.find(({ name }) => name === 'lo')!.kind, undefined);
  assert.is(inNetns(netns.path, () => ifNameToIndex('left')), left.index);
  assert.is(inNetns(netns.path, () => ifIndexToName(left.index)), 'left');
  assert.is(ifNameToIndex('no_such_device'), undefined);
  assert.is(ifIndexToName(0x7fff_ffff), undefined);
});

test('inNetns comes back, whatever happens inside', () => {
  const home = here();
  assert.is.not(inNetns(netns.path, here), home);
  assert.is(here(), home);
  assert.throws(() => inNetns(netns.path, () => { throw new Error('inside'); }), /inside/);
  assert.is(here(), home);
  assert.throws(() => inNetns('/run/netns/no_such', here), hasCode('ENOENT'));
  assert.throws(() => inNetns('/proc/self/exe', here), hasCode('EINVAL'));
  assert.throws(() => inNetns(netns.path, async () => 0), /must not be asynchronous/);
  assert.is(here(), home);
});

test('XDP features of a driver', () => {
  const features = inNetns(netns.path, () => xdpFeatures(ifNameToIndex('left')!))!;
  for (const name of ['basic', 'redirect'] as const) assert.ok(features.has(name), name);
  assert.not(features.has('hwOffload'));
  assert.equal([...xdpFeatures(1)!], []);
  assert.throws(() => xdpFeatures(0x7fff_fff), hasCode('ENODEV'));
});

test('probes answer yes and no', () => {
  assert.ok(probe.mapType('hash'));
  // Newer than the libbpf that is linked: it cannot say.
  assert.throws(() => probe.mapType('arena'), hasCode('EOPNOTSUPP'));
  assert.ok(probe.programType('xdp'));
  assert.ok(probe.helper('xdp', 51));      // bpf_redirect_map
  assert.not(probe.helper('xdp', 9));      // bpf_skb_store_bytes
  assert.ok(probe.kfunc('bpf_xdp_metadata_rx_hash'));
  assert.not(probe.kfunc('bpf_no_such_function'));
  assert.type(probe.tcx(), 'boolean');
  assert.ok(possibleCpus() >= 1);
});

test('a packet socket carries frames both ways, and not its own', async () => {
  using left = PacketSocket.open({ device: 'left', netns: netns.path });
  using right = PacketSocket.open({ device: 'right', netns: netns.path });
  const count = 1000;
  const frames = Array.from({ length: count }, (_, i) => frame(i & 0xff));
  assert.is(left.sendBatch(frames), count);
  assert.ok(right.send(frame(7)));
  const got: Uint8Array[] = [];
  await eventually('all frames', () => got.push(...right.receive(100)) >= count);
  assert.equal(got, frames);
  const back: Uint8Array[] = [];
  await eventually('one frame', () => back.push(...left.receive()) > 0);
  assert.equal(back, [frame(7)]);
  assert.equal(right.receive(), []);
  assert.is(right.drops, 0);
});

test('VLAN tags that the kernel takes off are put back', async () => {
  using left = PacketSocket.open({ device: 'left', netns: netns.path });
  using right = PacketSocket.open({ device: 'right', netns: netns.path, promiscuous: true });
  const tagged = (tpid: number): Uint8Array => {
    const bytes = frame(3);
    return Uint8Array.of(...bytes.subarray(0, 12), tpid >> 8, tpid & 0xff, 0x60, 0x2a,
      ...bytes.subarray(12));
  };
  const sent = [tagged(0x8100), tagged(0x88a8), frame(4)];
  left.sendBatch(sent);
  const got: Uint8Array[] = [];
  await eventually('three frames', () => got.push(...right.receive()) >= 3);
  assert.equal(got, sent);
});

test('a packet socket that cannot be', () => {
  assert.throws(() => PacketSocket.open({ device: 'left' }), hasCode('ENODEV'));
  assert.throws(() => PacketSocket.open({ device: 'left', netns: '/no' }), hasCode('ENOENT'));
  const socket = PacketSocket.open({ device: 'left', netns: netns.path });
  assert.throws(() => socket.sendBatch([frame(), 3 as unknown as Uint8Array]), /frame must be/);
  socket.close();
  socket.close();
  assert.throws(() => socket.send(frame()), hasCode('EBADF'));
  assert.throws(() => socket.receive(), hasCode('EBADF'));
});

test.run();
