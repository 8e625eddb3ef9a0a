import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { connKey, type ConnKey } from '../abi/generated.js';
import { foreignKeys, parseDumpLine } from './ovs_dump.js';
import { formatAddress } from './tuple.js';

/** "a:port b:port proto" of each key; lines are those of OVS v3.1.0's tests/system-traffic.at. */
function keysOf(line: string): string[] {
  const connection = parseDumpLine(line);
  assert.ok(connection, line);
  return foreignKeys(connection).map((bytes) => {
    const { a, b, a_port, b_port, proto, family, zone }: ConnKey = connKey.fromBytes(bytes);
    assert.is(zone, 0);
    return `${formatAddress(family, a)} ${a_port} ${formatAddress(family, b)} ${b_port} ${proto}`;
  });
}

test('every protocol, both families, whatever follows the tuples', () => {
  for (const [line, ...keys] of [
    ['tcp,orig=(src=10.1.1.1,dst=10.1.1.2,sport=30000,dport=80),reply=(src=10.1.1.2,' +
      'dst=10.1.1.1,sport=80,dport=30000),zone=1,mark=3,labels=0x200000001,' +
      'protoinfo=(state=TIME_WAIT),helper=ftp', '10.1.1.1 30000 10.1.1.2 80 6'],
    ['udp,orig=(src=10.1.1.2,dst=10.1.1.1,sport=2,dport=1),reply=(src=10.1.1.1,dst=10.1.1.2,' +
      'sport=1,dport=2),zone=5', '10.1.1.1 1 10.1.1.2 2 17'],
    ['icmp,orig=(src=10.1.1.1,dst=10.1.1.2,id=7,type=8,code=0),reply=(src=10.1.1.2,' +
      'dst=10.1.1.1,id=7,type=0,code=0)', `10.1.1.1 ${7 * 256 + 8} 10.1.1.2 ${7 * 256} 1`],
    ['icmpv6,orig=(src=fc00::1,dst=fc00::2,id=65535,type=128,code=0),reply=(src=fc00::2,' +
      'dst=fc00::1,id=65535,type=129,code=0),zone=65534',
    `fc00::1 ${65535 * 256 + 128} fc00::2 ${65535 * 256 + 129} 58`],
    ['sctp,orig=(src=10.1.1.2,dst=10.1.1.1,sport=54969,dport=12345),reply=(src=10.1.1.1,' +
      'dst=10.1.1.2,sport=12345,dport=54969),protoinfo=(state=ESTABLISHED,vtag_orig=1,' +
      'vtag_reply=2)', '10.1.1.1 0 10.1.1.2 0 132'],
    ['47,orig=(src=10.1.1.1,dst=10.1.1.2,sport=0,dport=0),reply=(src=10.1.1.2,dst=10.1.1.1,' +
      'sport=0,dport=0),zone=9', '10.1.1.1 0 10.1.1.2 0 47'],
  ] as const) assert.equal(keysOf(line), keys, line);
});

test('of a translated connection both tuples are known', () => {
  assert.equal(keysOf('tcp,orig=(src=10.1.1.1,dst=10.1.1.64,sport=1,dport=80),' +
    'reply=(src=10.1.1.2,dst=10.1.1.1,sport=8080,dport=1),zone=1,protoinfo=(state=SYN_SENT)'),
  ['10.1.1.1 1 10.1.1.64 80 6', '10.1.1.1 1 10.1.1.2 8080 6']);
});

test('counters and the verbose form change nothing; states are told', () => {
  const line = 'tcp,orig=(src=10.1.1.1,dst=10.1.1.2,sport=1,dport=2,packets=5,bytes=9),' +
    'reply=(src=10.1.1.2,dst=10.1.1.1,sport=2,dport=1,packets=5,bytes=9),id=99,zone=1,' +
    'status=SEEN_REPLY|ASSURED,timeout=7,protoinfo=(state_orig=ESTABLISHED,state_reply=CLOSING)';
  assert.equal(keysOf(line), ['10.1.1.1 1 10.1.1.2 2 6']);
  assert.is(parseDumpLine(line)?.state, 'ESTABLISHED');
});

test('what is no such line is no connection', () => {
  const good = 'udp,orig=(src=10.1.1.2,dst=10.1.1.1,sport=2,dport=1),' +
    'reply=(src=10.1.1.1,dst=10.1.1.2,sport=1,dport=2)';
  assert.ok(parseDumpLine(good));
  for (const bad of ['', 'udp', good.replace('udp', 'what'), good.replace('sport=2', 'sport=x'),
    good.replace('10.1.1.2', '10.1.1.256'), good.replace('src=10.1.1.2', 'src=fc00::1'),
    good.replace('reply', 'parent'), good.replace('sport=2,', ''),
    good.replace('udp', '300'), `x${good}`]) {
    assert.is(parseDumpLine(bad), undefined, bad);
  }
});

test.run();
