import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { affinity as affinityCodec, affinityKey } from '../abi/generated.js';
import { entriesOf, frameOf, parseLearned, type Session } from './affinity.js';

const stats = ' cookie=0x5b8a8b1c, duration=31.412s, table=78, n_packets=3, n_bytes=222, '
  + 'idle_timeout=60, idle_age=2, ';
const tcp4 = 'tcp,metadata=0x3,nw_src=10.0.1.11,nw_dst=172.16.0.18,tp_dst=80 actions=';
const backend4 = 'set_field:0x4000/0x4000->reg10,set_field:0xa00020b->reg4';
const at = (word: number, value: number, of = 10): number[] =>
  Array.from({ length: of }, (_, i) => i === word ? value : 0);
const parsed = (text: string): Session => {
  const session = parseLearned(text);
  if (!session) throw new Error(`not understood: ${text}`);
  return session;
};

test('a flow of IPv4, with a port', () => {
  const { key, values, masks, timeout, age } =
    parsed(`${stats}${tcp4}${backend4},set_field:0x1f90/0xffff->reg8`);
  assert.equal(key, { datapath: 3, family: 6 << 8 | 4, port: 80, vip: at(3, 0xac100012, 4),
    client: at(3, 0x0a00010b, 4) });
  assert.equal(values, [0, 0, 0, 0, 0x0a00020b, 0, 0, 0, 8080, 0]);
  assert.equal(masks, [0, 0, 0, 0, 0xffffffff, 0, 0, 0, 0xffff, 0]);
  assert.equal([timeout, age], [60, 2]);
});

test('a flow of IPv6', () => {
  const { key, values, masks } = parsed(`${stats}udp6,metadata=0x3,ipv6_src=fd00::b,`
    + 'ipv6_dst=fd00:99::18,tp_dst=53 actions=set_field:0x4000/0x4000->reg10,'
    + 'set_field:0xfd000000000000010000000000000002->xxreg1');
  assert.is(key.family, 17 << 8 | 6);
  assert.equal(key.vip, [0xfd000099, 0, 0, 0x18]);
  assert.equal(values, [0, 0, 0, 0, 0xfd000000, 1, 0, 2, 0, 0]);
  assert.equal(masks.map((mask) => mask === 0xffffffff), at(0, 0).map((_, i) => i >= 4 && i < 8));
});

test('a virtual address without a port, a flow that was just used', () => {
  const { key, age } = parsed(`${stats.replace(' idle_age=2,', '')}ip,metadata=0x3,`
    + `nw_src=10.0.1.11,nw_dst=172.16.0.18 actions=${backend4}`);
  assert.equal([key.family, key.port, age], [4, 0, 0]);
});

test('what is no such flow is none', () => {
  for (const line of [
    `${stats}${tcp4}set_field:0xa00020b->reg4`,
    `${stats}${tcp4}${backend4},resubmit(,5)`,
    `${stats}${tcp4}${backend4},set_field:0x1->reg11`,
    `${stats}${tcp4}${backend4},set_field:0x1->xxreg3`,
    `${stats}${tcp4.replace('tcp,', 'tcp,reg0=0x1,')}${backend4}`,
    `${stats}${tcp4.replace('10.0.1.11', '10.0.1.0/24')}${backend4}`,
    `${stats}${tcp4.replace(',tp_dst=80', '')}${backend4}`,
    `${stats}${tcp4.replace('metadata=0x3,', '')}${backend4}`,
    `${stats.replace('idle_timeout=60, ', '')}${tcp4}${backend4}`,
    `${stats}icmp,metadata=0x3,nw_src=10.0.1.11,nw_dst=172.16.0.18 actions=${backend4}`,
    'NXST_FLOW reply (xid=0x4):', '']) {
    assert.is(parseLearned(line), undefined, line);
  }
});

test('an entry ends before OVS\'s flow may, and there is none of one that is nearly over', () => {
  const session = parsed(`${stats}${tcp4}${backend4}`);
  const [[id, bytes] = []] = entriesOf([session], 1_000_000, 10_000);
  assert.is(id, Buffer.from(affinityKey.toBytes(session.key)).toString('hex'));
  assert.is(affinityCodec.fromBytes(bytes!).until,
    BigInt(1_000_000 + (60 - 2 - 1) * 1000 - 10_000));
  assert.is(entriesOf([{ ...session, age: 49 }], 1_000_000, 10_000).size, 0);
  assert.is(entriesOf([{ ...session, age: 48 }], 1_000_000, 10_000).size, 1);
});

test('of two flows that OVS takes either of there is no entry', () => {
  const whole = `${stats}ip,metadata=0x3,nw_src=10.0.1.11,nw_dst=172.16.0.18 actions=${backend4}`;
  const both = [`${stats}${tcp4}${backend4}`, whole].map(parsed);
  assert.is(entriesOf(both, 0, 0).size, 0);
  const other = parsed(whole.replace('10.0.1.11', '10.0.1.12'));
  assert.is(entriesOf([both[0]!, other], 0, 0).size, 2, 'of two clients');
});

test('frames that the flows match', () => {
  const { key } = parsed(`${stats}${tcp4}${backend4}`);
  assert.is(frameOf(key).toString('hex'), '00'.repeat(12) + '0800'
    + '4500002800000000400600000a00010bac100012' + '00000050' + '00'.repeat(8) + '5002'
    + '00'.repeat(6));
  const six = { ...key, family: 17 << 8 | 6, vip: [0xfd000099, 0, 0, 0x18],
    client: [0xfd000000, 0, 0, 0xb] };
  assert.is(frameOf(six).toString('hex'), '00'.repeat(12) + '86dd' + '6000000000081140'
    + 'fd00000000000000000000000000000bfd000099000000000000000000000018' + '0000005000080000');
});

test.run();
