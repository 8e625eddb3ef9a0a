/**
 * A flood of SYNs, each of another connection, against connections that live and an agent's
 * collector. OVN_XDP_FLOOD: how many.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CONN_ORIG_STATE, CONN_REPLY_STATE } from '../../abi/generated.js';
import { setLogSink } from '../../base/log.js';
import { connectionCount, foreignCount, type Maps } from '../../conntrack/table.js';
import { Conntrack } from '../../daemon/conntrack.js';
import { F, keys, tcpOf, timeouts, TrackingSwitch, zones, type Side } from './conntrack.fixture.js';
import { abi, XDP } from './dataplane.fixture.js';
import { until } from '../exec.js';
import { eth, ip4, tcp, type Bytes } from '../packet.js';

const count = Number(process.env['OVN_XDP_FLOOD'] ?? 40_000);
/** Entries; each connection has one in either zone. */
const capacity = 20_000, watermark = 18_000, foreignMax = 8192;
const established = 100;
const states = BigInt(CONN_ORIG_STATE | CONN_REPLY_STATE);
setLogSink(() => {});

/** A SYN from another host or port for each n: what changes in a sum is made up for by the
 * identification and by the sequence number. */
const template = eth({ src: '02:00:00:00:00:0a', dst: '02:00:00:00:00:0b' },
  ip4({ src: '10.7.0.0', dst: '10.0.0.2', id: 0xffff },
    tcp({ src: 0, dst: 2000, seq: 0xffffffff, flags: F.syn })));
function syn(n: number): Bytes {
  const frame = template.slice(), view = new DataView(frame.buffer);
  const host = Math.floor(n / 60_000), port = 1024 + n % 60_000;
  view.setUint16(28, host);
  view.setUint16(18, 0xffff - host);
  view.setUint16(34, port);
  view.setUint32(38, (0xffff - host) * 65536 + 0xffff - port);
  return frame;
}

function sent(lab: TrackingSwitch, from: Side, frame: Bytes): boolean {
  lab.plane.ingress(1, keys[from], 0, zones[from]);
  return lab.plane.run(frame).action === XDP.redirect;
}

/** Both ends of connection n say something, acknowledged. */
const talks = (lab: TrackingSwitch, n: number): boolean =>
  sent(lab, 'a', tcpOf('a', F.ack | F.psh, n)) && sent(lab, 'b', tcpOf('b', F.ack, n));

function open(lab: TrackingSwitch, n: number): boolean {
  return sent(lab, 'a', tcpOf('a', F.syn, n)) && sent(lab, 'b', tcpOf('b', F.syn | F.ack, n)) &&
    talks(lab, n);
}

test(`${count} SYNs: established connections go on, the rest is OVS's, and all ends`, async () => {
  const lab = new TrackingSwitch(undefined, undefined,
    { conns: capacity, foreign: foreignMax });
  lab.mode(abi.CT_ON, watermark, timeouts);
  const names = ['conns', 'conn_count', 'foreign', 'ct_control', 'ct_stats', 'nat_pools'];
  const maps: Maps = new Map(names.map((name) => [name, lab.plane.map(name)]));
  const [collect, expire] = [lab.plane.otherProgram('ct_collect'),
    lab.plane.otherProgram('ct_expire')];
  const agent = new Conntrack({ maps, collect, expire, ovsDb: '', wake: () => {},
    during: (change) => { lab.plane.during(change); } });
  try {
    for (let n = 1; n <= established; n++) assert.ok(open(lab, n), `connection ${n}`);
    assert.is(agent.entries, 2 * established);
    const began = performance.now();
    let longest = 0, last = began;
    for (let n = 0; n < count; n++) {
      sent(lab, 'a', syn(n));
      if (n % 250 !== 0) continue;
      const one = 1 + n / 250 % established;
      assert.ok(talks(lab, one), `connection ${one} after ${n} SYNs`);
      await new Promise(setImmediate);  // the agent's turn
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }
    const seconds = (performance.now() - began) / 1000;
    const { 'punt CT_FULL': full = 0, forwarded = 0, ...others } = lab.plane.totals();
    console.log(`# ${count} SYNs in ${seconds.toFixed(1)} s, longest wait ${longest.toFixed(0)} ms,`
      + ` ${agent.entries} entries, ${full} left to OVS`);
    assert.equal(others, {});
    assert.is(agent.entries, watermark);
    assert.is(lab.conns().length, watermark);
    assert.is(full, count - (watermark / 2 - established));
    assert.is(forwarded, watermark / 2 + 3 * established + 2 * Math.ceil(count / 250));
    assert.is(lab.stat(abi.CT_STAT_FAILED), 0);
    assert.is(agent.status().entries, watermark);
    assert.is(agent.status().watermark, watermark);
    assert.ok(await foreignCount(maps) <= foreignMax);
    assert.not(sent(lab, 'a', tcpOf('a', F.syn, established + 1)), 'a new one is OVS\'s');
    for (let n = 1; n <= established; n++) assert.ok(talks(lab, n), `connection ${n} at the end`);

    // Time goes by: what was never answered runs out.
    for (const zone of [zones.a, zones.b]) {
      lab.rewrite(zone, (conn) => (conn.life & states) === BigInt(abi.TCPS_SYN_SENT)
        ? { ...conn, life: conn.life & 0xffffn | 1n << 16n } : conn);
    }
    await until('the collector to delete what has run out', 60_000,
      () => connectionCount(maps) === 2 * established);
    assert.is(agent.status().entries, 2 * established);
    for (let n = 1; n <= established; n++) assert.ok(talks(lab, n), `connection ${n} afterwards`);
    assert.ok(open(lab, established + 2), 'new connections are ours again');
  } finally {
    await agent.close();
    collect.close();
    expire.close();
    lab.close();
  }
});

test.run();
