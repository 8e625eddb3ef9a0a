/**
 * Answers between stateful ACLs: VM b's refuses what VM a sends, and the answer passes a's
 * connection tracking in the same walk. As in OVS, where it comes back as a packet-out, the
 * connection that a's zone has begun knows it as a reply, or as related to it.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { answer } from '../../abi/generated.js';
import { F, packet, pingOf, tcpOf, TrackingSwitch, udpOf } from './conntrack.fixture.js';
import { abi, exchange, next, type TestOp } from './dataplane.fixture.js';
import { describe, udp, type Bytes } from '../packet.js';

const reject: readonly TestOp[] = [{ code: abi.OP_ANSWER, imm: answer.ANSWER_REJECT },
  ...exchange(abi.FW_INPORT, abi.FW_OUTPORT, 1), next(3)];

/** Where b's egress ACLs accept what is new, they reject it. */
function rejecting(): TrackingSwitch {
  const lab = new TrackingSwitch();
  lab.plane.table(1, abi.TABLE_EGRESS + 2, [
    { ops: [{ code: abi.OP_OUTPUT }] },
    { match: [[abi.FW_CT_STATE, 1, 1], [abi.FW_OUTPORT, 2]], priority: 200, ops: reject },
    { match: [[abi.FW_CT_STATE, 16, 16]], priority: 300, ops: [] },
  ]);
  return lab;
}

const test = suite('dataplane: answers and connections');

const large = packet('a', udp({ src: 1000, dst: 2000 }, new Uint8Array(1400)));
const six = packet('a', udp({ src: 1000, dst: 2000 }), 6);
const cases: readonly (readonly [string, Bytes, string, RegExp])[] = [
  ['a reset is a reply', tcpOf('a', F.syn), 'new/est rpl', /tcp 2000 > 1000 csum ok/],
  ['an unreachable is related', udpOf('a'), 'new/rel rpl', /icmp type 3 code 3 csum ok/],
  ['an unreachable that quotes a part', large, 'new/rel rpl', /icmp type 3 code 3 csum ok/],
  ['an unreachable of IPv6', six, 'new/rel rpl', /icmp type 1 code 4 csum ok/],
  ['an unreachable for an echo', pingOf('a', 8), 'new/rel rpl', /icmp type 3 code 1 csum ok/],
];
for (const [name, frame, seen, line] of cases) {
  test(`${name}, again and again`, () => {
    const lab = rejecting();
    for (let i = 0; i < 3; i++) {
      assert.is(lab.say('a', frame), seen);
      const zones = lab.conns().map(({ key }) => key.zone);
      assert.equal(zones, [11], 'a has begun it, b has not');
    }
    lab.plane.ingress(1, 1, 0, 11);
    assert.match(describe(lab.plane.run(frame).frame).join('\n'), line);
    assert.equal(lab.foreign(), []);
    lab.close();
  });
}

test('an answer that OVS has to give leaves no entry, and the connection to OVS', () => {
  const lab = rejecting();
  lab.plane.port(1, 1, { kind: abi.PORT_PUNT, reason: abi.PUNT_UNSUPPORTED_PORT });
  assert.is(lab.say('a', tcpOf('a', F.syn)), 'punt UNSUPPORTED_PORT');
  assert.equal(lab.conns(), []);
  assert.is(lab.foreign().length, 1);
  lab.close();
});

test.run();
