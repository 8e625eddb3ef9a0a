/** Whose a connection is, what a walk leaves behind, and the life of an entry. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { udp } from '../packet.js';
import * as layout from '../../abi/generated.js';
import { CONN_DEAD, CONN_NAT_SRC, puntReason } from '../../abi/generated.js';
import { abi, next, set, type TestOp } from './dataplane.fixture.js';
import {
  ctClear, ctCommit, ctNext, errorAbout, F, packet, pingOf, tcpOf, TrackingSwitch, udpOf, zones,
} from './conntrack.fixture.js';

const test = suite('conntrack: ownership');
const S = F.syn, A = F.ack, SA = S | A;

/** Runs with a switch and closes it. */
function on(name: string, body: (lab: TrackingSwitch) => void, ...how:
ConstructorParameters<typeof TrackingSwitch>): void {
  test(name, () => {
    const lab = new TrackingSwitch(...how);
    try {
      body(lab);
    } finally {
      lab.close();
    }
  });
}

on('what is in the middle is not ours, and is not noted', (lab) => {
  assert.is(lab.say('a', tcpOf('a', A)), 'punt CT_MIDSTREAM');
  assert.is(lab.say('a', tcpOf('a', SA)), 'punt CT_MIDSTREAM');
  assert.is(lab.say('a', tcpOf('a', F.rst)), 'punt CT_MIDSTREAM');
  assert.is(lab.say('a', pingOf('a', 0)), 'punt CT_MIDSTREAM');
  assert.is(lab.say('a', errorAbout(udpOf('b'), 'a')), 'punt CT_MIDSTREAM');
  assert.equal([lab.foreign(), lab.conns()], [[], []]);
});

for (const [name, mode] of [['observing', abi.CT_OBSERVE], ['draining', abi.CT_DRAIN]] as const) {
  on(`${name}: new connections are OVS's and stay so, owned ones live on`, (lab) => {
    assert.is(lab.say('a', udpOf('a', 1)), 'new/new');
    lab.mode(mode);
    assert.is(lab.say('a', udpOf('a', 2)), 'punt CT_MODE');
    assert.is(lab.say('b', udpOf('b', 1)), 'est rpl/est rpl');
    lab.mode(abi.CT_ON);
    assert.is(lab.say('b', udpOf('b', 2)), 'punt CT_FOREIGN');
    assert.is(lab.say('a', udpOf('a', 3)), 'new/new');
    assert.is(lab.foreign().length, 2, 'the connection, and the end that began it');
    assert.is(lab.foreign()[0]?.zone, 0);
  });
}

on('off: every packet that needs it punts, and nothing is noted', (lab) => {
  lab.mode(abi.CT_OFF);
  assert.is(lab.say('a', udpOf('a')), 'punt CONNTRACK');
  assert.is(lab.foreign().length, 0);
});

on('a foreign connection becomes free when it has been quiet for long', (lab) => {
  lab.mode(abi.CT_OBSERVE);
  lab.say('a', udpOf('a'));
  lab.mode(abi.CT_ON);
  const map = lab.plane.map('foreign');
  const seen = (key: Uint8Array): bigint => Buffer.from(map.lookup(key)!).readBigUInt64LE();
  const keysOf = (end: boolean): Uint8Array[] => [...map.entries()].map(([key]) => key)
    .filter((key) => (layout.connKey.fromBytes(key).b_port === 0) === end);
  const [key] = keysOf(false), [end] = keysOf(true), began = seen(key!);
  const age = (seconds: bigint): void => {
    for (const one of [key!, end!]) {
      const aged = Buffer.from(map.lookup(one)!);
      aged.writeBigUInt64LE(began > seconds * 1000n ? began - seconds * 1000n : 0n);
      map.update(one, aged);
    }
  };
  age(500n);
  assert.is(lab.say('a', udpOf('a')), 'punt CT_FOREIGN');
  assert.ok(seen(key!) >= began, 'a packet refreshes it');
  assert.ok(seen(end!) < began, 'but not what goes for other connections of the end');
  age(700n);
  if (began > 700_000n) assert.is(lab.say('a', udpOf('a')), 'new/new');
});

on('a punt after ct leaves no entry and makes the connection OVS\'s', (lab) => {
  lab.plane.port(1, 2, { kind: abi.PORT_PUNT, reason: puntReason.PUNT_UNSUPPORTED_PORT });
  assert.is(lab.say('a', udpOf('a')), 'punt UNSUPPORTED_PORT');
  assert.is(lab.say('a', tcpOf('a', S)), 'punt UNSUPPORTED_PORT');
  assert.equal(lab.conns(), []);
  assert.equal(lab.foreign().map(({ proto, zone }) => [proto, zone]).sort(),
    [[17, 0], [17, 0], [6, 0]]);
  lab.plane.port(1, 2, { ifindex: 102, zone: zones.b });
  assert.is(lab.say('b', udpOf('b')), 'punt CT_FOREIGN');
  assert.is(lab.say('a', tcpOf('a', S)), 'punt CT_FOREIGN');
  assert.is(lab.say('a', udpOf('a', 9)), 'new/new');
});

on('what OVS may have translated is OVS\'s by either end', (lab) => {
  lab.plane.table(1, 3, [{ ops: [{ code: abi.OP_PUNT, imm: abi.PUNT_CONNTRACK }] }]);
  assert.is(lab.say('a', udpOf('a', 5)), 'punt CONNTRACK');
  assert.is(lab.foreign().length, 3, 'the connection and its ends');
  assert.is(lab.say('b', udpOf('b', 6)), 'punt CT_FOREIGN', 'port 2000 of b');
});

on('who asks a service of OVS\'s second is answered from elsewhere, too', (lab) => {
  lab.plane.table(1, 3, [{ ops: [{ code: abi.OP_PUNT, imm: abi.PUNT_CONNTRACK }] }]);
  assert.is(lab.say('a', udpOf('a', 5)), 'punt CONNTRACK');
  assert.is(lab.say('a', udpOf('a', 6)), 'punt CT_FOREIGN', 'by the service');
  assert.is(lab.foreign().length, 5, 'the second connection, and who asked');
  const answer = packet('b', udp({ src: 3000, dst: 6 }));
  assert.is(lab.say('b', answer), 'punt CT_FOREIGN', 'as from a backend that OVS chose');
  assert.is(lab.foreign().length, 6, 'who answers is no service of OVS\'s');
});

on('an owned connection whose packet cannot go now is counted, not given up', (lab) => {
  assert.is(lab.say('a', udpOf('a')), 'new/new');
  lab.plane.port(1, 2, { kind: abi.PORT_PUNT, reason: puntReason.PUNT_NO_NEXT_HOP });
  assert.is(lab.say('a', udpOf('a')), 'punt NO_NEXT_HOP');
  assert.equal([abi.CT_STAT_OWNED_PUNTS, abi.CT_STAT_GIVEN_UP].map((n) => lab.stat(n)), [1, 0]);
  assert.equal(lab.foreign(), []);
  lab.plane.port(1, 2, { ifindex: 102, zone: zones.b });
  assert.is(lab.say('a', udpOf('a')), 'new/new', 'its second packet');
});

on('an owned connection whose reply cannot go for good is given up: OVS begins it anew', (lab) => {
  assert.is(lab.say('a', tcpOf('a', S)), 'new/new');
  assert.is(lab.say('a', tcpOf('a', S, 7)), 'new/new', 'another one');
  lab.plane.port(1, 1, { kind: abi.PORT_PUNT, reason: puntReason.PUNT_UNSUPPORTED_PORT });
  assert.is(lab.say('b', tcpOf('b', S | A)), 'punt UNSUPPORTED_PORT');
  assert.equal([abi.CT_STAT_OWNED_PUNTS, abi.CT_STAT_GIVEN_UP].map((n) => lab.stat(n)), [1, 1]);
  assert.is(lab.say('a', tcpOf('a', S)), 'punt CT_FOREIGN');
  assert.is(lab.say('b', tcpOf('b', S | A)), 'punt CT_MIDSTREAM');
  assert.is(lab.say('a', tcpOf('a', S, 7)), 'new/new', 'of which no packet was left to OVS');
  assert.is(lab.say('a', tcpOf('a', S, 8)), 'punt CT_FOREIGN', 'the same end is asked');
  assert.is(lab.say('a', udpOf('a')), 'new/new', 'another protocol');
  lab.plane.port(1, 1, { ifindex: 101, zone: zones.a });
  assert.is(lab.say('b', tcpOf('b', S, 9)), 'new/new', 'the end asks');
});

on('zones are apart: an entry of another zone is none', (lab) => {
  assert.is(lab.say('a', udpOf('a')), 'new/new');
  lab.plane.port(1, 2, { ifindex: 102, zone: 77 });
  assert.is(lab.say('a', udpOf('a')), 'new/new');
  assert.is(lab.say('b', udpOf('b')), 'est rpl/est rpl', 'b sends in zone 12');
  assert.equal(lab.conns().map(({ key }) => key.zone).sort(), [11, 12, 77]);
});

const marked: readonly TestOp[] = [set(abi.FW_CT_MARK, 0, 0xff), set(abi.FW_CT_LABEL, 1, 0xff0000),
  ctCommit(0xff, 2)];
on('ct_mark and ct_label: written under their masks, read with the next packet', (lab) => {
  assert.is(lab.say('a', udpOf('a')), 'new/new');
  const { words } = lab.send('b', udpOf('b'));
  assert.is(words[abi.FW_PKT_MARK], 0x5a);
  assert.equal([...words.slice(abi.FW_CT_LABEL, abi.FW_CT_LABEL + 4)], [0x770000, 0, 0, 0]);
  assert.equal(words.slice(abi.FW_CT_ORIG_L4, abi.FW_CT_ORIG_PROTO + 1), [1000 << 16 | 2000, 17]);
  assert.is(words[abi.FW_CT_ORIG_DST + 3], 0x0a000002);
  lab.rewrite(zones.a, (conn) => ({ ...conn, mark: 0xabcd0000, label: [1, 2, 3, 4] }));
  lab.expire(zones.b);
  lab.say('a', udpOf('a'));
  const [conn] = lab.conns().filter(({ key }) => key.zone === zones.a);
  assert.equal([conn?.conn.mark, conn?.conn.label], [0xabcd0000, [1, 2, 3, 4]]);
}, marked, [0x5a, 0x770000, 0xff0000, 0, 0, 0]);

on('a policy change: the mark of an established connection changes, its packet drops', (lab) => {
  lab.say('a', udpOf('a'));
  lab.say('b', udpOf('b'));
  lab.plane.table(1, 2, [{ ops: [set(abi.FW_CT_MARK, 0, 1), ctCommit(1)], args: [1] }]);
  assert.is(lab.say('a', udpOf('a')), 'drop');
  assert.equal(lab.conns().map(({ key, conn }) => [key.zone, conn.mark]).sort(),
    [[zones.a, 1], [zones.b, 0]]);
  assert.equal(lab.states(), ['11 2.0', '12 2.0']);
});

on('ct(nat) of a connection that OVN committed shows snat, and dnat in replies', (lab) => {
  lab.plane.table(1, 0, [{ ops: [ctNext(1, abi.FW_CT_ZONE, true)] }]);
  assert.is(lab.say('a', udpOf('a')), 'new/new');
  assert.is(lab.say('b', udpOf('b')), 'est rpl dnat/est rpl');
  assert.is(lab.say('a', udpOf('a')), 'est snat/est');
});

on('the zone is that of the word which the action names; ct_clear untracks', (lab) => {
  lab.plane.table(1, 0, [{ ops: [ctNext(1, abi.FW_DNAT_ZONE)] }]);
  assert.is(lab.say('a', udpOf('a')), 'new/new');
  assert.equal(lab.conns().map(({ key }) => key.zone).sort(), [11, 12], 'datapath 1: 11');
  lab.plane.table(1, 1, [{ ops: [ctClear, next(2)] }]);
  assert.is(lab.say('a', udpOf('a')), '/new', 'nothing to see and nothing to commit');
});

on('after a commit the packet is untracked, and its entry carries the NAT of OVN', (lab) => {
  const { words } = lab.send('a', udpOf('a'));
  assert.equal([...words.slice(abi.FW_CT_STATE, abi.FW_CT_ORIG_PROTO + 1)], Array(12).fill(0));
  for (const { conn } of lab.conns()) assert.ok(conn.life & BigInt(CONN_NAT_SRC));
});

on('an expired entry is absent, and a new connection takes it over in place', (lab) => {
  lab.say('a', tcpOf('a', S));
  lab.say('b', tcpOf('b', SA));
  const before = lab.count();
  lab.expire(zones.a);
  lab.expire(zones.b);
  assert.is(lab.say('a', tcpOf('a', A)), 'punt CT_MIDSTREAM');
  assert.is(lab.say('b', tcpOf('b', S)), 'new/new');
  assert.is(lab.stat(abi.CT_STAT_REVIVED), 2);
  assert.is(lab.count(), before);
  assert.equal(lab.states(), ['11 2.0', '12 2.0']);
});

on('the collector marks, then deletes; what it has marked is nobody\'s', (lab) => {
  lab.say('a', udpOf('a', 1));
  lab.say('a', udpOf('a', 2));
  lab.expire(zones.b);
  assert.equal(lab.collect(), { live: 2n, expired: 2n, deleted: 0n });
  assert.ok(lab.conns().filter(({ conn }) => conn.life & BigInt(CONN_DEAD)).length === 2);
  assert.is(lab.say('b', udpOf('b', 1)), 'punt CT_RACE');
  assert.is(lab.count(), 4);
  assert.equal(lab.collect(), { live: 2n, expired: 0n, deleted: 2n });
  assert.is(lab.count(), 2);
  assert.equal(lab.collect(), { live: 2n, expired: 0n, deleted: 0n });
});

on('the collector does not end what was revived before it came', (lab) => {
  lab.say('a', udpOf('a'));
  lab.expire(zones.a);
  lab.expire(zones.b);
  assert.is(lab.say('a', udpOf('a')), 'new/new');
  assert.equal(lab.collect(), { live: 2n, expired: 0n, deleted: 0n });
});

on('at the watermark new connections are OVS\'s', (lab) => {
  lab.mode(abi.CT_ON, 3);
  assert.is(lab.say('a', udpOf('a', 1)), 'new/new');
  assert.is(lab.say('a', udpOf('a', 2)), 'new/new');
  assert.is(lab.say('a', udpOf('a', 3)), 'punt CT_FULL');
  assert.is(lab.say('b', udpOf('b', 1)), 'est rpl/est rpl');
  assert.is(lab.foreign().length, 2);
});

on('a full table: what the packet created expires at once, and it is OVS\'s', (lab) => {
  assert.is(lab.say('a', udpOf('a', 1)), 'new/new');
  assert.is(lab.say('a', udpOf('a', 2)), 'punt NONE', 'the trace did not see it coming');
  assert.is(lab.plane.counter('punts', abi.PUNT_CT_FULL).packets, 1);
  assert.is(lab.stat(abi.CT_STAT_FAILED), 1);
  assert.is(lab.foreign().length, 2);
  const [half] = lab.conns().filter(({ key }) => key.a_port === 2 || key.b_port === 2);
  assert.is(half?.key.zone, zones.a);
  assert.is(half!.conn.life >> 16n, 0n);
  assert.equal(lab.collect(), { live: 2n, expired: 1n, deleted: 0n });
  assert.is(lab.say('a', udpOf('a', 2)), 'punt CT_RACE');
}, undefined, undefined, { conns: 3 });

on('a trace changes nothing', (lab) => {
  lab.plane.ingress(1, 1, 0, zones.a);
  lab.plane.trace(udpOf('a'));
  assert.equal([lab.conns(), lab.foreign(), lab.count()], [[], [], 0]);
  lab.mode(abi.CT_OBSERVE);
  lab.plane.trace(udpOf('a'));
  assert.equal(lab.foreign(), []);
});

on('packets and bytes by direction', (lab) => {
  lab.send('a', udpOf('a'));
  lab.send('a', udpOf('a'));
  lab.send('b', udpOf('b'));
  const size = BigInt(udpOf('a').length);
  for (const { conn } of lab.conns()) {
    assert.equal([conn.packets, conn.bytes], [[2n, 1n], [2n * size, size]]);
  }
});

test.run();
