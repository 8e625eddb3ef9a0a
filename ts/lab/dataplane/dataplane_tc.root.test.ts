/** The same tests for the TC object, but for tunnels, and what only TC does. */
import './dataplane_tc.fixture.js';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { abi, Dataplane, INGRESS, outputTo, UNDERLAY, XDP, type TestTunnel }
  from './dataplane.fixture.js';
import './conntrack_sums.root.test.js';
import './dataplane_insns.root.test.js';
import './dataplane_nd.root.test.js';
import './dataplane_parse.root.test.js';
import './dataplane_provider.root.test.js';
import './dataplane_rewrite.root.test.js';
import './dataplane_switch.root.test.js';
import './held.root.test.js';
import './synth.root.test.js';
import { arp, describe, eth, geneve, hex, icmp, ip4, ip6, tcp, udp, type Bytes,
  type Layer3 }
  from '../packet.js';

const US = '02:00:00:00:01:01';
const frame = eth({ src: US, dst: '02:00:00:00:00:0b' },
  ip4({ src: '10.0.0.1', dst: '10.0.0.2' }, tcp({ src: 1, dst: 2 }, new Uint8Array(900))));

const THEM = '02:00:00:00:01:02';
const tunnel4: TestTunnel =
  { local: '192.0.2.1', remote: '192.0.2.2', ethSrc: US, ethDst: THEM };
const tunnel6: TestTunnel =
  { local: '2001:db8::1', remote: '2001:db8::2', ethSrc: US, ethDst: THEM };

function sender(mtu: number, tunnel = tunnel4): Dataplane {
  const plane = Dataplane.load();
  plane.ingress(1, 1);
  plane.datapath(1);
  plane.port(1, 4, { kind: abi.PORT_REMOTE, tunnel: 1 });
  plane.tunnel(1, { ...tunnel, mtu });
  plane.table(1, 0, [outputTo(4)]);
  return plane;
}

/** struct __sk_buff up to and with gso_size (offset 176 in linux/bpf.h, checked on 6.18). */
function segmented(gsoSize: number): Uint8Array {
  const ctx = new Uint8Array(192);
  new DataView(ctx.buffer).setUint32(176, gsoSize, true);
  return ctx;
}

const test = suite('dataplane: tc');

test('gives a frame to the geneve device as it is, with the tunnel as metadata', () => {
  const plane = sender(1500);
  assert.is(plane.trace(frame).verdict, abi.VERDICT_TUNNEL);
  assert.is(plane.trace(frame).ifindex, UNDERLAY);
  const { action, frame: out } = plane.run(frame);
  assert.is(action, XDP.redirect);
  assert.is(hex(out), hex(frame));
  assert.equal(plane.totals(), { forwarded: 1 });
  plane.close();
});

const inner = (layer3: Layer3): Bytes => eth({ src: US, dst: '02:00:00:00:00:0b' }, layer3);
const straight: readonly (readonly [Bytes, number])[] = [
  [frame, 0],
  [inner(ip4({ src: '10.0.0.1', dst: '10.0.0.2', tos: 3 }, icmp({ type: 8 }))), 2],
  [inner(ip4({ src: '10.0.0.1', dst: '10.0.0.2', tos: 1 },
    udp({ src: 1, dst: 2 }, Uint8Array.of(1, 2, 3)))), 1],
  [inner(ip6({ src: 'fd00::1', dst: 'fd00::2' }, udp({ src: 9, dst: 9 }))), 0],
];

for (const [name, tunnel] of [
  ['IPv4', tunnel4], ['IPv4 with checksum', { ...tunnel4, csum: true }],
  ['IPv6', tunnel6], ['IPv6 with checksum', { ...tunnel6, csum: true }],
] as const) {
  test(`straight to the wire over ${name}, with outer headers of our own`, () => {
    const v6 = tunnel.local.includes(':');
    const plane = sender(1500, { ...tunnel, direct: INGRESS });
    for (const [whole, tos] of straight) {
      const { action, frame: out } = plane.run(whole);
      assert.is(action, XDP.redirect);
      const sport = Buffer.from(out).readUInt16BE(v6 ? 54 : 34);
      const ip = { src: tunnel.local, dst: tunnel.remote, tos };
      const carried = geneve({ vni: 1, inport: 1, outport: 4, sport, csum: tunnel.csum === true },
        whole);
      const wanted = eth({ src: US, dst: THEM },
        v6 ? ip6(ip, carried) : ip4({ ...ip, frag: 0x4000 }, carried));
      assert.equal(describe(out), describe(wanted));
      assert.is(hex(out), hex(wanted));
    }
    assert.equal(plane.totals(), { forwarded: straight.length });
    plane.close();
  });
}

test('what is not IP, or will be cut, goes through the geneve device all the same', () => {
  const plane = sender(1500, { ...tunnel4, direct: INGRESS });
  const request = inner(arp({ op: 2, sha: US, spa: '10.0.0.1', tha: THEM, tpa: '10.0.0.2' }));
  assert.is(hex(plane.run(request).frame), hex(request));
  const { dataOut } = plane.forward.testRun({ data: frame, ctxIn: segmented(400) });
  assert.is(hex(dataOut), hex(frame));
  assert.equal(plane.totals(), { forwarded: 2 });
  plane.close();
});

test('a frame without tunnel metadata on the geneve device is left alone', () => {
  const plane = sender(1500);
  plane.ingress();
  assert.is(plane.run(frame).action, XDP.pass);
  assert.equal(plane.totals(), { 'punt NOT_GENEVE': 1 });
  plane.close();
});

test('limits are about segments, not about the frame that will be cut', () => {
  const plane = sender(400 + 54 + 44);
  assert.is(plane.run(frame).action, XDP.pass, 'too large as it is');
  plane.tracer.testRun({ data: frame, ctxIn: segmented(400) });
  assert.is(plane.traced().verdict, abi.VERDICT_TUNNEL);
  assert.is(plane.traced().words[abi.FW_PKT_LEN], 454);
  plane.tracer.testRun({ data: frame, ctxIn: segmented(401) });
  assert.is(plane.traced().reason, abi.PUNT_MTU);
  plane.close();
});

test.run();
