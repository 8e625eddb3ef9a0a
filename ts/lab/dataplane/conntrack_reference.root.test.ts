/**
 * Random sequences of packets: the dataplane and the reference in TypeScript agree.
 * OVN_XDP_RUNS sequences; OVN_XDP_SEED repeats one run.
 */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { walk } from '../../compile/reference.js';
import { Connections } from '../../compile/reference_ct.js';
import { packet as wordsOf } from '../../compile/testing.js';
import { abi, set, type TestOp } from './dataplane.fixture.js';
import {
  ctCommit, keys, pingOf, stateText, tcpOf, TrackingSwitch, udpOf, zones, type Side,
} from './conntrack.fixture.js';
import { desiredOf, nameOf } from './reference.fixture.js';

const test = suite('conntrack: reference');
const RUNS = Number(process.env['OVN_XDP_RUNS'] ?? 1500);

interface Sent { readonly from: Side; readonly kind: 'tcp' | 'udp' | 'ping'; readonly n: number;
  readonly flags: number }
const ip = { a: 0x0a000001, b: 0x0a000002 } as const;

function frameOf({ from, kind, n, flags }: Sent): Uint8Array {
  if (kind === 'tcp') return tcpOf(from, flags, 1000 + n);
  return kind === 'udp' ? udpOf(from, 1000 + n) : pingOf(from, flags & 1 ? 8 : 0, n);
}
function vectorOf({ from, kind, n, flags }: Sent): Uint32Array {
  const to = from === 'a' ? 'b' : 'a', [src, dst] = from === 'a' ? [1000 + n, 2000]
    : [2000, 1000 + n];
  const l4 = { tcp: { 'tcp.src': src, 'tcp.dst': dst, 'tcp.flags': flags },
    udp: { 'udp.src': src, 'udp.dst': dst },
    ping: { 'icmp4.type': flags & 1 ? 8 : 0, 'icmp4.code': 0 } }[kind] as Record<string, number>;
  const words = wordsOf({ inport: keys[from], 'eth.type': 0x0800, 'ip4.src': ip[from],
    'eth.dst': to === 'a' ? 0x02000000000an : 0x02000000000bn, 'ip4.dst': ip[to],
    'ip.proto': { tcp: 6, udp: 17, ping: 1 }[kind], ...l4 });
  words[abi.FW_DATAPATH] = 1;
  words[abi.FW_CT_ZONE] = zones[from];
  return words;
}

const sent: fc.Arbitrary<Sent> = fc.record({
  from: fc.constantFrom('a' as const, 'b' as const),
  kind: fc.constantFrom('tcp' as const, 'tcp' as const, 'tcp' as const, 'udp' as const,
    'ping' as const),
  n: fc.integer({ min: 1, max: 2 }),
  flags: fc.oneof(fc.constantFrom(2, 18, 16, 17, 20, 4, 24), fc.integer({ min: 0, max: 63 })),
});

const commit: readonly TestOp[] = [set(abi.FW_CT_MARK, 0, 0xff00), ctCommit(0xff00)];

test('the same verdict, states and mark for every packet of a sequence', () => {
  const seed = Number(process.env['OVN_XDP_SEED'] ?? Date.now() % 1e9);
  console.log(`seed ${seed} (OVN_XDP_SEED=${seed} repeats it)`);
  const lab = new TrackingSwitch(commit, [0x4200]);
  const desired = desiredOf(lab.tables, (['a', 'b'] as const).map((side) =>
    ({ port: keys[side], logical_port: side, zone: zones[side] })));
  let established = 0;
  fc.assert(fc.property(fc.array(sent, { minLength: 1, maxLength: 24 }), (packets) => {
    lab.clear();
    const connections = new Connections();
    for (const one of packets) {
      const seen = lab.send(one.from, frameOf(one));
      const { verdict, words } = walk(desired, vectorOf(one), 0, connections, { id: one.n });
      const flags = words[abi.FW_FLAGS]!;
      assert.equal([seen.verdict, seen.sender, seen.receiver, seen.words[abi.FW_PKT_MARK]],
        [nameOf(verdict), stateText(flags >>> 8 & 0xff), stateText(flags >>> 16 & 0xff),
          words[abi.FW_PKT_MARK]], JSON.stringify(one));
      if (/est/.test(seen.receiver)) established++;
    }
    assert.is(lab.conns().length, connections.size);
  }), { seed, numRuns: RUNS });
  lab.close();
  assert.ok(established > RUNS / 10, `${established} packets of established connections`);
});

test.run();
