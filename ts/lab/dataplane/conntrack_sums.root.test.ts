/** Wrong checksums of layer 4: invalid to conntrack, as to OVS, and nothing to anybody else. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { abi, hook, output, set } from './dataplane.fixture.js';
import { errorAbout, F, keys, packet, TrackingSwitch } from './conntrack.fixture.js';
import { icmp, icmp6, raw4, tcp, udp, type Layer4 } from '../packet.js';
import { withWrongSum } from '../sequences/sequences.js';

const test = suite('conntrack: checksums');
const ports = { src: 1000, dst: 2000 };
const data = Uint8Array.from({ length: 1000 }, (_, i) => i * 11);
const messages: readonly (readonly [string, Layer4, 4 | 6, string])[] = [
  ['TCP', tcp({ ...ports, flags: F.syn }), 4, 'drop'],
  ['TCP over IPv6', tcp({ ...ports, flags: F.syn }), 6, 'drop'],
  ['TCP with data', tcp({ ...ports, flags: F.syn }, data), 4, 'drop'],
  ['TCP with an odd byte', tcp({ ...ports, flags: F.syn }, data.subarray(0, 333)), 6, 'drop'],
  ['UDP', udp(ports), 4, 'drop'],
  ['UDP over IPv6', udp(ports, data), 6, 'drop'],
  ['ICMP', icmp({ type: 8 }, data.subarray(0, 57)), 4, 'drop'],
  ['ICMPv6', icmp6({ type: 128 }, data), 6, 'drop'],
];

for (const [name, layer4, family, verdict] of messages) {
  test(`${name}: tracked when right, invalid when wrong`, () => {
    const lab = new TrackingSwitch();
    const wrong = packet('a', withWrongSum(layer4), family);
    assert.is(lab.say('a', wrong), verdict);
    if (verdict === 'drop') assert.equal([lab.conns(), lab.foreign()], [[], []]);
    assert.is(lab.say('a', packet('a', layer4, family)), 'new/new');
    assert.is(lab.say('a', wrong), verdict, 'of a connection that is known, too');
    assert.is(lab.conns().length, 2);
    lab.close();
  });
}

test('padding behind the packet is not summed', () => {
  const lab = new TrackingSwitch();
  const padded = Uint8Array.from([...packet('a', udp(ports)), ...Array<number>(17).fill(0xff)]);
  assert.is(lab.say('a', padded), 'new/new');
  lab.close();
});

test('UDP without a checksum: right over IPv4; over IPv6 only to the kernel\'s tracker', () => {
  const lab = new TrackingSwitch(), none = udp({ ...ports, csum: false });
  assert.is(lab.say('a', packet('a', none)), 'new/new');
  assert.is(lab.say('a', packet('a', none, 6)), hook === 'tc' ? 'new/new' : 'drop');
  lab.close();
});

test('a wrong ICMP error is related to nothing; what it quotes may be wrong', () => {
  const lab = new TrackingSwitch();
  const sent = packet('a', udp(ports));
  assert.is(lab.say('a', sent), 'new/new');
  assert.is(lab.say('b', errorAbout(packet('a', withWrongSum(udp(ports))), 'b')),
    'rel rpl/rel rpl');
  const error = errorAbout(sent, 'b');
  error[36]! ^= 1;
  assert.is(lab.say('b', error), 'drop');
  lab.close();
});

test('what has no checksum that anybody verifies', () => {
  const lab = new TrackingSwitch();
  assert.is(lab.say('a', packet('a', raw4(47, Uint8Array.of(1, 2, 3, 4)))), 'new/new');
  lab.close();
});

test('without tracking nobody looks at it', () => {
  const lab = new TrackingSwitch();
  lab.plane.table(1, 0, [{ ops: [set(abi.FW_OUTPORT, 0), output], args: [keys.b] }]);
  lab.plane.table(1, abi.TABLE_EGRESS, [{ ops: [output] }]);
  assert.is(lab.send('a', packet('a', withWrongSum(tcp({ ...ports, flags: F.syn })))).verdict,
    'sent');
  lab.close();
});

test('the sum of the pseudo-header is wrong unless a device will complete it', () => {
  const lab = new TrackingSwitch();
  const partial = tcp({ ...ports, flags: F.syn }, data);
  assert.is(lab.say('a', packet('a', { proto: partial.proto, build: (pseudo) => {
    const bytes = partial.build(pseudo), sum = pseudo(partial.proto, bytes.length);
    bytes.set([sum >> 8 & 0xff, sum & 0xff], 16);
    return bytes;
  } })), 'drop');
  lab.close();
});

test.run();
