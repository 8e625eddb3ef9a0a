import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { defaultPorts } from './settings.js';
import { inBlock, nextBlock } from './pools.js';
import type { Tuple } from './tuple.js';

const high = { low: 61_000, high: 65_535 };

test('a pool gets the ports that nobody chooses, and never those of Linux clients', () => {
  assert.equal(nextBlock([defaultPorts]), high);
  assert.is(nextBlock([defaultPorts, high]), undefined);
  assert.equal(nextBlock([{ low: 40_000, high: 50_000 }]), high);
  assert.equal(nextBlock([{ low: 40_000, high: 50_000 }, high]), { low: 1024, high: 32_767 });
  assert.is(nextBlock([{ low: 1024, high: 65_535 }]), undefined);
});

test('which connections of OVS stand in the way', () => {
  const reply: Tuple = { family: 4, proto: 17, src: [0, 0, 0, 1], dst: [0, 0, 0, 0xc0000201],
    sport: 53, dport: 61_000 };
  const wanted = { address: '192.0.2.1', block: high };
  assert.ok(inBlock(wanted, reply));
  assert.not(inBlock(wanted, { ...reply, dport: 60_999 }));
  assert.not(inBlock(wanted, { ...reply, dst: [0, 0, 0, 1] }));
});

test.run();
