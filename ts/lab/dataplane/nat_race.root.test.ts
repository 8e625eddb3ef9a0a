/**
 * Translations when two CPUs begin at once, and many of them: one mapping for a connection, no
 * two connections with the same replies, entries that all go in the end.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CONN_ALIAS, CONN_TWIN, ctStat, type ConnKey } from '../../abi/generated.js';
import { u32Bytes } from '../../libbpf/mod.js';
import { abi, hook, XDP } from './dataplane.fixture.js';
import {
  answer, checkSums, hosts, inside, NatRouter, of, outside, packet, parse, show, words,
} from './nat.fixture.js';
import { udp, type Bytes } from '../packet.js';

const test = suite('nat: races and numbers');
const RUNS = 40;
/** Connections through one address: OVN_XDP_CONNECTIONS. */
const MANY = Number(process.env['OVN_XDP_CONNECTIONS'] ?? 20_000);

/** The last table drops, which commits all the same: else a repeated run would begin with the
 * frame that the one before has written. */
function dropping(...how: ConstructorParameters<typeof NatRouter>): NatRouter {
  const lab = new NatRouter(...how);
  lab.table(abi.TABLE_EGRESS + 2, [{ ops: [] }]);
  return lab;
}
async function both(lab: NatRouter, frames: readonly Bytes[]): Promise<void> {
  lab.plane.ingress(1, inside, 0, 0);
  await Promise.all(frames.map((data) => lab.plane.forward.testRunAsync({ data, repeat: RUNS })));
}
const alias = (lab: NatRouter) => lab.conns().filter(({ conn }) =>
  (conn.life & BigInt(CONN_ALIAS)) !== 0n && conn.life >> 16n > 0n);
const main = (lab: NatRouter) => lab.conns().filter(({ conn }) =>
  (conn.life & BigInt(CONN_TWIN)) !== 0n && conn.life >> 16n > 0n);
const text = (key: ConnKey): string => JSON.stringify(key);
const races = (lab: NatRouter): number => {
  const map = lab.plane.map('ct_stats');
  return map.perCpuValues(map.lookup(u32Bytes(ctStat.CT_STAT_RACES))!)
    .reduce((sum, bytes) => sum + Number(Buffer.from(bytes).readBigUInt64LE()), 0);
};
/** Every connection has the entry of its replies, which leads to it. */
function assertPaired(lab: NatRouter): void {
  const aliases = new Map(alias(lab).map(({ key, conn }) => [text(key), text(conn.twin)]));
  for (const { key, conn } of main(lab)) assert.is(aliases.get(text(conn.twin)), text(key));
}

test('two CPUs with the first packets of one connection: one mapping', async () => {
  const lab = dropping();
  const rounds = 150;
  for (let i = 0; i < rounds; i += 1) {
    const frame = of(4, 'b', 'world', udp({ src: 2000 + i, dst: 53 }));
    await both(lab, [frame, frame]);
  }
  console.log(`${races(lab)} walks repeated`);
  assert.equal(lab.plane.totals(), { 'drop FLOW': rounds * RUNS * 2 });
  assert.is(main(lab).length, rounds);
  assertPaired(lab);
  // Entries of replies that lost stay behind until the collector comes.
  lab.collect();
  lab.collect();
  assert.equal([alias(lab).length, lab.count()], [rounds, 3 * rounds]);
  lab.close();
});

test('two CPUs, two connections that may have few ports: never the same', async () => {
  const lab = dropping({}, undefined, { low: 5000, high: 5127 });
  for (let i = 0; i < 60; i += 1) {
    await both(lab, ['10.0.0.2', '10.0.0.3'].map((src) =>
      packet(4, src, hosts[4].world, udp({ src: 2000 + i, dst: 53 }))));
  }
  assert.equal(lab.plane.totals(), { 'drop FLOW': 60 * RUNS * 2 });
  assert.is(main(lab).length, 120);
  assertPaired(lab);
  assert.is(new Set(main(lab).map(({ conn }) => text(conn.twin))).size, 120);
  lab.close();
});

test(`${MANY} connections through one address to four peers`, () => {
  const lab = new NatRouter({ conns: 4 * MANY });
  lab.plane.ingress(1, inside, 0, 0);
  const tuples = new Set<string>(), frames: Bytes[] = [];
  const peers = [1, 2, 3, 4].map((n) => `203.0.113.${n}`);
  const began = performance.now(), costs: number[] = [];
  for (let i = 0; i < MANY; i += 1) {
    const src = `10.0.${1 + (i >> 14)}.${1 + (i >> 8 & 63)}`;
    const frame = packet(4, src, peers[i & 3]!, udp({ src: 1024 + (i & 0x3fff), dst: 53 }));
    const { retval, dataOut } = lab.plane.forward.testRun({ data: frame });
    assert.is(hook === 'xdp' ? retval : XDP.redirect, XDP.redirect, show(frame));
    const out = parse(dataOut);
    assert.is(out.src, hosts[4].pool, 'nothing leaves untranslated');
    const tuple = `${out.sport}>${out.dst}`;
    assert.not(tuples.has(tuple), `${tuple} twice`);
    tuples.add(tuple);
    if (i % 1000 === 0) {
      checkSums(dataOut);
      frames.push(frame, dataOut);
      costs.push(Math.round(performance.now() - began));
    }
  }
  const pool = lab.pools().get(words(4, 'pool').join('.'))!;
  console.log(`${MANY} in ${Math.round(performance.now() - began)} ms, `
    + `${(Number(pool.tries) / MANY).toFixed(2)} tries each`);
  assert.equal([pool.taken, pool.failed], [BigInt(MANY), 0n]);
  for (let i = 0; i < frames.length; i += 2) {
    const reply = answer(frames[i + 1]!, (p) => udp({ src: p.dport, dst: p.sport }));
    const from = parse(frames[i]!);
    assert.is(lab.say(outside, reply), `${from.dst}:53>${from.src}:${from.sport}`);
  }
  lab.expire(5000);
  lab.collect();
  lab.collect();
  assert.equal([lab.conns().length, lab.count()], [0, 0], 'all are gone in the end');
  lab.close();
});

test('a pool of which 95 % are taken still finds the rest', () => {
  const lab = new NatRouter({}, undefined, { low: 10_000, high: 10_999 });
  const send = (i: number): string => lab.say(inside,
    packet(4, '10.0.0.2', hosts[4].world, udp({ src: 2000 + i, dst: 53 })));
  for (let i = 0; i < 950; i += 1) assert.match(send(i), /^192\.0\.2\.1:10/);
  const tries = (): number => Number(lab.pools().get(words(4, 'pool').join('.'))!.tries);
  const before = tries();
  for (let i = 950; i < 990; i += 1) assert.match(send(i), /^192\.0\.2\.1:10/);
  console.log(`${((tries() - before) / 40).toFixed(1)} tries each beyond 95 %`);
  lab.close();
});

test.run();
