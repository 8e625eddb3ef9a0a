import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { symbolTable } from '../lflow/fields.js';
import { parseMicroflow } from '../lflow/microflow.js';
import { checksum, frameOf } from './frame.js';

function frame(microflow: string): Buffer {
  const { fields, problems } = parseMicroflow(microflow, symbolTable());
  assert.equal(problems, []);
  return frameOf(fields);
}
const ethernet = 'eth.src == 02:00:00:00:00:01 && eth.dst == 02:00:00:00:00:02';
const v4 = `${ethernet} && ip4.src == 10.0.0.1 && ip4.dst == 10.0.0.2`;
const v6 = `${ethernet} && ip6.src == fd00::1 && ip6.dst == fd00::2`;
const head = (bytes: Buffer, length: number): string => bytes.subarray(0, length).toString('hex');

test('UDP over IPv4: addresses, ports, TTL, both checksums', () => {
  const bytes = frame(`${v4} && ip.ttl == 7 && ip.dscp == 10 && udp.src == 5 && udp.dst == 80`);
  assert.is(head(bytes, 14), '020000000002' + '020000000001' + '0800');
  const ip = bytes.subarray(14, 34);
  assert.is(head(ip, 10), '4528' + '002e' + '00000000' + '0711');
  assert.is(checksum(ip), 0);
  assert.is(bytes.subarray(26, 38).toString('hex'), '0a000001' + '0a000002' + '00050050');
  const pseudo = Buffer.from('0a0000010a0000020011001a', 'hex');
  assert.is(checksum(Buffer.concat([pseudo, bytes.subarray(34)])), 0);
});

test('TCP, ICMP and a protocol without ports', () => {
  const tcp = frame(`${v4} && tcp.dst == 443 && tcp.flags == 2`);
  assert.is(tcp[23], 6);
  assert.is(tcp.subarray(46, 48).toString('hex'), '5002');
  const icmp = frame(`${v4} && icmp4.type == 8 && icmp4.code == 0`);
  assert.equal([icmp[23], icmp[34]], [1, 8]);
  assert.is(checksum(icmp.subarray(34)), 0);
  assert.is(frame(`${v4} && ip.proto == 50`)[23], 50);
});

test('IPv6, a neighbour solicitation with its option', () => {
  const udp = frame(`${v6} && ip6.label == 0x12345 && udp.dst == 53`);
  assert.is(udp.subarray(12, 22).toString('hex'), '86dd' + '60012345' + '001a' + '1140');
  const nd = frame(`${v6} && nd_ns && nd.target == fd00::9 && nd.sll == 02:00:00:00:00:01`);
  assert.equal([nd[20], nd[21], nd[54]], [58, 255, 135]);
  assert.is(nd.subarray(62, 86).toString('hex'),
    'fd00' + '0'.repeat(27) + '9' + '0101020000000001');
});

test('ARP, and an ethertype that says nothing more', () => {
  const arp = frame(`${ethernet} && arp.op == 1 && arp.spa == 10.0.0.1 && arp.tpa == 10.0.0.2`);
  assert.is(arp.subarray(12).toString('hex'), '0806' + '0001080006040001' + '020000000001' +
    '0a000001' + '000000000000' + '0a000002');
  assert.is(frame(`${ethernet} && eth.type == 0x88cc`).length, 60);
});

test.run();
