/** Fragments of tracked packets: the first one's ports are the others', and one way for all. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { abi, move, next } from './dataplane.fixture.js';
import { F, packet, pieces, TrackingSwitch, type Side } from './conntrack.fixture.js';
import { icmp, icmp6, raw4, tcp, udp, type Bytes, type Layer4 } from '../packet.js';

const data = (size: number): Bytes => Uint8Array.from({ length: size }, (_, i) => i * 3);
const udpTo = (from: Side, size = 3000, port = 1000): Layer4 => udp(
  from === 'a' ? { src: port, dst: 2000 } : { src: 2000, dst: port }, data(size));
const test = suite('conntrack: fragments');

function on(name: string, body: (lab: TrackingSwitch) => void): void {
  test(name, () => {
    const lab = new TrackingSwitch();
    try {
      body(lab);
    } finally {
      lab.close();
    }
  });
}
const say = (lab: TrackingSwitch, from: Side, frames: readonly Bytes[]): string[] =>
  frames.map((frame) => lab.say(from, frame));

for (const family of [4, 6] as const) {
  on(`UDP over IPv${family}: all of a datagram are of one connection, both ways`, (lab) => {
    assert.equal(say(lab, 'a', pieces('a', udpTo('a'), family)), Array(3).fill('new/new'));
    assert.is(lab.conns().length, 2);
    assert.equal(say(lab, 'b', pieces('b', udpTo('b'), family)),
      Array(3).fill('est rpl/est rpl'));
    assert.equal(say(lab, 'a', pieces('a', udpTo('a'), family, 2)), Array(3).fill('est/est'));
    assert.is(lab.conns().length, 2);
  });

  on(`frames of IPv${family} leave as they came`, (lab) => {
    for (const frame of pieces('a', udpTo('a'), family)) {
      lab.send('a', frame);
      const { frame: out } = lab.plane.run(frame);
      assert.equal(Buffer.from(out).toString('hex'), Buffer.from(frame).toString('hex'));
    }
  });
}

const echo = (reply: boolean): Layer4 =>
  icmp({ type: reply ? 0 : 8, rest: 7 << 16 | 1 }, data(3000));
on('echo', (lab) => {
  assert.equal(say(lab, 'a', pieces('a', echo(false))), Array(3).fill('new/new'));
  assert.equal(say(lab, 'b', pieces('b', echo(true))), Array(3).fill('est rpl/est rpl'));
  assert.is(lab.conns().length, 2);
});

on('echo over IPv6 is left to OVS', (lab) => {
  assert.equal(say(lab, 'a', pieces('a', icmp6({ type: 128 }, data(3000)), 6)),
    Array(3).fill('punt FRAGMENT'));
});

on('a fragment has no ports to match on, but those of its connection', (lab) => {
  const frames = pieces('a', udpTo('a')) as [Bytes, Bytes];
  say(lab, 'a', frames);
  lab.plane.table(1, abi.TABLE_EGRESS + 1, [{ ops: [
    move(abi.FW_PKT_MARK, abi.FW_CT_ORIG_L4, 0, 0xffffffff), next(abi.TABLE_EGRESS + 2)] }]);
  for (const [i, bits] of [1, 3].entries()) {
    const { words } = lab.send('a', frames[i]!);
    assert.equal([words[abi.FW_PKT_MARK], words[abi.FW_L4], words[abi.FW_IP]! & 3],
      [1000 << 16 | 2000, 0, bits]);
  }
});

on('TCP: flags of the first are those of all', (lab) => {
  const of = (from: Side, flags: number, size = 3000): Layer4 => tcp(from === 'a'
    ? { src: 1000, dst: 2000, flags } : { src: 2000, dst: 1000, flags }, data(size));
  assert.is(lab.say('a', packet('a', of('a', F.syn, 0))), 'new/new');
  assert.is(lab.say('b', packet('b', of('b', F.syn | F.ack, 0))), 'est rpl/est rpl');
  assert.equal(say(lab, 'a', pieces('a', of('a', F.ack))), Array(3).fill('est/est'));
  assert.equal(say(lab, 'b', pieces('b', of('b', F.fin | F.ack))),
    Array(3).fill('est rpl/est rpl'));
});

on('another protocol has no ports anyway', (lab) => {
  assert.equal(say(lab, 'a', pieces('a', raw4(47, data(3000)))), Array(3).fill('new/new'));
});

on('a datagram whose first fragment is not the first is OVS\'s as a whole', (lab) => {
  const [first, second, third] = pieces('a', udpTo('a')) as [Bytes, Bytes, Bytes];
  assert.equal(say(lab, 'a', [second, first, third]), Array(3).fill('punt CT_FRAGMENT'));
  assert.equal(say(lab, 'a', pieces('a', udpTo('a', 3000, 999), 4, 2)),
    Array(3).fill('new/new'), 'the next one');
  assert.is(lab.conns().length, 2);
});

on('what OVS has of a datagram it has all of', (lab) => {
  lab.mode(abi.CT_OBSERVE);
  assert.is(lab.say('a', packet('a', udpTo('a', 10))), 'punt CT_MODE');
  lab.mode(abi.CT_ON);
  assert.equal(say(lab, 'a', pieces('a', udpTo('a'))),
    ['punt CT_FOREIGN', 'punt CT_FRAGMENT', 'punt CT_FRAGMENT']);
});

on('short fragments but the last are OVS\'s, which drops them', (lab) => {
  assert.equal(say(lab, 'a', pieces('a', udpTo('a', 1500), 4, 1, 1176)),
    ['punt CT_FRAGMENT', 'punt CT_FRAGMENT']);
  assert.equal(say(lab, 'a', pieces('a', udpTo('a', 1500, 999), 4, 2, 1184)),
    ['new/new', 'new/new']);
});

on('a fragment that overlaps the first is invalid', (lab) => {
  const [first] = pieces('a', udpTo('a')) as [Bytes];
  const [, overlapping] = pieces('a', udpTo('a'), 4, 1, 1232) as [Bytes, Bytes];
  assert.equal(say(lab, 'a', [first, overlapping]), ['new/new', 'drop']);
});

on('datagrams are told apart by sender, identification and device', (lab) => {
  const [first] = pieces('a', udpTo('a')) as [Bytes];
  const [, other] = pieces('a', udpTo('a'), 4, 9) as [Bytes, Bytes];
  const [, back] = pieces('b', udpTo('b')) as [Bytes, Bytes];
  assert.is(lab.say('a', first), 'new/new');
  assert.is(lab.say('a', other), 'punt CT_FRAGMENT');
  assert.is(lab.say('b', back), 'punt CT_FRAGMENT');
});

on('what is remembered is forgotten', (lab) => {
  const frames = pieces('a', udpTo('a')) as [Bytes, Bytes];
  assert.is(lab.say('a', frames[0]), 'new/new');
  const map = lab.plane.map('fragments');
  for (const [key, value] of [...map.entries()]) {
    const aged = Buffer.from(value);
    aged.writeBigUInt64LE(aged.readBigUInt64LE() - 15_100n);
    map.update(key, aged);
  }
  assert.is(lab.say('a', frames[1]), 'punt CT_FRAGMENT');
});

on('a trace remembers nothing', (lab) => {
  lab.plane.ingress(1, 1, 0, 11);
  for (const frame of pieces('a', udpTo('a'))) lab.plane.trace(frame);
  assert.equal([...lab.plane.map('fragments').entries()], []);
});

test.run();
