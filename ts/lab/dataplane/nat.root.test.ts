/** Translations of one packet after the other: addresses, ports, states, checksums, errors. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  cacheState, CONN_ALIAS, CONN_TWIN, ctExpire, CT_NAT, CT_NAT_DST, CT_NAT_KEEP, CT_NAT_SRC,
} from '../../abi/generated.js';
import { abi, ip4Word, move, next, output, set } from './dataplane.fixture.js';
import { F } from './conntrack.fixture.js';
import {
  answer, errorAbout, hosts, inside, natArgs, natOps, NatRouter, of, outside, parse, show, words,
  type Family,
} from './nat.fixture.js';
import { icmp, icmp6, raw4, tcp, udp, type Bytes, type Layer4 } from '../packet.js';

const test = suite('nat');
function on(name: string, body: (lab: NatRouter) => void,
  ...how: ConstructorParameters<typeof NatRouter>): void {
  test(name, () => {
    const lab = new NatRouter(...how);
    try {
      body(lab);
    } finally {
      lab.close();
    }
  });
}
const sent = (lab: NatRouter, port: number, frame: Bytes): Bytes => {
  const { verdict, frame: out } = lab.send(port, frame);
  assert.is(verdict, 'sent', show(frame));
  return out;
};
const payload = Uint8Array.of(1, 2, 3, 4, 5);
type Make = (src: number, dst: number, reply: boolean) => Layer4;
const protocols: readonly (readonly [string, Make])[] = [
  ['TCP', (src, dst, reply) => tcp({ src, dst, flags: reply ? F.syn | F.ack : F.syn }, payload)],
  ['UDP', (src, dst) => udp({ src, dst }, payload)],
  ['UDP without checksum', (src, dst) => udp({ src, dst, csum: false }, payload)],
];

for (const family of [4, 6] as const) {
  const { a, b, pool, float, world } = hosts[family];
  for (const [name, layer4] of protocols) {
    if (family === 6 && name.endsWith('checksum')) continue;
    on(`${name}/IPv${family}: out from behind a pool's address, and back`, (lab) => {
      const first = of(family, 'b', 'world', layer4(40000, 80, false));
      const out = sent(lab, inside, first), { src, sport, dst, dport } = parse(out);
      assert.equal([src, dst, dport], [pool, world, 80]);
      assert.ok(sport >= 1024 && sport <= 32767, `${sport}`);
      const reply = answer(out, (p) => layer4(p.dport, p.sport, true));
      assert.is(lab.say(outside, reply), `${world}:80>${b}:40000`);
      assert.is(show(sent(lab, inside, first)), show(out), 'the same port again');
      assert.is(lab.conns().length, 3, 'DNAT zone, SNAT zone, and its replies');
      assert.is(lab.conns().filter(({ conn }) => conn.life & BigInt(CONN_ALIAS)).length, 1);
      assert.is(lab.count(), 3);
    });

    on(`${name}/IPv${family}: in to a floating address, and back`, (lab) => {
      const first = of(family, 'world', 'float', layer4(40000, 80, false));
      const out = sent(lab, outside, first);
      assert.is(show(out), `${world}:40000>${a}:80`);
      const reply = answer(out, (p) => layer4(p.dport, p.sport, true));
      assert.is(lab.say(inside, reply), `${float}:80>${world}:40000`);
      assert.is(lab.say(outside, first), `${world}:40000>${a}:80`);
    });

    on(`${name}/IPv${family}: out from a floating address, with the port that it had`, (lab) => {
      const out = sent(lab, inside, of(family, 'a', 'world', layer4(40000, 80, false)));
      assert.is(show(out), `${float}:40000>${world}:80`);
      const reply = answer(out, (p) => layer4(p.dport, p.sport, true));
      assert.is(lab.say(outside, reply), `${world}:80>${a}:40000`);
    });
  }

  const ping = (reply: boolean, id: number): Layer4 => family === 4
    ? icmp({ type: reply ? 0 : 8, rest: id << 16 | 1 }, payload)
    : icmp6({ type: reply ? 129 : 128, rest: id << 16 | 1 }, payload);
  on(`echo/IPv${family}: two hosts with one identifier`, (lab) => {
    const out = sent(lab, inside, of(family, 'b', 'world', ping(false, 7)));
    assert.equal([show(out), parse(out).id], [`${pool}>${world}`, 7]);
    lab.table(abi.TABLE_EGRESS + 1, [{ ops: natOps(abi.TABLE_EGRESS + 2, abi.FW_SNAT_ZONE,
      CT_NAT_SRC), args: natArgs(words(family, 'pool')) }]);
    const other = sent(lab, inside, of(family, 'a', 'world', ping(false, 7)));
    assert.is(show(other), `${pool}>${world}`);
    assert.is.not(parse(other).id, 7);
    const reply = sent(lab, outside, answer(other, (p) => ping(true, p.id)));
    assert.equal([show(reply), parse(reply).id], [`${world}>${a}`, 7]);
    const first = sent(lab, outside, answer(out, (p) => ping(true, p.id)));
    assert.equal([show(first), parse(first).id], [`${world}>${b}`, 7]);
  });

  for (const [name, layer4] of protocols) {
    if (family === 6 && name.endsWith('checksum')) continue;
    for (const length of [1500, family === 4 ? 28 : name === 'TCP' ? 60 : 48]) {
      const { far } = hosts[family];
      on(`${name}/IPv${family}: errors about translated packets, ${length} bytes quoted`, (lab) => {
        const out = sent(lab, inside, of(family, 'b', 'world', layer4(40000, 80, false)));
        const port = parse(out).sport;
        assert.is(lab.say(outside, errorAbout(out, far, length)),
          `${far}>${b} (${b}:40000>${world}:80)`, 'about what was sent');
        const reply = answer(out, (p) => layer4(p.dport, p.sport, true));
        const delivered = sent(lab, outside, reply);
        assert.is(lab.say(inside, errorAbout(delivered, b, length)),
          `${pool}>${world} (${world}:80>${pool}:${port})`, 'about what came back');
        const arrived = sent(lab, outside, of(family, 'world', 'float', layer4(555, 22, false)));
        assert.is(lab.say(inside, errorAbout(arrived, a, length)),
          `${float}>${world} (${world}:555>${float}:22)`, 'about what came to a floating address');
        const left = sent(lab, inside, answer(arrived, (p) => layer4(p.dport, p.sport, true)));
        assert.is(lab.say(outside, errorAbout(left, far, length)),
          `${far}>${a} (${a}:22>${world}:555)`, 'about its replies');
      });
    }
  }
}

on('an error about a ping', (lab) => {
  const { b, pool, far, world } = hosts[4];
  const out = sent(lab, inside, of(4, 'b', 'world', icmp({ type: 8, rest: 7 << 16 }, payload)));
  assert.is(show(out), `${pool}>${world}`);
  assert.is(lab.say(outside, errorAbout(out, far)), `${far}>${b} (${b}>${world})`);
});

on('an error about nothing that we know is OVS\'s', (lab) => {
  const stray = of(4, 'pool', 'world', udp({ src: 2000, dst: 80 }));
  assert.is(lab.say(outside, errorAbout(stray, hosts[4].far)), 'punt CT_MIDSTREAM');
});

/** Host a is translated to the pool's address, too. */
function allBehindPool(lab: NatRouter): void {
  lab.table(abi.TABLE_EGRESS + 1, [{ match: [[abi.FW_OUTPORT, outside]], priority: 200,
    ops: natOps(abi.TABLE_EGRESS + 2, abi.FW_SNAT_ZONE, CT_NAT_SRC),
    args: natArgs(words(4, 'pool')) }, { ops: [next(abi.TABLE_EGRESS + 2)] }]);
}

on('other protocols are translated by address, one connection to one peer', (lab) => {
  const { b, pool, world } = hosts[4], gre = raw4(47, payload);
  assert.is(lab.say(inside, of(4, 'b', 'world', gre)), `${pool}>${world}`);
  assert.is(lab.say(outside, of(4, 'world', 'pool', gre)), `${world}>${b}`);
  allBehindPool(lab);
  const second = of(4, 'a', 'world', gre);
  for (let i = 0; i < 2; i += 1) assert.is(lab.say(inside, second), 'drop', 'b has the tuple');
  assert.is(lab.plane.counter('drops', abi.DROP_NAT_TAKEN).packets, 2);
  assert.equal(lab.foreign(), [], 'and OVS does not get it');
  assert.is(lab.say(outside, of(4, 'world', 'pool', gre)), `${world}>${b}`, 'b still has it');
  lab.expire(5000);
  assert.is(lab.say(inside, second), `${pool}>${world}`, 'until b\'s is gone');
});

on('a protocol without ports whose tuple OVS has is OVS\'s', (lab) => {
  const esp = raw4(50, payload);
  lab.mode(abi.CT_OBSERVE);
  assert.is(lab.say(inside, of(4, 'b', 'world', esp)), 'punt CT_MODE');
  lab.mode(abi.CT_ON);
  allBehindPool(lab);
  assert.match(lab.say(inside, of(4, 'a', 'world', esp)), /^punt /);
  assert.is(lab.plane.counter('drops', abi.DROP_NAT_TAKEN).packets, 0);
});

on('states: new, established, and which end is translated', (lab) => {
  const first = of(4, 'b', 'world', udp({ src: 4000, dst: 53 }));
  assert.is(lab.state(inside, first), 'new snat');
  const out = sent(lab, inside, first);
  const reply = answer(out, (p) => udp({ src: p.dport, dst: p.sport }));
  assert.is(lab.state(outside, reply), 'est rpl dnat');
  assert.is(lab.state(inside, first), 'est snat');
});

on('an explicit range of ports is kept to', (lab) => {
  const seen = new Set<number>();
  for (let i = 0; i < 16; i += 1) {
    const out = sent(lab, inside, of(4, 'b', 'world', udp({ src: 2000 + i, dst: 53 })));
    seen.add(parse(out).sport);
  }
  assert.equal([...seen].sort((x, y) => x - y), Array.from({ length: 16 }, (_, i) => 5000 + i));
  assert.is(lab.say(inside, of(4, 'b', 'world', udp({ src: 3000, dst: 53 }))), 'punt NAT_PORTS');
  assert.ok(parse(sent(lab, inside, of(4, 'b', 'far', udp({ src: 3001, dst: 53 })))).sport >= 5000,
    'another peer');
}, {}, [5000, 5015]);

on('a full pool: the connection is OVS\'s, counted by address, and nothing leaks', (lab) => {
  for (let i = 0; i < 64; i += 1) {
    sent(lab, inside, of(4, 'b', 'world', udp({ src: 2000 + i, dst: 53 })));
  }
  const one = of(4, 'b', 'world', udp({ src: 3000, dst: 53 }));
  assert.is(lab.say(inside, one), 'punt NAT_PORTS');
  const pool = lab.pools().get(words(4, 'pool').join('.'))!;
  assert.equal([pool.taken, pool.failed], [64n, 1n]);
  assert.is(lab.conns().length, 64 * 3, 'nothing of it stays');
  assert.is(lab.say(inside, one), 'punt CT_FOREIGN', 'from now on');
  assert.ok(lab.foreign().length >= 2, 'the connection, and its replies as OVS may have them');
}, {}, undefined, { low: 6000, high: 6063 });

on('ports below 1024 are translated by OVS', (lab) => {
  assert.is(lab.say(inside, of(4, 'b', 'world', udp({ src: 123, dst: 123 }))), 'punt NAT_PORTS');
  assert.is(lab.say(inside, of(4, 'a', 'world', udp({ src: 123, dst: 123 }))),
    `${hosts[4].float}:123>${hosts[4].world}:123`, 'of a floating address it stays');
});

on('what OVS translates is left to it: its replies, and the tuple that it has', (lab) => {
  const { world } = hosts[4];
  lab.mode(abi.CT_OBSERVE);
  assert.is(lab.say(inside, of(4, 'a', 'world', udp({ src: 4000, dst: 53 }))), 'punt CT_MODE');
  assert.is(lab.say(inside, of(4, 'b', 'world', udp({ src: 4000, dst: 53 }))), 'punt CT_MODE');
  lab.mode(abi.CT_ON);
  const reply = (host: 'float' | 'pool'): Bytes =>
    of(4, 'world', host, udp({ src: 53, dst: 4000 }));
  assert.is(lab.say(outside, reply('float')), 'punt CT_FOREIGN');
  assert.is(lab.say(outside, reply('pool')), 'punt CT_FOREIGN');
  assert.is(lab.say(outside, of(4, 'world', 'pool', udp({ src: 53, dst: 4001 }))),
    'punt CT_FOREIGN', 'what nobody may know is asked of OVS, if its answer would be to drop');
  assert.is(lab.say(outside, of(4, 'world', 'pool', tcp({ src: 53, dst: 4001, flags: F.syn }))),
    'drop', 'but a SYN is no reply');
  assert.is(lab.say(outside, of(4, 'far', 'float', udp({ src: 9, dst: 9 }))),
    `${hosts[4].far}:9>${hosts[4].a}:9`, 'a new one');
  assert.equal(lab.conns().filter(({ key }) => key.a_port === 53 && key.b[3] === 0), []);
  assert.ok(world);
});

on('a segment with invalid flags is OVS\'s, which may know the connection', (lab) => {
  const fin = of(4, 'b', 'world', tcp({ src: 4000, dst: 80, flags: F.fin }));
  assert.is(lab.say(inside, fin), 'punt CT_MIDSTREAM');
  const out = sent(lab, inside, of(4, 'b', 'world', tcp({ src: 4000, dst: 80, flags: F.syn })));
  assert.is(lab.say(inside, fin), `${hosts[4].pool}:${parse(out).sport}>${hosts[4].world}:80`,
    'as we do');
});

on('what looks like a reply to OVS and is left to it for another reason is noted', (lab) => {
  lab.table(1, [{ ops: [{ code: abi.OP_PUNT, imm: abi.PUNT_CONNTRACK }] }]);
  const ask = of(4, 'world', 'float', udp({ src: 4000, dst: 53 }));
  assert.is(lab.say(outside, ask), 'punt CONNTRACK', 'as a balancer that is not compiled');
  assert.is(lab.foreign().length, 3, 'the connection and both ends');
  assert.is(lab.say(inside, of(4, 'b', 'world', udp({ src: 53, dst: 4000 }))), 'punt CONNTRACK');
});

/** Packets that have walked before are decided by the cache, as the walk would. */
function cached(lab: NatRouter, port: number, frame: Bytes): string {
  lab.say(port, frame);
  const { frame: walked } = lab.send(port, frame);
  lab.plane.ingress(1, port, 0, 0);
  assert.is(lab.plane.trace(frame).cache, cacheState.CACHE_SAME, show(frame));
  const out = sent(lab, port, frame);
  assert.equal(out, walked);
  return show(out);
}

for (const family of [4, 6] as const) {
  on(`the cache holds both ways of translated connections, IPv${family}`, (lab) => {
    lab.plane.cacheSets = 64;
    lab.plane.control(1);
    const { a, b, float, pool, world } = hosts[family];
    const open = (port: number, first: Bytes): { frame: Bytes; reply: Bytes } => {
      const out = sent(lab, port, first);
      const reply = answer(out, (p) => udp({ src: p.dport, dst: p.sport }, payload));
      sent(lab, port === inside ? outside : inside, reply);
      return { frame: first, reply };
    };
    const snat = open(inside, of(family, 'b', 'world', udp({ src: 4000, dst: 53 }, payload)));
    const { dport } = parse(snat.reply);
    assert.is(cached(lab, inside, snat.frame), `${pool}:${dport}>${world}:53`);
    assert.is(cached(lab, outside, snat.reply), `${world}:53>${b}:4000`);
    const dnat = open(outside, of(family, 'world', 'float', udp({ src: 4000, dst: 22 }, payload)));
    assert.is(cached(lab, outside, dnat.frame), `${world}:4000>${a}:22`);
    assert.is(cached(lab, inside, dnat.reply), `${float}:22>${world}:4000`);
    const program = lab.plane.otherProgram('ct_expire');
    for (const { key, conn } of lab.conns()) {
      if ((conn.life & BigInt(CONN_TWIN)) === 0n) continue;
      const { ctxOut } = program.runSyscall(ctExpire.toBytes({ key, created: conn.created,
        done: 0 }));
      assert.is(ctExpire.fromBytes(ctxOut).done, 1);
    }
    program.close();
    for (const [port, frame] of [[outside, snat.reply], [inside, dnat.reply]] as const) {
      lab.plane.ingress(1, port, 0, 0);
      assert.is(lab.plane.trace(frame).cache, cacheState.CACHE_STALE, 'its end is seen by replies');
    }
  });
}

on('an address of two hosts: ports come from the pool from then on', (lab) => {
  lab.table(abi.TABLE_EGRESS + 1, [{ ops: natOps(abi.TABLE_EGRESS + 2, abi.FW_SNAT_ZONE,
    CT_NAT_SRC | CT_NAT_KEEP), args: natArgs(words(4, 'pool')) }]);
  const port = (host: 'a' | 'b', src: number): number =>
    parse(sent(lab, inside, of(4, host, 'world', udp({ src, dst: 53 })))).sport;
  assert.is(port('a', 40000), 40000);
  assert.ok(port('b', 40000) < 32768);
  assert.ok(port('a', 40001) < 32768);
});

on('the collector deletes both entries, and a revived connection may have other replies', (lab) => {
  const first = of(4, 'b', 'world', udp({ src: 4000, dst: 53 }));
  const before = parse(sent(lab, inside, first)).sport;
  lab.expire(100);
  const after = parse(sent(lab, inside, first)).sport;
  assert.is.not(after, before, 'the old tuple is not free at once');
  assert.is(lab.say(outside, of(4, 'world', 'pool', udp({ src: 53, dst: before }))),
    'punt CT_FOREIGN', 'and leads nowhere');
  assert.is(lab.say(outside, of(4, 'world', 'pool', udp({ src: 53, dst: after }))),
    `${hosts[4].world}:53>${hosts[4].b}:4000`);
  lab.expire(5000);
  lab.collect();
  lab.collect();
  assert.equal([lab.conns().length, lab.count()], [0, 0]);
});

on('two connections in one zone, each of which has the other\'s way: hairpin in the common zone',
  (lab) => {
    // Host a at its own address and b at the pool's, both in the DNAT zone; a speaks to the pool's
    // address, is translated to its floating one, and comes in again as from outside.
    const E = abi.TABLE_EGRESS, zone = abi.FW_DNAT_ZONE;
    const again = [{ code: abi.OP_CT_CLEAR }, set(abi.FW_TMP, 0), move(abi.FW_INPORT, abi.FW_TMP),
      set(abi.FW_OUTPORT, 1), next(10)];
    lab.table(0, [
      { match: [[abi.FW_INPORT, outside]], priority: 300, ops: [next(10)] }, { ops: [next(2)] }]);
    lab.table(2, [{ ops: [set(abi.FW_OUTPORT, 0), output], args: [outside] }]);
    lab.table(E, [{ match: [[abi.FW_IP_SRC + 3, ip4Word(hosts[4].a)]], priority: 200,
      ops: natOps(E + 1, zone, CT_NAT_SRC | CT_NAT_KEEP), args: natArgs(words(4, 'float')) },
    { ops: [{ code: abi.OP_CT_NEXT, src: zone, imm: E + 1, mask: CT_NAT }] }]);
    lab.table(E + 1, [{ match: [[abi.FW_IP_DST + 3, ip4Word(hosts[4].pool)]], priority: 200,
      ops: again, args: [outside, 0] },
    { match: [[abi.FW_IP_DST + 3, ip4Word(hosts[4].float)]], priority: 200, ops: again,
      args: [outside, 0] }, { ops: [output] }]);
    lab.table(10, [{ match: [[abi.FW_IP_DST + 3, ip4Word(hosts[4].pool)]], priority: 200,
      ops: natOps(11, zone, CT_NAT_DST), args: natArgs(words(4, 'b')) },
    { ops: [{ code: abi.OP_CT_NEXT, src: zone, imm: 11, mask: CT_NAT }] }]);
    lab.table(11, [{ ops: [set(abi.FW_OUTPORT, 0), set(abi.FW_FLAGS, 1, 1), output],
      args: [inside, 1] }]);
    const { a, b, float, pool } = hosts[4];
    const asks = of(4, 'a', 'pool', udp({ src: 4000, dst: 53 }, payload));
    const out = sent(lab, inside, asks);
    assert.is(show(out), `${float}:4000>${b}:53`);
    const reply = answer(out, () => udp({ src: 53, dst: 4000 }, payload));
    assert.is(lab.say(inside, reply), `${pool}:53>${a}:4000`);
    assert.is(lab.say(inside, asks), `${float}:4000>${b}:53`);
    const pairs = lab.conns().filter(({ conn }) => conn.life & BigInt(CONN_TWIN));
    assert.is(pairs.length, 2, 'two connections in one zone');
  });

on('every family and host at once: no two connections have the same replies', (lab) => {
  const replies = new Set<string>();
  for (const family of [4, 6] as Family[]) {
    for (const host of ['a', 'b'] as const) {
      for (let i = 0; i < 40; i += 1) {
        const frame = of(family, host, 'world', udp({ src: 5000 + i, dst: 9 }));
        const out = parse(sent(lab, inside, frame));
        replies.add(`${out.src} ${out.sport}`);
      }
    }
  }
  assert.is(replies.size, 160);
});

test.run();
