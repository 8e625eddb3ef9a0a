import { isIPv6 } from 'node:net';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAddress, addressWords } from '../sync/addresses.js';
import { canonical, formatAddress, inPrefix, keyBytes, parsePrefix, parseProto, protoName, reverse,
  tupleOf, type Tuple } from './tuple.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
console.log(`seed ${seed}`);
const word = fc.oneof(fc.constantFrom(0, 1, 0xffff, 0x10000, 0xffffffff), fc.nat(0xffffffff));
const words = fc.array(word, { minLength: 4, maxLength: 4 });
const tuples: fc.Arbitrary<Tuple> = fc.record({ family: fc.constantFrom(4, 6),
  proto: fc.constantFrom(1, 6, 17), src: words, dst: words, sport: fc.nat(0xffffff),
  dport: fc.nat(0xffffff) }, { noNullPrototype: true });

test('both directions have one key, which tells them apart', () => {
  fc.assert(fc.property(tuples, fc.nat(65535), (tuple, zone) => {
    const one = canonical(tuple, zone), other = canonical(reverse(tuple), zone);
    assert.equal(keyBytes(one.key), keyBytes(other.key));
    assert.equal(tupleOf(one.key, one.fromB), tuple);
    assert.equal(tupleOf(other.key, other.fromB), reverse(tuple));
  }), { seed });
});

test('words compare without a sign, addresses before ports', () => {
  const tuple: Tuple = { family: 4, proto: 6, src: [0, 0, 0, 0xff000000], dst: [0, 0, 0, 1],
    sport: 1, dport: 2 };
  assert.ok(canonical(tuple).fromB);
  assert.not(canonical({ ...tuple, src: tuple.dst }).fromB);
  assert.ok(canonical({ ...tuple, src: tuple.dst, sport: 3 }).fromB);
});

test('IPv6 addresses as RFC 5952 writes them', () => {
  for (const text of ['::', '::1', '1::', 'fd00:1::b', '2001:db8::1:0:0:1', '1:0:0:2::3',
    '2001:db8:0:1:1:1:1:1', '1:2:3:4:5:6:7:8']) {
    assert.is(formatAddress(6, addressWords(parseAddress(text)!)), text);
  }
  fc.assert(fc.property(words, (address) => {
    const text = formatAddress(6, address);
    assert.ok(isIPv6(text), text);
    assert.equal(addressWords(parseAddress(text)!), address);
  }), { seed });
  assert.is(formatAddress(4, [0, 0, 0, 0xfffefdfc]), '255.254.253.252');
});

test('prefixes', () => {
  const holds = (prefix: string, address: string): boolean =>
    inPrefix(parsePrefix(prefix)!, addressWords(parseAddress(address)!));
  for (const [prefix, inside, outside] of [['10.0.0.0/8', '10.255.0.1', '11.0.0.0'],
    ['10.0.0.7', '10.0.0.7', '10.0.0.6'], ['0.0.0.0/0', '255.1.1.1', undefined],
    ['fd00:1::/33', 'fd00:1:7fff::1', 'fd00:1:8000::'], ['::/0', 'ffff::', undefined],
    ['128.0.0.0/1', '255.0.0.1', '127.0.0.1'], ['fd00::1', 'fd00::1', 'fd00::2']] as const) {
    assert.ok(holds(prefix, inside), prefix);
    if (outside !== undefined) assert.not(holds(prefix, outside), prefix);
  }
  for (const bad of ['', '10.0.0.0/33', 'fd00::/129', '10.0.0', 'x/8', '10.0.0.0/']) {
    assert.is(parsePrefix(bad), undefined, bad);
  }
});

test('protocols by name and number', () => {
  assert.equal(['tcp', 'icmpv6', '47', '99', 'x', '256', 'constructor'].map(parseProto),
    [6, 58, 47, 99, undefined, undefined, undefined]);
  assert.equal([6, 58, 47, 99].map(protoName), ['tcp', 'icmpv6', 'gre', '99']);
});

test.run();
