/** Ports nested in a VIF by a VLAN, and localports, which stay on their chassis. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as layout from '../../abi/generated.js';
import { abi, Dataplane, hook, INGRESS, output, outputTo, patch, set, XDP, type TestRule }
  from './dataplane.fixture.js';
import { concat, eth, fromHex, hex, ip4, udp, type Bytes } from '../packet.js';

const A = '02:00:00:00:00:0a', B = '02:00:00:00:00:0b';
const VLAN = 5, OTHER = 6, VIF = 1, NESTED = 2, BESIDE = 3, FAR = 4;
const frame = eth({ src: A, dst: B }, ip4({ src: '10.0.0.1', dst: '10.0.0.2' },
  udp({ src: 1000, dst: 2000 }, new Uint8Array(20))));
const tagged = (bytes: Bytes, ...tags: readonly number[]): Bytes => concat(bytes.subarray(0, 12),
  ...tags.map((tci) => fromHex(`8100${tci.toString(16).padStart(4, '0')}`)), bytes.subarray(12));

/** Switch 1 with a VIF on the device that frames come by, two ports nested in it, and a VIF on
 * another device. */
function nested(rules: readonly TestRule[]): Dataplane {
  const plane = Dataplane.load();
  plane.datapath(1);
  plane.ingress(1, VIF);
  const at = { ifindex: INGRESS, mtu: 1500 };
  plane.port(1, VIF, at);
  plane.port(1, NESTED, { ...at, vlan: layout.TAG_PRESENT | VLAN, zone: 7 });
  plane.port(1, BESIDE, { ...at, vlan: layout.TAG_PRESENT | OTHER });
  plane.port(1, FAR, { ifindex: 101, mtu: 1500 });
  plane.device(101);
  for (const [vlan, port] of [[VLAN, NESTED], [OTHER, BESIDE]] as const) {
    plane.map('providers').update(layout.providerKey.toBytes({ buffer: 0, ifindex: INGRESS,
      vlan_mac_hi: vlan << 16, mac_lo: 0 }), layout.provider.toBytes({ datapath: 1, port,
      zone: 7, flags: layout.FLAG_NESTED, router_mac: [0, 0] }));
  }
  plane.table(1, 0, rules);
  plane.table(1, abi.TABLE_EGRESS, [{ ops: [output] }]);
  return plane;
}

/** Once by a walk, once more by the cache, which must say the same. */
function run(plane: Dataplane, bytes: Bytes) {
  const once = () => {
    const { action, frame: out } = plane.run(bytes);
    return { action, out: hex(out), totals: plane.totals() };
  };
  const first = once();
  plane.cacheSets = 64;
  plane.control(1);
  once();
  const cached = once();
  assert.equal([cached.action, cached.out], [first.action, first.out], 'the cache');
  plane.close();
  return first;
}
const sent = (bytes: Bytes) => ({ action: XDP.redirect, out: hex(bytes),
  totals: { forwarded: 1 } });
const left = (bytes: Bytes, reason: string) => ({ action: XDP.pass, out: hex(bytes),
  totals: { [`punt ${reason}`]: 1 } });
const dropped = (bytes: Bytes) => ({ action: XDP.drop, out: hex(bytes),
  totals: { 'drop LOOPBACK': 1 } });

const test = suite('dataplane: nested ports and localports');

/** TC keeps tags beside the frame, where a test run does not show them: provider_tc.root.test. */
if (hook === 'xdp') {
  test('a frame with a nested port\'s tag enters there, without it, and knows that it did', () => {
    for (const tci of [VLAN, 0xe000 | VLAN, 0x1000 | VLAN]) {
      const plane = nested([outputTo(FAR)]);
      const { words } = plane.trace(tagged(frame, tci));
      assert.equal([abi.FW_INPORT, abi.FW_FLAGS, abi.FW_ETH_TYPE].map((word) => words[word]),
        [NESTED, layout.FLAG_NESTED, 0x0800 << 16]);
      assert.equal(run(plane, tagged(frame, tci)), sent(frame));
    }
  });

  test('nested ports and their VIF reach each other by one device, each with its tag', () => {
    const cases = [[frame, NESTED, tagged(frame, VLAN)], [tagged(frame, VLAN), VIF, frame],
      [tagged(frame, VLAN), BESIDE, tagged(frame, OTHER)],
      [tagged(frame, OTHER), FAR, frame]] as const;
    for (const [bytes, port, out] of cases) {
      assert.equal(run(nested([outputTo(port)]), bytes), sent(out));
    }
  });

  test('a nested port does not get back what it sent, unless it is to loop', () => {
    const bytes = tagged(frame, VLAN);
    assert.equal(run(nested([outputTo(NESTED)]), bytes), dropped(bytes));
    const loop = { ops: [set(abi.FW_FLAGS, 0, 1), set(abi.FW_OUTPORT, 1), output],
      args: [1, NESTED] };
    assert.equal(run(nested([loop]), bytes), sent(bytes));
  });

  test('tags that are no nested port\'s, priority alone, and two are OVS\'s', () => {
    for (const tags of [[7], [0xe000], [VLAN, 7], [7, VLAN], [4095]]) {
      const bytes = tagged(frame, ...tags);
      assert.equal(run(nested([outputTo(FAR)]), bytes), left(bytes, 'VLAN'));
    }
  });

  test('a frame of another device with the tag is not the nested port\'s', () => {
    const plane = nested([outputTo(FAR)]);
    plane.map('providers').delete(layout.providerKey.toBytes({ buffer: 0, ifindex: INGRESS,
      vlan_mac_hi: VLAN << 16, mac_lo: 0 }));
    const bytes = tagged(frame, VLAN);
    assert.equal(run(plane, bytes), left(bytes, 'VLAN'));
  });
}

test('an untagged frame of the VIF is its own, and goes to it no more', () => {
  assert.is(nested([outputTo(FAR)]).trace(frame).words[abi.FW_INPORT], VIF);
  assert.equal(run(nested([outputTo(VIF)]), frame), dropped(frame));
});

test('what comes from a localport leaves the chassis neither by a tunnel nor by a network', () => {
  for (const [kind, flags, reason] of [[abi.PORT_REMOTE, layout.FLAG_LOCALPORT, 'UNSUPPORTED_PORT'],
    [abi.PORT_LOCALNET, layout.FLAG_LOCALPORT, 'UNSUPPORTED_PORT'],
    [abi.PORT_REMOTE, 0, 'NO_NEXT_HOP'], [abi.PORT_LOCALNET, 0, undefined],
    [abi.PORT_LOCAL, layout.FLAG_LOCALPORT, undefined]] as const) {
    const plane = nested([outputTo(FAR)]);
    plane.port(1, FAR, { kind, ifindex: 101, mtu: 1500 });
    plane.map('ifaces').update(layout.ifaceKey.toBytes({ buffer: 0, ifindex: INGRESS }),
      layout.iface.toBytes({ role: abi.IFACE_VIF, datapath: 1, port: VIF, mtu: 1500, zone: 0,
        flags }));
    assert.equal(run(plane, frame), reason ? left(frame, reason) : sent(frame));
  }
});

test('beyond a router it may: there the localport is not its sender', () => {
  const plane = nested([outputTo(FAR)]);
  plane.port(1, FAR, patch(2, 1));
  plane.datapath(2);
  plane.port(2, 9, { kind: abi.PORT_LOCALNET, ifindex: 101, mtu: 1500 });
  plane.table(2, 0, [outputTo(9)]);
  plane.table(2, abi.TABLE_EGRESS, [{ ops: [output] }]);
  plane.map('ifaces').update(layout.ifaceKey.toBytes({ buffer: 0, ifindex: INGRESS }),
    layout.iface.toBytes({ role: abi.IFACE_VIF, datapath: 1, port: VIF, mtu: 1500, zone: 0,
      flags: layout.FLAG_LOCALPORT }));
  assert.equal(run(plane, frame), sent(frame));
});

test.run();
