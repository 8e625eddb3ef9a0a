import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readTag, tagOf } from './generator.js';
import { canonicalUnderlay, outcomes, sameOutcome, untagged } from './outcome.js';
import * as packet from '../packet.js';
import { Random } from '../random.js';
import { arenas, injectionsFor } from './scenes.js';
import type { Wiring } from './underlay.js';

const wiring: Wiring = {
  chassis: [{ name: 'c1', mac: '02:00:00:00:aa:01', ip: '172.16.0.1' },
    { name: 'c2', mac: '02:00:00:00:aa:02', ip: '172.16.0.2' }],
  csum: true, datapathKey: (sw) => sw, portKey: (port) => port.charCodeAt(1) - 48,
};

test('a seed gives the same frames again, another gives others', () => {
  for (const { topology } of arenas) {
    const frames = (seed: number) =>
      injectionsFor(topology, new Random(seed), wiring, 500).map(({ frame }) => packet.hex(frame));
    assert.equal(frames(7), frames(7));
    assert.is.not(frames(7).join(), frames(8).join());
  }
});

test('tags come back, frames fit a device, every kind occurs', () => {
  const kinds = new Set<string>();
  for (const { topology } of arenas) {
    injectionsFor(topology, new Random(1), wiring, 2000).forEach(({ frame, kind, at }, index) => {
      kinds.add(kind);
      const found = readTag(frame);
      assert.ok(found === undefined || found === index, `${kind} carries ${found}`);
      assert.ok(frame.length >= 14 && frame.length <= ('vm' in at ? 1514 : 1714), kind);
    });
  }
  for (const kind of ['unicast', 'ARP', 'ND', 'spoofed source', 'TTL edge', 'geneve: good']) {
    assert.ok(kinds.has(kind), kind);
  }
  assert.ok(kinds.size > 100, `${kinds.size} kinds`);
});

test('random numbers are spread', () => {
  const random = new Random(42);
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 10_000; i += 1) (counts[random.below(10)] as number)++;
  assert.ok(counts.every((n) => n > 850 && n < 1150), counts.join());
});

const outer = (sport: number, id: number, csum = true): packet.Bytes =>
  packet.eth({ src: '02:00:00:00:aa:01', dst: '02:00:00:00:aa:02' },
    packet.ip4({ src: '172.16.0.1', dst: '172.16.0.2', id },
      packet.geneve({ vni: 1, inport: 1, outport: 2, sport, csum },
        packet.concat(new Uint8Array(40), tagOf(5)))));

test('geneve is compared without source port, identification and checksum values', () => {
  const text = (frame: packet.Bytes) => packet.hex(canonicalUnderlay(frame) ?? new Uint8Array());
  assert.is(text(outer(1000, 1)), text(outer(2000, 2)));
  assert.is.not(text(outer(1000, 1)), text(outer(1000, 1, false)), 'no checksum is a difference');
  const wrong = outer(1000, 1);
  wrong[40] = (wrong[40] ?? 0) ^ 1;
  assert.is.not(text(outer(1000, 1)), text(wrong), 'so is a wrong one');
  const ttl = outer(1000, 1);
  ttl[22] = 63;
  assert.is.not(text(outer(1000, 1)), text(ttl), 'and any other field');
  assert.is(canonicalUnderlay(packet.eth({ src: '02:00:00:00:aa:01', dst: 'ff:ff:ff:ff:ff:ff' },
    packet.raw3(0x0806, new Uint8Array(28)))), undefined);
});

test('arrivals are sorted by the frame they came of', () => {
  const tagged = { where: 'a1', frame: packet.concat(new Uint8Array(20), tagOf(3)) };
  const other = { where: 'a2', frame: new Uint8Array(20) };
  const result = outcomes([tagged, other, { ...tagged, where: 'a0' }]);
  assert.is(result.get(3)?.length, 2);
  assert.is(result.get(untagged)?.length, 1);
  assert.ok(sameOutcome(result.get(3), outcomes([{ ...tagged, where: 'a0' }, tagged]).get(3)));
  assert.not(sameOutcome(result.get(3), outcomes([tagged]).get(3)));
  assert.not(sameOutcome(undefined, result.get(3)));
});

test.run();
