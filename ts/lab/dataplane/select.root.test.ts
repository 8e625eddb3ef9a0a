/** OP_SELECT in the kernel against its reference. OVN_XDP_SEED repeats a run. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as layout from '../../abi/generated.js';
import { u32Bytes } from '../../libbpf/mod.js';
import { chosen } from '../../compile/reference_select.js';
import { encodeBuckets } from '../../sync/wire.js';
import { abi, Dataplane, next, outputTo, type TestOp } from './dataplane.fixture.js';
import { arp, eth, icmp, ip4, ip6, tcp, udp, type Bytes } from '../packet.js';
import { Random } from '../random.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Date.now() % 1e9);
console.log(`seed ${seed}`);
const random = new Random(seed);

const select = (fields: number, arg = 0): TestOp =>
  ({ code: layout.opCode.OP_SELECT, mask: fields, arg });
/** Buckets with these numbers, from index `first` on. */
function fill(plane: Dataplane, first: number, count: number): number[] {
  const words = Array.from({ length: count }, (_, n) => [n + 1, n + 2, n + 3, n + 4, n + 5]);
  const parts = Math.ceil(count / layout.BUCKETS);
  return Array.from({ length: parts }, (_, i) => {
    plane.map('buckets').update(u32Bytes(first + i),
      encodeBuckets(words.slice(i * layout.BUCKETS, (i + 1) * layout.BUCKETS)));
    return first + i;
  });
}

function randomFrame(): Bytes {
  const mac = (): string => `02:00:00:00:00:${(16 + random.below(200)).toString(16)}`;
  const ports = { src: 1 + random.below(65535), dst: 1 + random.below(65535) };
  const l4 = random.pick([tcp(ports), udp(ports), icmp({ type: 8 })]);
  const addresses = { src: mac(), dst: mac() }, n = () => 1 + random.below(250);
  const kind = random.below(8);
  if (kind === 0) {
    return eth(addresses, arp({ op: 1, sha: mac(), spa: `10.0.${n()}.${n()}`, tha: mac(),
      tpa: `10.0.${n()}.${n()}` }));
  }
  return eth(addresses, kind < 5
    ? ip4({ src: `10.${n()}.${n()}.${n()}`, dst: `10.${n()}.${n()}.${n()}` }, l4)
    : ip6({ src: `fd00::${n()}:${n()}`, dst: `fd00:${n()}::${n()}` },
      random.pick([tcp(ports), udp(ports)])));
}

/** A plane whose first table selects by `fields` and goes on. */
function choosing(plane: Dataplane, fields: number, args: readonly number[]): void {
  plane.table(1, 0, [{ ops: [select(fields), next(1)], args }]);
}
function load(): Dataplane {
  const plane = Dataplane.load({ buckets: 64 });
  plane.datapath(1);
  plane.ingress(1, 1);
  plane.table(1, 1, [outputTo(2)]);
  return plane;
}

test('the bucket that the reference takes, for all fields and sizes', () => {
  const plane = load();
  const counts = [1, 2, 3, 31, 32, 33, 100, 480];
  const used = new Set<number>();
  const single = Array.from({ length: 10 }, (_, bit) => 1 << bit);
  for (const fields of [0, ...single, 0x3ff, 0x44, 0x110]) {
    for (const count of counts) {
      choosing(plane, fields, [count, ...fill(plane, 10, count)]);
      for (let i = 0; i < 8; i++) {
        const frame = randomFrame();
        const { words, verdict, reason } = plane.trace(frame);
        assert.ok(verdict !== layout.verdictKind.VERDICT_PUNT
          || reason === abi.PUNT_UNKNOWN_PORT, `verdict ${verdict} reason ${reason}`);
        const want = chosen(Uint32Array.from(words), fields, count) + 1;
        used.add(want);
        assert.equal(words.slice(layout.flowWord.FW_CHOICE, layout.flowWord.FW_CHOICE + 5),
          [want, want + 1, want + 2, want + 3, want + 4], `${fields} ${count} ${words}`);
      }
    }
  }
  assert.ok(used.size > 50, `${used.size} different buckets`);
  plane.close();
});

test('tables that make no sense are a punt', () => {
  const plane = load();
  for (const args of [[0, 10], [481, 10], [3, 64]]) {
    choosing(plane, 0, args);
    const { verdict, reason } = plane.trace(randomFrame());
    assert.equal([verdict, reason], [layout.verdictKind.VERDICT_PUNT, abi.PUNT_INTERNAL],
      args.join());
  }
  plane.close();
});

test.run();
