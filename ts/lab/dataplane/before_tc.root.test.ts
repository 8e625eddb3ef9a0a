/** XDP before a program of ours at TC: what it leaves is that one's to decide, note and undo. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as layout from '../../abi/generated.js';
import { u32Bytes } from '../../libbpf/mod.js';
import { pass } from './cache.fixture.js';
import { abi, INGRESS, XDP } from './dataplane.fixture.js';
import { ctCommit, F, pieces, tcpOf, TrackingSwitch, udpOf } from './conntrack.fixture.js';
import { eth, geneve, ip4, udp, type Bytes } from '../packet.js';

const us = { mac: '02:00:00:00:01:01', ip: '192.0.2.1' };
const them = { mac: '02:00:00:00:01:02', ip: '192.0.2.2' };
/** From VM a, which is at another chassis, to b. */
const received = (frame: Bytes): Bytes => eth({ src: them.mac, dst: us.mac },
  ip4({ src: them.ip, dst: us.ip }, geneve({ vni: 1, inport: 1, outport: 2, sport: 5000 }, frame)));
const before = abi.IFACE_UPLINK | abi.IFACE_BEFORE_TC;

const test = suite('dataplane: XDP before TC');
/** Runs with the chassis of VM b, whose frames come by a device of that role. */
function on(name: string, role: number, body: (lab: TrackingSwitch) => void, cacheSets = 0): void {
  test(name, () => {
    const lab = new TrackingSwitch([ctCommit()], [], { cache: 256 });
    try {
      lab.plane.cacheSets = cacheSets;
      lab.plane.control(1);
      lab.plane.tunnel(1, { local: us.ip, remote: them.ip, ethSrc: us.mac, ethDst: them.mac });
      lab.plane.map('ifaces').update(layout.ifaceKey.toBytes({ buffer: 0, ifindex: INGRESS }),
        layout.iface.toBytes({ role, datapath: 0, port: 0, mtu: 1500, zone: 0, flags: 0 }));
      body(lab);
    } finally {
      lab.close();
    }
  });
}
/** VM b's device takes no frames of XDP. */
const toTcOnly = (lab: TrackingSwitch): void => { lab.plane.map('devmap').delete(u32Bytes(102)); };
const fragmentsOf = (lab: TrackingSwitch): number =>
  [...lab.plane.map('fragments').entries()].length;

for (const [who, role] of [['alone', abi.IFACE_UPLINK], ['before TC', before]] as const) {
  const early = role === before;
  on(`${who}: what cannot go is ${early ? 'as it came, and noted nowhere' : 'OVS\'s'}`, role,
    (lab) => {
      toTcOnly(lab);
      const frame = received(udpOf('a'));
      const { action, frame: out } = lab.plane.run(frame);
      assert.is(action, XDP.pass);
      assert.is(Buffer.compare(out, frame), 0);
      assert.equal(lab.plane.totals(), { [early ? 'punt BEFORE_TC' : 'punt UNKNOWN_PORT']: 1 });
      if (early) assert.is(lab.plane.trace(frame).reason, abi.PUNT_UNKNOWN_PORT, 'a trace says');
      assert.is(lab.foreign().length, early ? 0 : 2);
      assert.is(lab.conns().length, 0);
    });

  on(`${who}: a connection of ours ${early ? 'lives on' : 'is given up'}`, role, (lab) => {
    assert.is(lab.plane.run(received(udpOf('a'))).action, XDP.redirect);
    const states = lab.states();
    assert.is(states.length, 1);
    toTcOnly(lab);
    assert.is(lab.plane.run(received(udpOf('a'))).action, XDP.pass);
    assert.equal([abi.CT_STAT_GIVEN_UP, abi.CT_STAT_OWNED_PUNTS].map((n) => lab.stat(n)),
      early ? [0, 0] : [1, 1]);
    lab.plane.device(102);
    assert.is(lab.plane.run(received(udpOf('a'))).action, early ? XDP.redirect : XDP.pass);
  });

  on(`${who}: the first fragment of a datagram ${early ? 'is TC\'s to remember' : 'is OVS\'s'}`,
    role, (lab) => {
      const [first] = pieces('a', udp({ src: 1000, dst: 2000 }, new Uint8Array(3000)));
      toTcOnly(lab);
      assert.is(lab.plane.run(received(first!)).action, XDP.pass);
      assert.is(fragmentsOf(lab), early ? 0 : 1);
      lab.clear();
      lab.plane.device(102);
      assert.is(lab.plane.run(received(first!)).action, XDP.redirect);
      assert.is(fragmentsOf(lab), 1, 'sent, it is remembered');
    });
}

on('cached, it goes on to TC without a walk and is counted alike', before, (lab) => {
  const frame = received(tcpOf('a', F.ack));
  assert.equal([pass(lab.plane, frame).stored, pass(lab.plane, frame).by], [true, 'hit']);
  assert.equal(lab.plane.totals(), { 'punt BEFORE_TC': 2 });
  const { reason, cache } = lab.plane.trace(frame);
  assert.equal([reason, cache], [abi.PUNT_CT_MIDSTREAM, layout.cacheState.CACHE_SAME]);
}, 256);

on('what is not geneve passes', before, (lab) => {
  const frame = udpOf('a');
  assert.is(lab.plane.run(frame).action, XDP.pass);
  assert.equal(lab.plane.totals(), { 'punt BEFORE_TC': 1 });
});

test.run();
