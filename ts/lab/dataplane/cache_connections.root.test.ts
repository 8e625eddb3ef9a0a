/** Packets of tracked connections from the cache: only while nothing about them changes. */
import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cacheState, ctExpire, ctMode } from '../../abi/generated.js';
import { pass, type Passed } from './cache.fixture.js';
import { ctCommit, F, keys, pingOf, tcpOf, timeouts, TrackingSwitch, udpOf, zones, type Side }
  from './conntrack.fixture.js';
import { abi, hook, next, set, XDP } from './dataplane.fixture.js';
import type { Bytes } from '../packet.js';

const test = suite(`dataplane: cached connections (${hook})`);
function on(name: string, body: (net: TrackingSwitch) => void, commit = [ctCommit()],
  args: readonly number[] = []): void {
  test(name, () => {
    const net = new TrackingSwitch(commit, args, { cache: 256 });
    net.plane.cacheSets = 256;
    net.plane.control(1);
    try {
      body(net);
    } finally {
      net.plane.close();
    }
  });
}

/** The cache and the walk agree about the frame, whoever decides. */
function send(net: TrackingSwitch, from: Side, frame: Bytes): Passed {
  net.plane.ingress(1, keys[from], 0, zones[from]);
  assert.is.not(net.plane.trace(frame).cache, cacheState.CACHE_DIFFERS);
  return pass(net.plane, frame);
}
const by = (net: TrackingSwitch, from: Side, frame: Bytes): string => {
  const passed = send(net, from, frame);
  return `${passed.by}${passed.stored ? ' stored' : ''}`;
};
const sent = (net: TrackingSwitch, from: Side, frame: Bytes): boolean =>
  send(net, from, frame).action === XDP.redirect;
/** Walks until it does not change the connection any more. */
function settle(net: TrackingSwitch, from: Side, frame: Bytes): void {
  for (let i = 0; i < 4; i += 1) if (by(net, from, frame) === 'hit') return;
  assert.unreachable('never from the cache');
}
const handshake = (net: TrackingSwitch, port = 1000): void => {
  assert.is(by(net, 'a', tcpOf('a', F.syn, port)), 'bypassed');
  assert.is(by(net, 'b', tcpOf('b', F.syn | F.ack, port)), 'bypassed');
  assert.is(by(net, 'a', tcpOf('a', F.ack, port)), 'missed');
};

on('TCP: established packets of both directions; what changes the state changes both', (net) => {
  handshake(net);
  settle(net, 'a', tcpOf('a', F.ack));
  settle(net, 'b', tcpOf('b', F.ack));
  settle(net, 'a', tcpOf('a', F.ack | F.psh));
  assert.is(by(net, 'b', tcpOf('b', F.fin | F.ack)), 'bypassed');
  assert.match(by(net, 'a', tcpOf('a', F.ack)), /^stale/);
  settle(net, 'a', tcpOf('a', F.ack));
  assert.is(by(net, 'a', tcpOf('a', F.rst)), 'bypassed');
  assert.match(by(net, 'b', tcpOf('b', F.ack)), /^stale/);
});

/** Packets and bytes of both directions, in the sender's zone. */
function counted(net: TrackingSwitch): { packets: number[]; bytes: number[] } {
  const [entry] = net.conns().filter(({ key }) => key.zone === zones.a);
  return { packets: entry!.conn.packets.map(Number), bytes: entry!.conn.bytes.map(Number) };
}

on('what the cache has carried is counted when the connection walks, at its end at the latest',
  (net) => {
    const ack = tcpOf('a', F.ack), back = tcpOf('b', F.ack);
    handshake(net);
    let forth = 2, replies = 1;
    for (; by(net, 'a', ack) !== 'hit'; forth += 1);
    for (; by(net, 'b', back) !== 'hit'; replies += 1);
    for (let i = 0; i < 20; i += 1) assert.is(by(net, 'a', ack), 'hit');
    for (let i = 0; i < 5; i += 1) assert.is(by(net, 'b', back), 'hit');
    assert.equal(counted(net).packets, [forth, replies], 'not yet');
    net.plane.trace(tcpOf('a', F.fin | F.ack));
    assert.equal(counted(net).packets, [forth, replies], 'nor by a trace');
    assert.is(by(net, 'a', tcpOf('a', F.fin | F.ack)), 'bypassed');
    assert.equal(counted(net).packets, [forth + 21 + 1, replies]);
    assert.match(by(net, 'b', back), /^stale/);
    assert.equal(counted(net).packets, [forth + 22, replies + 6 + 1], 'the others with a re-walk');
    const { packets, bytes } = counted(net);
    assert.equal(bytes, packets.map((n) => n * ack.length));
    assert.match(by(net, 'a', ack), /^stale/);
    assert.equal(counted(net).packets[0], packets[0]! + 1, 'once');
  });

on('TCP without ACK has no key', (net) => {
  handshake(net);
  for (const flags of [0, F.psh, F.urg]) {
    assert.is(by(net, 'a', tcpOf('a', flags)), 'bypassed');
  }
});

on('UDP: a new connection is not kept, one that has begun is until it is answered', (net) => {
  assert.is(by(net, 'a', udpOf('a')), 'missed');
  settle(net, 'a', udpOf('a'));
  assert.is(by(net, 'b', udpOf('b')), 'missed');
  assert.match(by(net, 'a', udpOf('a')), /^stale/);
  settle(net, 'a', udpOf('a'));
  settle(net, 'b', udpOf('b'));
});

on('ping, by identifier', (net) => {
  sent(net, 'a', pingOf('a', 8));
  sent(net, 'b', pingOf('b', 0));
  settle(net, 'a', pingOf('a', 8));
  settle(net, 'b', pingOf('b', 0));
  assert.is(by(net, 'a', pingOf('a', 8, 9)), 'missed');
});

on('a connection that user space ends is no longer known to the cache', (net) => {
  handshake(net);
  settle(net, 'a', tcpOf('a', F.ack));
  const program = net.plane.otherProgram('ct_expire');
  for (const { key, conn } of net.conns()) {
    program.runSyscall(ctExpire.toBytes({ key, created: conn.created, done: 0 }));
  }
  program.close();
  const after = send(net, 'a', tcpOf('a', F.ack));
  assert.is(after.by, 'stale');
  assert.is(after.action, XDP.pass);
});

on('one that is about to end is not kept', (net) => {
  net.mode(ctMode.CT_ON, 1000, timeouts.map(() => 3));
  handshake(net);
  for (let i = 0; i < 4; i += 1) assert.is(by(net, 'a', tcpOf('a', F.ack)), 'missed');
});

on('a connection whose packets the cache carries lasts: they walk within an eighth of its time',
  (net) => {
    net.mode(ctMode.CT_ON, 1000, timeouts.map(() => 9));
    sent(net, 'a', udpOf('a'));
    settle(net, 'a', udpOf('a'));
    const began = Date.now();
    let hits = 0, walks = 0, longest = 0;
    for (let walked = began; Date.now() - began < 12_000; execFileSync('sleep', ['0.1'])) {
      const { by: decided, action } = send(net, 'a', udpOf('a'));
      assert.is(action, XDP.redirect);
      if (decided === 'hit') hits += 1;
      else {
        assert.is(decided, 'stale');
        longest = Math.max(longest, Date.now() - walked);
        walked = Date.now();
        walks += 1;
      }
    }
    assert.ok(longest < 2000 && walks > 6 && hits > walks, `${hits}, ${walks}, ${longest} ms`);
    assert.is(net.conns().filter(({ key }) => key.zone === zones.a).length, 1);
  });

on('whether connections are tracked at all', (net) => {
  handshake(net);
  settle(net, 'a', tcpOf('a', F.ack));
  net.mode(ctMode.CT_OFF);
  const off = send(net, 'a', tcpOf('a', F.ack));
  assert.is(off.by, 'stale');
  assert.is(off.action, XDP.pass);
  assert.is(by(net, 'a', tcpOf('a', F.ack)), 'hit');
  net.mode(ctMode.CT_ON);
  assert.ok(sent(net, 'a', tcpOf('a', F.ack)));
});

on('what is OVS\'s costs one lookup, until it becomes ours', (net) => {
  const middle = send(net, 'a', tcpOf('a', F.ack));
  assert.is(middle.action, XDP.pass);
  assert.is(by(net, 'a', tcpOf('a', F.ack)), 'hit');
  net.mode(ctMode.CT_OBSERVE);
  assert.is(send(net, 'a', udpOf('a')).action, XDP.pass);
  assert.is(send(net, 'a', udpOf('a')).action, XDP.pass);
  assert.is(by(net, 'a', udpOf('a')), 'hit');
  net.mode(ctMode.CT_ON);
  assert.is(send(net, 'a', udpOf('a')).by, 'stale');
  assert.is(send(net, 'a', udpOf('a')).action, XDP.pass, 'foreign still');
  net.clear();
  assert.ok(sent(net, 'a', tcpOf('a', F.syn)));
  const ours = send(net, 'a', tcpOf('a', F.ack));
  assert.is(ours.by, 'stale');
  assert.is(ours.action, XDP.redirect);
});

on('a mark that another packet changes is seen by the next one', (net) => {
  sent(net, 'a', udpOf('a'));
  sent(net, 'b', udpOf('b'));
  settle(net, 'b', udpOf('b'));
  assert.equal(net.conns().map(({ conn }) => conn.mark), [5, 5]);
  net.plane.table(1, 2, [{ ops: [set(abi.FW_CT_MARK, 0), ctCommit(0xff), next(3)], args: [6] }]);
  assert.is(by(net, 'b', udpOf('b', 1001)), 'missed', 'of another connection');
  assert.is(by(net, 'b', udpOf('b')), 'hit');
  assert.is(by(net, 'a', udpOf('a')), 'missed', 'walks by the new table, and marks');
  assert.ok(net.conns().some(({ conn }) => conn.mark === 6));
  assert.match(pass(net.plane, udpOf('b')).by, /stale/);
}, [set(abi.FW_CT_MARK, 0), ctCommit(0xff)], [5]);

on('many connections at once', (net) => {
  for (let round = 0; round < 4; round += 1) {
    for (let port = 1; port <= 100; port += 1) {
      assert.ok(sent(net, 'a', udpOf('a', port)));
      assert.ok(sent(net, 'b', udpOf('b', port)));
    }
  }
});
test.run();
