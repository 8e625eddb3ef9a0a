/** Translations of datagrams in fragments: each piece, and the checksum of the whole. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as layout from '../../abi/generated.js';
import { abi, hook, ip4Word, next, output, set, type Term } from './dataplane.fixture.js';
import {
  checkSums, hosts, inside, NatRouter, outside, parse, reassembled, type Family, type Host,
} from './nat.fixture.js';
import {
  eth, fragments, icmp, ip4, ip6, raw4, udp, type Bytes, type Layer4,
} from '../packet.js';

const test = suite(`nat: fragments (${hook})`);
function on(name: string, body: (lab: NatRouter) => void): void {
  test(name, () => {
    const lab = new NatRouter();
    try {
      body(lab);
    } finally {
      lab.close();
    }
  });
}

const macs = { src: '02:00:00:00:00:0a', dst: '02:00:00:00:00:0b' };
const data = (size: number): Bytes => Uint8Array.from({ length: size }, (_, i) => i * 3);
let id = 0;
function pieces(family: Family, src: string, dst: string, layer4: Layer4): Bytes[] {
  id += 1;
  const layer3 = family === 4 ? ip4({ src, dst, id }, layer4) : ip6({ src, dst }, layer4);
  return fragments(layer3, id, 1240).map((piece) => eth(macs, piece));
}
const between = (family: Family, src: Host, dst: Host, layer4: Layer4): Bytes[] =>
  pieces(family, hosts[family][src], hosts[family][dst], layer4);

/** What comes out, put together; or the verdicts, if one was not sent. */
function through(lab: NatRouter, port: number, frames: readonly Bytes[]): Bytes | string[] {
  const results = frames.map((frame) => lab.send(port, frame, { sums: false }));
  if (results.some(({ verdict }) => verdict !== 'sent')) {
    return results.map(({ verdict }) => verdict);
  }
  const out = reassembled(results.map(({ frame }) => frame));
  checkSums(out);
  return out;
}
function sent(lab: NatRouter, port: number, frames: readonly Bytes[]): Bytes {
  const out = through(lab, port, frames);
  if (Array.isArray(out)) throw new Error(out.join());
  return out;
}

const size = 3000;
for (const family of [4, 6] as const) {
  const { a, b, pool, float, world } = hosts[family];
  const datagram = (src: number, dst: number, csum = true): Layer4 =>
    udp({ src, dst, csum }, data(size));

  on(`UDP/IPv${family}: out from behind a pool's address, and back`, (lab) => {
    const out = sent(lab, inside, between(family, 'b', 'world', datagram(40000, 53)));
    const { src, dst, sport, dport, layer4 } = parse(out);
    assert.equal([src, dst, dport], [pool, world, 53]);
    assert.ok(sport >= 1024 && sport <= 32767, `${sport}`);
    assert.equal([...layer4.slice(8, 8 + size)], [...data(size)], 'all of it');
    assert.is(lab.conns().length, 3);
    const back = parse(sent(lab, outside, pieces(family, world, pool, datagram(53, sport))));
    assert.equal([back.src, back.sport, back.dst, back.dport], [world, 53, b, 40000]);
    assert.is(lab.conns().length, 3, 'the same connection');
  });

  on(`UDP/IPv${family}: in to a floating address, and back`, (lab) => {
    const to = parse(sent(lab, outside, between(family, 'world', 'float', datagram(40000, 53))));
    assert.equal([to.src, to.sport, to.dst, to.dport], [world, 40000, a, 53]);
    const back = parse(sent(lab, inside, between(family, 'a', 'world', datagram(53, 40000))));
    assert.equal([back.src, back.sport, back.dst], [float, 53, world]);
  });

  on(`UDP/IPv${family}: whole packets and fragments are of one connection`, (lab) => {
    const whole = (): Bytes => eth(macs, family === 4 ? ip4({ src: b, dst: world },
      udp({ src: 40000, dst: 53 })) : ip6({ src: b, dst: world }, udp({ src: 40000, dst: 53 })));
    const first = parse(lab.send(inside, whole()).frame).sport;
    assert.is(parse(sent(lab, inside, between(family, 'b', 'world', datagram(40000, 53)))).sport,
      first);
    assert.is(parse(lab.send(inside, whole()).frame).sport, first);
    assert.is(lab.conns().length, 3);
  });
}

on('UDP without a checksum keeps none', (lab) => {
  const out = parse(sent(lab, inside,
    between(4, 'b', 'world', udp({ src: 40000, dst: 53, csum: false }, data(size)))));
  assert.equal([...out.layer4.slice(6, 8)], [0, 0]);
});

on('echo: the identifier of a second host changes, in all directions', (lab) => {
  const ping = (reply: boolean, number: number): Layer4 =>
    icmp({ type: reply ? 0 : 8, rest: number << 16 | 1 }, data(size));
  const { pool, world, b } = hosts[4];
  const one = parse(sent(lab, inside, between(4, 'b', 'world', ping(false, 7))));
  assert.equal([one.src, one.id], [pool, 7]);
  const other = parse(sent(lab, inside, pieces(4, '10.0.0.3', world, ping(false, 7))));
  assert.is(other.src, pool);
  assert.is.not(other.id, 7);
  const reply = parse(sent(lab, outside, pieces(4, world, pool, ping(true, other.id))));
  assert.equal([reply.dst, reply.id], ['10.0.0.3', 7]);
  const first = parse(sent(lab, outside, pieces(4, world, pool, ping(true, 7))));
  assert.equal([first.dst, first.id], [b, 7]);
});

on('a protocol without ports', (lab) => {
  const out = parse(sent(lab, inside, between(4, 'b', 'world', raw4(47, data(size)))));
  assert.equal([out.src, out.dst, out.proto], [hosts[4].pool, hosts[4].world, 47]);
});

on('a later piece without its first is OVS\'s, and not translated', (lab) => {
  const [first, second, third] =
    between(4, 'b', 'world', udp({ src: 40000, dst: 53 }, data(size))) as [Bytes, Bytes, Bytes];
  assert.equal([second, first, third].map((frame) => lab.send(inside, frame).verdict),
    Array(3).fill('punt CT_FRAGMENT'));
  assert.is(lab.conns().length, 0);
});

on('a datagram is forgotten when all of it has gone: another may be named like it', (lab) => {
  const all = between(4, 'b', 'world', udp({ src: 40000, dst: 53 }, data(size)));
  const known = (): number => [...lab.plane.map('fragments').entries()].length;
  const after = (frame: Bytes): [string, number] =>
    [lab.send(inside, frame, { sums: false }).verdict, known()];
  assert.equal([0, 2, 1].map((i) => after(all[i]!)), [['sent', 1], ['sent', 1], ['sent', 0]]);
  assert.equal(after(all[1]!), ['punt CT_FRAGMENT', 1], 'no first one of its own');
});

on('all of a datagram is looked up before the first of it begins to be translated', (lab) => {
  const { b, world } = hosts[4], from = (host: Host): Term[] =>
    [[abi.FW_IP_SRC + 3, ip4Word(hosts[4][host])]];
  // A distributed router: its entrance asks the zone that its exit translates in, and the way
  // hangs on the source (lr_in_gw_redirect).
  lab.table(0, [{ ops: [{ code: abi.OP_CT_NEXT, src: abi.FW_SNAT_ZONE, imm: 1,
    mask: layout.CT_NAT }] }]);
  lab.table(2, [{ match: from('b'), ops: [set(abi.FW_OUTPORT, 0), output], args: [outside] },
    { match: from('pool'), priority: 200, ops: [] }]);
  const datagram = (): Bytes[] => pieces(4, b, world, udp({ src: 40000, dst: 53 }, data(size)));
  const out = parse(sent(lab, inside, datagram()));
  assert.equal([out.src, out.dst], [hosts[4].pool, world]);
  assert.equal(through(lab, inside, datagram()), Array(3).fill('drop'),
    'the next one is translated at the entrance, with OVS too');
});

on('stateless translation of a fragment is OVS\'s', (lab) => {
  lab.table(abi.TABLE_EGRESS + 1, [{ ops: [set(abi.FW_IP_SRC + 3, 0), next(abi.TABLE_EGRESS + 2)],
    args: [ip4Word(hosts[4].float)] }]);
  lab.table(abi.TABLE_EGRESS + 2, [{ ops: [output] }]);
  assert.equal(through(lab, inside,
    between(4, 'a', 'world', udp({ src: 40000, dst: 53 }, data(size))))[0], 'punt REWRITE');
});

test.run();
