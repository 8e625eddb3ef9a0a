/** Connections of TCP, UDP and ICMP packet by packet: ct_state in two zones, and entries. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  errorAbout, F, packet, ping6Of, pingOf, timeouts, TrackingSwitch, tcpOf, udpOf, type Side,
} from './conntrack.fixture.js';
import { ctMode } from '../../abi/generated.js';
import { PROTO, raw4, udp, type Bytes } from '../packet.js';

const test = suite('conntrack: states');
type Steps = readonly (readonly [from: Side, frame: Bytes, seen: string])[];

/** Each step of the sequence shows the states on its right; ends with these entries. */
function sequence(name: string, steps: Steps, states?: readonly string[]): void {
  test(name, () => {
    const lab = new TrackingSwitch();
    for (const [i, [from, frame, seen]] of steps.entries()) {
      assert.is(lab.say(from, frame), seen, `packet ${i + 1}`);
    }
    if (states) assert.equal(lab.states(), states);
    lab.close();
  });
}

const S = F.syn, A = F.ack, SA = S | A, FA = F.fin | A, R = F.rst;
const handshake: Steps = [
  ['a', tcpOf('a', S), 'new/new'], ['b', tcpOf('b', SA), 'est rpl/est rpl'],
  ['a', tcpOf('a', A), 'est/est']];
sequence('TCP handshake and data', [...handshake, ['b', tcpOf('b', A | F.psh), 'est rpl/est rpl']],
  ['11 4.4', '12 4.4']);
sequence('a retransmitted SYN is new again', [
  ['a', tcpOf('a', S), 'new/new'], ['a', tcpOf('a', S), 'new/new']], ['11 2.0', '12 2.0']);
sequence('simultaneous open', [
  ['a', tcpOf('a', S), 'new/new'], ['b', tcpOf('b', S), 'new/new'],
  ['b', tcpOf('b', SA), 'est rpl/est rpl'], ['a', tcpOf('a', SA), 'est/est']],
['11 4.4', '12 4.4']);
sequence('a reset closes, and the next SYN begins anew', [...handshake,
  ['b', tcpOf('b', R | A), 'est rpl/est rpl'], ['a', tcpOf('a', S), 'new/new'],
  ['b', tcpOf('b', SA), 'est rpl/est rpl']], ['11 4.2', '12 4.2']);
sequence('both ends finish, and the next SYN begins anew', [...handshake,
  ['a', tcpOf('a', FA), 'est/est'], ['b', tcpOf('b', FA), 'est rpl/est rpl'],
  ['a', tcpOf('a', A), 'est/est'], ['a', tcpOf('a', S), 'new/new']], ['11 2.0', '12 2.0']);
sequence('the other end may reopen: the direction turns', [...handshake,
  ['b', tcpOf('b', R | A), 'est rpl/est rpl'], ['b', tcpOf('b', S), 'new/new'],
  ['a', tcpOf('a', SA), 'est rpl/est rpl']], ['11 4.2', '12 4.2']);
sequence('half closed stays established', [...handshake,
  ['a', tcpOf('a', FA), 'est/est'], ['b', tcpOf('b', A), 'est rpl/est rpl'],
  ['b', tcpOf('b', A | F.psh), 'est rpl/est rpl']], ['11 9.4', '12 9.4']);
sequence('flags that no stack sends are invalid, in a connection and without', [...handshake,
  ['a', tcpOf('a', S | F.fin), 'drop'], ['a', tcpOf('a', 0), 'drop'],
  ['a', tcpOf('a', F.fin), 'drop'], ['a', tcpOf('a', S | R, 5), 'drop']], ['11 4.4', '12 4.4']);
sequence('UDP is new until it is answered', [
  ['a', udpOf('a'), 'new/new'], ['a', udpOf('a'), 'new/new'],
  ['b', udpOf('b'), 'est rpl/est rpl'], ['a', udpOf('a'), 'est/est']], ['11 2.0', '12 2.0']);
sequence('UDP of another port is another connection', [
  ['a', udpOf('a'), 'new/new'], ['b', udpOf('b', 1001), 'new/new']],
['11 0.0', '11 0.0', '12 0.0', '12 0.0']);
sequence('port 0 is invalid', [['a', packet('a', udp({ src: 0, dst: 5 })), 'drop']], []);
sequence('echo: asked, asked again, answered', [
  ['a', pingOf('a', 8), 'new/new'], ['a', pingOf('a', 8), 'new/new'],
  ['b', pingOf('b', 0), 'est rpl/est rpl'], ['a', pingOf('a', 8), 'est/est']],
['11 2.0', '12 2.0']);
sequence('an echo the other way is another connection', [
  ['a', pingOf('a', 8), 'new/new'], ['b', pingOf('b', 8), 'new/new']],
['11 0.0', '11 0.0', '12 0.0', '12 0.0']);
sequence('an answer to another echo is not ours', [
  ['a', pingOf('a', 8), 'new/new'], ['b', pingOf('b', 0, 8), 'punt CT_MIDSTREAM']],
['11 0.0', '12 0.0']);
sequence('ICMPv6 echo', [
  ['a', ping6Of('a', 128), 'new/new'], ['b', ping6Of('b', 129), 'est rpl/est rpl']],
['11 2.0', '12 2.0']);
sequence('errors are related, either way', [...handshake,
  ['b', errorAbout(tcpOf('a', A), 'b'), 'rel rpl/rel rpl'],
  ['a', errorAbout(tcpOf('b', A), 'a', 11), 'rel/rel']], ['11 4.4', '12 4.4']);
sequence('errors quote 8 bytes of layer 4 at least', [...handshake,
  ['b', errorAbout(tcpOf('a', A), 'b', 3, 28), 'rel rpl/rel rpl'],
  ['b', errorAbout(tcpOf('a', A), 'b', 3, 27), 'drop'],
  ['b', errorAbout(tcpOf('a', A), 'b', 3, 19), 'drop']]);
sequence('an error that quotes what did not come from its receiver is invalid', [...handshake,
  ['b', errorAbout(tcpOf('b', A), 'b'), 'drop']]);
sequence('an error about an unknown connection is not ours to judge', [...handshake,
  ['b', errorAbout(tcpOf('a', A, 999), 'b'), 'punt CT_MIDSTREAM']]);
sequence('ICMPv6 errors', [
  ['a', ping6Of('a', 128), 'new/new'],
  ['b', errorAbout(ping6Of('a', 128), 'b', 1), 'rel rpl/rel rpl'],
  ['b', errorAbout(ping6Of('a', 128), 'b', 1, 47), 'drop']], ['11 0.0', '12 0.0']);

const psh = A | F.psh;
sequence('a reset that neither end believes is taken back', [...handshake,
  ['a', tcpOf('a', R), 'est/est'], ['b', tcpOf('b', A), 'est rpl/est rpl'],
  ['a', tcpOf('a', psh), 'est/est']], ['11 4.4', '12 4.4']);
sequence('one that only its receiver does not believe is not', [...handshake,
  ['a', tcpOf('a', R | A), 'est/est'], ['b', tcpOf('b', psh), 'est rpl/est rpl'],
  ['b', tcpOf('b', psh), 'est rpl/est rpl']], ['11 10.4', '12 10.4']);
sequence('a SYN begins anew after a reset, whoever goes on', [...handshake,
  ['a', tcpOf('a', R | A), 'est/est'], ['b', tcpOf('b', psh), 'est rpl/est rpl'],
  ['a', tcpOf('a', S), 'new/new']], ['11 2.0', '12 2.0']);
sequence('FIN, SYN and ACK of a second reset take nothing back', [...handshake,
  ['b', tcpOf('b', R), 'est rpl/est rpl'], ['a', tcpOf('a', R | A), 'est/est'],
  ['b', tcpOf('b', FA), 'est rpl/est rpl'], ['b', tcpOf('b', SA), 'est rpl/est rpl']],
['11 10.10', '12 10.10']);

/** An SCTP common header: ports, verification tag, checksum that nobody here looks at. */
const sctpOf = (from: Side, src: number, dst: number): Bytes => packet(from, raw4(PROTO.sctp,
  Uint8Array.of(src >> 8, src & 255, dst >> 8, dst & 255, ...Array<number>(8).fill(7))));
sequence('SCTP: addresses make a connection, whatever the ports (OVS 3.1, lib/conntrack.c)', [
  ['a', sctpOf('a', 1000, 2000), 'new/new'], ['a', sctpOf('a', 1001, 2001), 'new/new'],
  ['b', sctpOf('b', 3000, 4000), 'est rpl/est rpl'], ['a', sctpOf('a', 1, 2), 'est/est']],
['11 2.0', '12 2.0']);
test('over the kernel\'s datapath SCTP is OVS\'s, whose tracker follows associations', () => {
  const lab = new TrackingSwitch();
  lab.mode(ctMode.CT_ON, 1000, timeouts, 1);
  assert.is(lab.say('a', sctpOf('a', 1000, 2000)), 'punt CONNTRACK');
  assert.is(lab.say('a', tcpOf('a', S)), 'new/new');
  assert.equal(lab.states(), ['11 2.0', '12 2.0']);
  lab.close();
});

test.run();
