/** The same tests for the TC object, but for tunnels, and what only TC does. */
import './dataplane_tc.fixture.js';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { abi, Dataplane, outputTo, UNDERLAY, XDP } from './dataplane.fixture.js';
import './conntrack_sums.root.test.js';
import './dataplane_insns.root.test.js';
import './dataplane_nd.root.test.js';
import './dataplane_parse.root.test.js';
import './dataplane_rewrite.root.test.js';
import './dataplane_switch.root.test.js';
import './nat.root.test.js';
import './synth.root.test.js';
import { eth, hex, ip4, tcp } from './packet.js';

const US = '02:00:00:00:01:01';
const frame = eth({ src: US, dst: '02:00:00:00:00:0b' },
  ip4({ src: '10.0.0.1', dst: '10.0.0.2' }, tcp({ src: 1, dst: 2 }, new Uint8Array(900))));

function sender(mtu: number) {
  const plane = Dataplane.load();
  plane.ingress(1, 1);
  plane.datapath(1);
  plane.port(1, 4, { kind: abi.PORT_REMOTE, tunnel: 1 });
  plane.tunnel(1, { local: '192.0.2.1', remote: '192.0.2.2', ethSrc: US, ethDst: US, mtu });
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
