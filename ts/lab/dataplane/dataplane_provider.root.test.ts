/** Physical networks: localnet ports in and out, with and without VLAN tags. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as layout from '../../abi/generated.js';
import { abi, Dataplane, hook, INGRESS, macWords, outputTo, set, output, XDP, type TestRule }
  from './dataplane.fixture.js';
import { concat, eth, fromHex, geneve, hex, ip4, mac, udp, type Bytes } from '../packet.js';

const A = '02:00:00:00:00:0a', B = '02:00:00:00:00:0b', BRIDGE = '02:00:00:00:00:cc',
  CHASSIS = '06:00:00:00:00:01';
const NIC = 100, VLAN = 42, TAG = 0x1000 | VLAN;
const bytesOf = (dst = B, size = 0): Bytes => eth({ src: A, dst },
  ip4({ src: '10.0.0.1', dst: '10.0.0.2' },
    udp({ src: 1000, dst: 2000 }, new Uint8Array(size))));
const frame = bytesOf();
/** The frame with these tags, outermost first. */
const tagged = (bytes: Bytes, ...tags: readonly number[]): Bytes => concat(bytes.subarray(0, 12),
  ...tags.map((tci) => fromHex(`8100${tci.toString(16).padStart(4, '0')}`)), bytes.subarray(12));
const delivery: TestRule = { ops: [output] };

/** Switch 1 with VIFs 1 and 2 and localnet port 3 on NIC. */
function network(rules: readonly TestRule[], vlan = TAG): Dataplane {
  const plane = Dataplane.load();
  plane.datapath(1);
  plane.port(1, 1, { ifindex: INGRESS, zone: 7 });
  plane.port(1, 2, { ifindex: 101, zone: 8, mtu: 1500 });
  plane.port(1, 3, { kind: abi.PORT_LOCALNET, ifindex: NIC, zone: 9, mtu: 1500, vlan,
    mac: macWords(BRIDGE) });
  plane.port(1, 4, { kind: abi.PORT_REDIRECT, peer_port: 3 });
  plane.port(1, 0x8001, { kind: abi.PORT_REDIRECT, peer_port: 3 });
  plane.device(101);
  plane.device(NIC);
  plane.table(1, 0, rules);
  plane.table(1, abi.TABLE_EGRESS, [delivery]);
  return plane;
}

/** Frames come in by the NIC: those to B on the VLAN (0: untagged) are port 3's. */
function asProvider(plane: Dataplane, vlan: number, role: number = abi.IFACE_PROVIDER,
  router_mac: readonly number[] = [0, 0]): void {
  plane.map('ifaces').update(layout.ifaceKey.toBytes({ buffer: 0, ifindex: INGRESS }),
    layout.iface.toBytes({ role, datapath: 0, port: 0, mtu: 1500, zone: 0, flags: 0 }));
  const [high, low] = macWords(B);
  plane.map('providers').update(layout.providerKey.toBytes({ buffer: 0, ifindex: INGRESS,
    vlan_mac_hi: (vlan << 16 | high) >>> 0, mac_lo: low }),
  layout.provider.toBytes({ datapath: 1, port: 3, zone: 9, flags: 0, router_mac }));
}

interface Outcome { readonly action: number; readonly out: string; readonly totals: unknown }
/** Once by a walk, once more by the cache, which must say the same. */
function run(plane: Dataplane, bytes: Bytes): Outcome {
  const once = (): Outcome => {
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

const test = suite('dataplane: provider networks');

/** TC keeps tags beside the frame, where a test run does not show them: provider_tc.root.test. */
const pushed = (bytes: Bytes): Bytes => hook === 'xdp' ? tagged(bytes, VLAN) : bytes;

for (const [name, port] of [['the port', 3], ['another port behind it', 4],
  ['a group that is nothing else', 0x8001]] as const) {
  test(`output to ${name} leaves by the NIC, tagged`, () => {
    const plane = network([outputTo(port)]);
    plane.ingress(1, 1);
    assert.equal(run(plane, frame),
      { action: XDP.redirect, out: hex(pushed(frame)), totals: { forwarded: 1 } });
  });
}

test('an untagged network takes the frame as it is, and up to its MTU', () => {
  for (const [size, forwarded] of [[1472, true], [1473, false]] as const) {
    const plane = network([outputTo(3)], 0);
    plane.ingress(1, 1);
    const bytes = bytesOf(B, size), { action, out, totals } = run(plane, bytes);
    assert.is(out, hex(bytes));
    assert.equal([action, totals], forwarded ? [XDP.redirect, { forwarded: 1 }]
      : [XDP.pass, { 'punt MTU': 1 }]);
  }
});

test('the bridge\'s own address and groups are left to OVS', () => {
  for (const [dst, reason] of [[BRIDGE, 'UNKNOWN_PORT'], ['01:00:5e:00:00:01', 'MULTICAST'],
    ['ff:ff:ff:ff:ff:ff', 'MULTICAST']] as const) {
    const plane = network([outputTo(3)]);
    plane.ingress(1, 1);
    const bytes = bytesOf(dst);
    assert.equal(run(plane, bytes),
      { action: XDP.pass, out: hex(bytes), totals: { [`punt ${reason}`]: 1 } });
  }
});

test('a frame to OVN on an untagged network enters at the localnet port', () => {
  // In TC the geneve device is the uplink, and no NIC.
  const roles = [abi.IFACE_PROVIDER, abi.IFACE_PROVIDER | abi.IFACE_UPLINK];
  for (const role of hook === 'xdp' ? roles : roles.slice(0, 1)) {
    const plane = network([outputTo(2)], 0);
    asProvider(plane, 0, role);
    const traced = plane.trace(frame);
    assert.is(traced.steps[0]?.datapath, 1);
    assert.equal([traced.words[abi.FW_INPORT], traced.words[abi.FW_CT_ZONE]], [3, 8]);
    assert.equal(run(plane, frame),
      { action: XDP.redirect, out: hex(frame), totals: { forwarded: 1 } });
  }
});

test('what is not to OVN passes untouched, whatever the rules say', () => {
  const others = [bytesOf('02:00:00:00:00:99'), bytesOf('ff:ff:ff:ff:ff:ff'), bytesOf(BRIDGE),
    tagged(frame, 7), concat(mac('02:00:00:00:00:99'), new Uint8Array(48).fill(0xff))];
  for (const bytes of others) {
    const plane = network([{ ops: [] }], 0);
    asProvider(plane, 0);
    const { action, out, totals } = run(plane, bytes);
    assert.equal([action, out], [XDP.pass, hex(bytes)]);
    // In a test run of TC the tag stands in the frame, which only parsing finds.
    const inFrame = hook === 'tc' && bytes === others[3];
    assert.equal(totals, { [inFrame ? 'punt VLAN' : 'punt NOT_OVN']: 1 });
  }
});

test('back out of the same network only with the loopback flag', () => {
  const hairpin = network([outputTo(3)], 0);
  asProvider(hairpin, 0);
  assert.equal(run(hairpin, frame).totals, { 'drop LOOPBACK': 1 });
  const loop = network([{ ops: [set(abi.FW_FLAGS, 0), set(abi.FW_OUTPORT, 1), output],
    args: [1, 3] }], 0);
  asProvider(loop, 0);
  assert.equal(run(loop, frame).totals, { forwarded: 1 });
});

if (hook === 'xdp') {
  test('out of a tunnel and on to a network of the same device, again and again', () => {
    const plane = network([{ ops: [] }]);
    asProvider(plane, 0, abi.IFACE_PROVIDER | abi.IFACE_UPLINK);
    plane.port(1, 3, { kind: abi.PORT_LOCALNET, ifindex: INGRESS, zone: 9, mtu: 1500 });
    const [us, them] = [{ mac: A, ip: '192.0.2.1' }, { mac: B, ip: '192.0.2.2' }];
    plane.tunnel(1, { local: us.ip, remote: them.ip, ethSrc: us.mac, ethDst: them.mac });
    const outer = eth({ src: them.mac, dst: us.mac }, ip4({ src: them.ip, dst: us.ip },
      geneve({ vni: 1, inport: 9, outport: 3, sport: 5000 }, frame)));
    assert.equal(run(plane, outer),
      { action: XDP.redirect, out: hex(frame), totals: { forwarded: 1 } });
  });

  test('a tag is taken off, whatever its priority', () => {
    for (const tci of [VLAN, 0xe000 | VLAN, 0x1000 | VLAN]) {
      const plane = network([outputTo(2)]);
      asProvider(plane, VLAN);
      assert.equal(run(plane, tagged(frame, tci)),
        { action: XDP.redirect, out: hex(frame), totals: { forwarded: 1 } });
    }
  });

  test('a tag of priority alone is no VLAN', () => {
    const plane = network([outputTo(2)], 0);
    asProvider(plane, 0);
    assert.equal(run(plane, tagged(frame, 0xa000)),
      { action: XDP.redirect, out: hex(frame), totals: { forwarded: 1 } });
  });

  test('other tags, none, and two are OVS\'s', () => {
    for (const [bytes, reason] of [[frame, 'NOT_OVN'], [tagged(frame, 7), 'NOT_OVN'],
      [tagged(frame, VLAN, 7), 'VLAN'], [tagged(frame, VLAN).subarray(0, 17), 'MALFORMED']] as
      const) {
      const plane = network([outputTo(2)]);
      asProvider(plane, VLAN);
      assert.equal(run(plane, bytes),
        { action: XDP.pass, out: hex(bytes), totals: { [`punt ${reason}`]: 1 } });
    }
  });

  test('from one VLAN to another the tag changes', () => {
    const plane = network([outputTo(5)]);
    plane.port(1, 5, { kind: abi.PORT_LOCALNET, ifindex: NIC, vlan: 0x1007, zone: 1 });
    asProvider(plane, VLAN);
    plane.map('providers').update(layout.providerKey.toBytes({ buffer: 0, ifindex: INGRESS,
      vlan_mac_hi: (VLAN << 16 | macWords(B)[0]) >>> 0, mac_lo: macWords(B)[1] }),
    layout.provider.toBytes({ datapath: 2, port: 1, zone: 1, flags: 0, router_mac: [0, 0] }));
    plane.datapath(2);
    plane.table(2, 0, [outputTo(2)]);
    plane.table(2, abi.TABLE_EGRESS, [delivery]);
    plane.port(2, 2, { kind: abi.PORT_PATCH, peer_datapath: 1, peer_port: 9 });
    assert.equal(run(plane, tagged(frame, 0x6000 | VLAN)), { action: XDP.redirect,
      out: hex(tagged(frame, 7)), totals: { forwarded: 1 } });
  });

  test('a tagged VIF frame is OVS\'s', () => {
    const plane = network([outputTo(3)]);
    plane.ingress(1, 1);
    const bytes = tagged(frame, VLAN);
    assert.equal(run(plane, bytes),
      { action: XDP.pass, out: hex(bytes), totals: { 'punt VLAN': 1 } });
  });
}

/** As net_macs has it: datapath (0: other chassis'), source, what it becomes. */
function hide(plane: Dataplane, datapath: number, from: string, to: string): void {
  const [mac_hi, mac_lo] = macWords(from), [high, low] = macWords(to);
  plane.map('net_macs').update(layout.netMacKey.toBytes({ buffer: 0, datapath, mac_hi, mac_lo }),
    layout.netMac.toBytes({ mac_hi: high, mac_lo: low }));
}
const from = (src: string): Bytes =>
  concat(frame.subarray(0, 6), mac(src), frame.subarray(12));

test('a router\'s address is hidden on the way out, and only that', () => {
  for (const [hides, src, expected] of [[1, A, CHASSIS], [1, BRIDGE, BRIDGE], [0, A, A]] as const) {
    const plane = network([outputTo(3)], 0);
    plane.ingress(1, 1);
    plane.port(1, 3, { kind: abi.PORT_LOCALNET, ifindex: NIC, zone: 9, mtu: 1500, hides });
    hide(plane, 1, A, CHASSIS);
    hide(plane, 2, BRIDGE, CHASSIS);
    assert.equal(run(plane, from(src)),
      { action: XDP.redirect, out: hex(from(expected)), totals: { forwarded: 1 } });
  }
});

test('what other chassis routed comes from the router again', () => {
  const router = macWords(A);
  for (const [src, router_mac, expected] of [[CHASSIS, router, A], [BRIDGE, router, BRIDGE],
    [CHASSIS, [0, 0], CHASSIS], [CHASSIS, [0xffffffff, 0], undefined],
    [BRIDGE, [0xffffffff, 0], BRIDGE]] as const) {
    const plane = network([outputTo(2)], 0);
    asProvider(plane, 0, abi.IFACE_PROVIDER, router_mac);
    hide(plane, 0, CHASSIS, '00:00:00:00:00:00');
    assert.equal(run(plane, from(src)), expected === undefined
      ? { action: XDP.pass, out: hex(from(src)), totals: { 'punt UNSUPPORTED_PORT': 1 } }
      : { action: XDP.redirect, out: hex(from(expected)), totals: { forwarded: 1 } });
  }
});

test('a gateway of a provider network is reached there, past all egress pipelines', () => {
  const bridged = (kind: number, hides = 0): Dataplane => {
    const plane = network([outputTo(5)]);
    plane.ingress(1, 1);
    plane.port(1, 5, { kind: abi.PORT_BRIDGED, peer_datapath: 2, peer_port: 7,
      mac: macWords(BRIDGE) });
    plane.datapath(2);
    plane.port(2, 7, { kind, ifindex: NIC, mtu: 1500, vlan: TAG, zone: 4, hides });
    return plane;
  };
  const out = (src: string): string => hex(pushed(from(src)));
  assert.equal(run(bridged(abi.PORT_LOCALNET), frame),
    { action: XDP.redirect, out: out(BRIDGE), totals: { forwarded: 1 } });
  const hiding = bridged(abi.PORT_LOCALNET, 1);
  hide(hiding, 2, BRIDGE, CHASSIS);
  assert.equal(run(hiding, frame),
    { action: XDP.redirect, out: out(CHASSIS), totals: { forwarded: 1 } });
  // The address is behind the bridge's other side: it would not leave by the NIC.
  const own = bridged(abi.PORT_LOCALNET), [high, low] = macWords(B);
  own.map('providers').update(layout.providerKey.toBytes({ buffer: 0, ifindex: NIC,
    vlan_mac_hi: (VLAN << 16 | high) >>> 0, mac_lo: low }), layout.provider.toBytes(
    { datapath: 2, port: 7, zone: 4, flags: 0, router_mac: [0, 0] }));
  assert.equal(run(own, frame),
    { action: XDP.pass, out: hex(frame), totals: { 'punt UNSUPPORTED_PORT': 1 } });
  assert.equal(run(bridged(abi.PORT_LOCAL), frame),
    { action: XDP.pass, out: hex(frame), totals: { 'punt UNSUPPORTED_PORT': 1 } });
});

test.run();
