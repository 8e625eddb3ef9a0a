/** VLAN tags in TC, where they are beside the frame: over real devices. */
import './dataplane_tc.fixture.js';
import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as layout from '../../abi/generated.js';
import { ifNameToIndex, inNetns, PacketSocket, TcFilter } from '../../libbpf/mod.js';
import { eventually, makeNetns } from '../../libbpf/kernel.fixture.js';
import { abi, Dataplane, macWords, output, outputTo } from './dataplane.fixture.js';
import { concat, eth, fromHex, hex, ip4, udp, type Bytes } from '../packet.js';

const A = '02:00:00:00:00:0a', B = '02:00:00:00:00:0b', C = '02:00:00:00:00:0c';
const VLAN = 42;
const frameTo = (dst: string, size = 20): Bytes => eth({ src: A, dst },
  ip4({ src: '10.0.0.1', dst: '10.0.0.2' },
    udp({ src: 1000, dst: 2000 }, new Uint8Array(size))));
const tagged = (bytes: Bytes, tci: number): Bytes => concat(bytes.subarray(0, 12),
  fromHex(`8100${tci.toString(16).padStart(4, '0')}`), bytes.subarray(12));

const test = suite('tc: provider networks');

/** Switch 1: VIF 1 on device `vif` (its other end `vm`), localnet port 3 on `left` (`right`). */
function withDevices(check: (wire: PacketSocket, vm: PacketSocket, plane: Dataplane,
  vif: number) => Promise<void>) {
  return async (): Promise<void> => {
    const netns = makeNetns();
    const plane = Dataplane.load();
    try {
      execFileSync('ip', ['-n', netns.name, 'link', 'add', 'vif', 'type', 'veth', 'peer', 'name',
        'vm']);
      for (const name of ['vif', 'vm']) {
        execFileSync('ip', ['-n', netns.name, 'link', 'set', name, 'up']);
      }
      const [nic, vif] = inNetns(netns.path, () => ['left', 'vif'].map((name) => {
        const ifindex = ifNameToIndex(name)!;
        TcFilter.attach(plane.forward, ifindex, 'ingress');
        return ifindex;
      })) as [number, number];
      const iface = (ifindex: number, role: number): void => {
        plane.map('ifaces').update(layout.ifaceKey.toBytes({ buffer: 0, ifindex }),
          layout.iface.toBytes({ role, datapath: 1, port: 1, mtu: 1500, zone: 1, flags: 0 }));
      };
      iface(nic, abi.IFACE_PROVIDER);
      iface(vif, abi.IFACE_VIF);
      plane.datapath(1);
      plane.port(1, 1, { ifindex: vif, zone: 1, mtu: 1500 });
      plane.port(1, 3, { kind: abi.PORT_LOCALNET, ifindex: nic, zone: 2, mtu: 1500,
        vlan: 0x1000 | VLAN });
      const [high, low] = macWords(B);
      plane.map('providers').update(layout.providerKey.toBytes({ buffer: 0, ifindex: nic,
        vlan_mac_hi: (VLAN << 16 | high) >>> 0, mac_lo: low }),
      layout.provider.toBytes({ datapath: 1, port: 3, zone: 2, flags: 0, router_mac: [0, 0] }));
      plane.table(1, 0, [
        { ...outputTo(1), match: [[abi.FW_ETH_DST + 1, low]] },
        { ...outputTo(3), match: [[abi.FW_ETH_DST + 1, macWords(C)[1]]] }]);
      plane.table(1, abi.TABLE_EGRESS, [{ ops: [output] }]);
      using wire = PacketSocket.open({ device: 'right', netns: netns.path, promiscuous: true });
      using vm = PacketSocket.open({ device: 'vm', netns: netns.path, promiscuous: true });
      await check(wire, vm, plane, vif);
    } finally {
      plane.close();
      netns.remove();
    }
  };
}
async function arrived(socket: PacketSocket): Promise<string> {
  const frames: Uint8Array[] = [];
  await eventually('a frame arrives', () => frames.push(...socket.receive()) > 0);
  return hex(frames[0]!);
}

/** As walked, and as cached. */
const twice = async (plane: Dataplane, once: () => Promise<void>): Promise<void> => {
  await once();
  plane.cacheSets = 64;
  plane.control(1);
  await once();
  await once();
};

test('a tag is pushed on the way out', withDevices(async (wire, vm, plane) => {
  await twice(plane, async () => {
    vm.send(frameTo(C));
    assert.is(await arrived(wire), hex(tagged(frameTo(C), VLAN)));
  });
}));

test('a tag is taken off on the way in, whatever its priority', withDevices(
  async (wire, vm, plane) => {
    for (const tci of [VLAN, 0xe000 | VLAN]) {
      await twice(plane, async () => {
        wire.send(tagged(frameTo(B), tci));
        assert.is(await arrived(vm), hex(frameTo(B)));
      });
    }
  }));

test('another tag, none, or another address stays with OVS', withDevices(
  async (wire, vm, plane) => {
    const before = plane.counter('punts', abi.PUNT_NOT_OVN).packets;
    for (const frame of [tagged(frameTo(B), 7), frameTo(B), tagged(frameTo(A), VLAN)]) {
      wire.send(frame);
    }
    await eventually('three frames are left to OVS', () =>
      plane.counter('punts', abi.PUNT_NOT_OVN).packets === before + 3);
    assert.equal(vm.receive(), []);
    vm.send(tagged(frameTo(C), VLAN));
    await eventually('a tagged frame of a VIF is left to OVS', () =>
      plane.counter('punts', abi.PUNT_VLAN).packets === 1);
    assert.equal(wire.receive(), []);
  }));

test('a port nested in a VIF has a tag of its own there, and none inside', withDevices(
  async (wire, vm, plane, vif) => {
    const own = 5, [high, low] = macWords(B);
    plane.port(1, 2, { ifindex: vif, zone: 4, mtu: 1500, vlan: layout.TAG_PRESENT | own });
    plane.map('providers').update(layout.providerKey.toBytes({ buffer: 0, ifindex: vif,
      vlan_mac_hi: own << 16, mac_lo: 0 }), layout.provider.toBytes({ datapath: 1, port: 2,
      zone: 4, flags: layout.FLAG_NESTED, router_mac: [0, 0] }));
    plane.table(1, 0, [
      { ...outputTo(2), match: [[abi.FW_ETH_DST, high], [abi.FW_ETH_DST + 1, low]] },
      { ...outputTo(3), match: [[abi.FW_ETH_DST + 1, macWords(C)[1]]] }]);
    await twice(plane, async () => {
      vm.send(tagged(frameTo(C), own));
      assert.is(await arrived(wire), hex(tagged(frameTo(C), VLAN)));
      wire.send(tagged(frameTo(B), VLAN));
      assert.is(await arrived(vm), hex(tagged(frameTo(B), own)));
    });
    vm.send(tagged(frameTo(C), 7));
    await eventually('another tag is left to OVS', () =>
      plane.counter('punts', abi.PUNT_VLAN).packets === 1);
  }));

test.run();
