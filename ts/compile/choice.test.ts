import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BUCKETS, opCode } from '../abi/generated.js';
import { parseActions } from '../lflow/action_parse.js';
import { symbolTable } from '../lflow/fields.js';
import { compileActions } from './action.js';
import { hashFlags } from './choice.js';
import { chosen } from './reference_select.js';
import { packet } from './testing.js';

const target = { port: (name: string) => ({ a: 1, b: 2, far: 12 })[name] };
function compiled(text: string) {
  const context = { pipeline: 'ingress', table: 3, tables: 40, release: 'all' } as const;
  const { actions, problems } = parseActions(text, context, symbolTable('all'));
  if (!actions) throw new Error(problems[0]?.message);
  return compileActions(actions, target, { pipeline: 'ingress', table: 3, router: true,
    release: 'all' });
}
function refusal(text: string): string {
  const found = compiled(text);
  return 'reason' in found ? `${found.reason}: ${found.detail}` : 'compiled';
}
function numbers(text: string): number[] {
  const found = compiled(text);
  if ('reason' in found) throw new Error(found.detail);
  return found.buckets!.words.map(([first]) => first!);
}

test('select: each id as often as its weight says, then the next table', () => {
  assert.equal(numbers('reg8[16..31] = select(1, 2, 7);'), [1, 2, 7]);
  assert.equal(numbers('reg8[16..31] = select(1=20, 2=10);'), [1, 1, 2]);
  const found = compiled('reg8[0..15] = 5; reg8[16..31] = select(3, 4);');
  if ('reason' in found) throw new Error(found.detail);
  assert.equal(found.program.ops.map(({ code }) => code),
    [opCode.OP_SET, opCode.OP_SELECT, opCode.OP_MOVE, opCode.OP_NEXT]);
  assert.equal(found.args, [5, 2, 0], 'value, count, place for an index');
});

test('what does not fit is left to OVS', () => {
  assert.is(refusal('reg8[16..31] = select(1=1, 2=65535);'),
    'UNSUPPORTED_ACTION: choice from 65536');
  assert.is(refusal('reg0 = select(values=(1=1, 2=2); hash_fields="ip_src");'),
    'UNSUPPORTED_ACTION: hash fields with weights');
  assert.is(refusal('reg0 = select(values=(1, 2); hash_fields="ip_src,mpls_label");'),
    'UNSUPPORTED_ACTION: hash of mpls_label');
  assert.is(refusal('fwd_group(liveness="true", childports="a", "b");'),
    'UNSUPPORTED_ACTION: fwd_group with liveness');
  assert.is(refusal('fwd_group(childports="a", "far");'),
    'UNSUPPORTED_ACTION: fwd_group to these ports');
  assert.is(refusal('fwd_group(childports="a", "nowhere");'),
    'UNSUPPORTED_ACTION: fwd_group to nowhere');
});

test('fwd_group outputs to one of the ports', () => {
  assert.equal(numbers('fwd_group(childports="a", "b");'), [1, 2]);
});

test('equal choices are one object, others are not', () => {
  const buckets = (text: string) => {
    const found = compiled(text);
    return 'reason' in found ? undefined : found.buckets;
  };
  assert.is(buckets('reg0 = select(1, 2);'), buckets('reg1 = select(1, 2);'));
  assert.is.not(buckets('reg0 = select(1, 2);'), buckets('reg0 = select(1, 3);'));
});

/**
 * What OVS 3.1.0 (Debian 12) chose from seven buckets with selection_method=hash, measured
 * with ofproto/trace: TCP 10.0.0.K:100K to 10.9.8.K:80, UDP to port 53, MAC addresses
 * 02:00:00:00:00:0K and 02:00:00:00:01:0K, IPv6 fd00::K to fd01::9:K, for K = 1..5.
 */
const measured: readonly (readonly [string, 'tcp' | 'udp' | 'tcp6', readonly number[]])[] = [
  ['ip_src', 'tcp', [3, 3, 5, 3, 5]],
  ['ip_src,ip_dst', 'tcp', [4, 5, 4, 3, 6]],
  ['ip_src,tcp_src', 'tcp', [2, 1, 1, 4, 6]],
  ['ip_src,tcp_src', 'udp', [3, 3, 5, 3, 5]],
  ['udp_dst,eth_src,ip_dst', 'udp', [5, 4, 3, 3, 4]],
  ['ipv6_src,ipv6_dst', 'tcp6', [2, 4, 5, 0, 3]],
  ['eth_dst,ip_src,ip_dst,tcp_src,tcp_dst', 'tcp', [1, 1, 6, 2, 6]],
];
function vector(kind: string, k: number): Uint32Array {
  const l4 = kind === 'udp' ? 'udp' : 'tcp', n = BigInt(k);
  const ip = kind === 'tcp6' ? { 'eth.type': 0x86dd, 'ip6.src': (0xfd00n << 112n) + n,
    'ip6.dst': (0xfd01n << 112n) + 0x90000n + n }
    : { 'eth.type': 0x0800, 'ip4.src': 0x0a000000 + k, 'ip4.dst': 0x0a090800 + k };
  return packet({ ...ip, 'eth.src': 0x020000000000 + k, 'eth.dst': 0x020000000100 + k,
    'ip.proto': l4 === 'udp' ? 17 : 6, [`${l4}.src`]: 1000 + k,
    [`${l4}.dst`]: l4 === 'udp' ? 53 : 80 });
}
for (const [fields, kind, buckets] of measured) {
  test(`${fields} of ${kind}: the bucket that OVS takes`, () => {
    assert.equal(buckets.map((_, i) => chosen(vector(kind, i + 1), hashFlags(fields), 7)), buckets);
  });
}

const connection = (n: number, reply = false): Uint32Array => {
  const ends = [0x0a000000 + n % 97, 0x0a010000], ports = [10000 + n, 80];
  const [a, b] = reply ? [1, 0] : [0, 1];
  return packet({ 'eth.type': 0x0800, 'ip.proto': 6, 'ip4.src': ends[a]!, 'ip4.dst': ends[b]!,
    'tcp.src': ports[a]!, 'tcp.dst': ports[b]! });
};

test('without fields both directions of a connection go the same way', () => {
  for (let n = 0; n < 500; n++) {
    assert.is(chosen(connection(n), 0, 5), chosen(connection(n, true), 0, 5));
  }
});

const ways = [['connections', 0], ['fields', hashFlags('ip_src,tcp_src')]] as const;
for (const [what, flags] of ways) {
  for (const count of [1, 2, 3, 7, BUCKETS + 1]) {
    test(`${what} spread evenly over ${count}`, () => {
      const seen = new Array<number>(count).fill(0), packets = 400 * count;
      for (let n = 0; n < packets; n++) seen[chosen(connection(n), flags, count)]! += 1;
      // 400 each; five standard deviations of a fair choice are 100.
      for (const each of seen) assert.ok(each > 300 && each < 500, seen.join());
    });
  }
}

test('with fields a bucket more takes connections from the others, and moves none', () => {
  const flags = hashFlags('ip_src,tcp_src');
  let moved = 0;
  for (let n = 0; n < 1000; n++) {
    const before = chosen(connection(n), flags, 5), after = chosen(connection(n), flags, 6);
    if (after === before) continue;
    assert.is(after, 5);
    moved += 1;
  }
  assert.ok(moved > 100 && moved < 240, String(moved));
});

test.run();
