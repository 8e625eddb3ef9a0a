/**
 * Never stale: tables change at random under running traffic, as sync/ changes them, and
 * before each packet a trace walks and compares what the cache would do with it.
 */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cacheState } from '../../abi/generated.js';
import { changing, loadCached, pass } from './cache.fixture.js';
import { abi, decTtl, hook, ip4Word, macWords, move, next, output, patch, set, UNDERLAY, XDP,
  type Dataplane, type TestOp, type TestRule } from './dataplane.fixture.js';
import { eth, hex, ip4, ip6, tcp, udp, type Bytes } from '../packet.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
console.log(`seed ${seed}`);

const macs = ['02:00:00:00:00:0a', '02:00:00:00:00:0b', '02:00:00:00:00:0c'] as const;
const pick = fc.integer({ min: 0, max: 2 });
const frames = fc.tuple(pick, pick, pick, fc.constantFrom(0, 60, 700), fc.boolean(), fc.boolean())
  .map(([src, dst, port, size, v6, isTcp]): Bytes => {
    const ports = { src: 1000 + port, dst: 53 };
    const layer4 = isTcp ? tcp({ ...ports, flags: port === 2 ? 0x18 : 0x10 }, new Uint8Array(size))
      : udp(ports, new Uint8Array(size));
    return eth({ src: macs[src]!, dst: macs[dst]! }, v6
      ? ip6({ src: `fd00::${src}`, dst: `fd00::${dst}` }, layer4)
      : ip4({ src: `10.0.0.${src}`, dst: `10.0.0.${dst}` }, layer4));
  });

// ---- Policies: a switch (1), a router (2), a switch behind it (3) ---------------------------

const word = fc.constantFrom<readonly [number, readonly number[]]>(
  [abi.FW_ETH_SRC + 1, macs.map((mac) => macWords(mac)[1])],
  [abi.FW_L4, [1000, 1001, 1002].map((port) => (port << 16 | 53) >>> 0)],
  [abi.FW_IP_DST + 3, ['10.0.0.0', '10.0.0.1', '10.0.0.2'].map(ip4Word)],
  [abi.FW_TCP_FLAGS, [0x10, 0x18, 0]], [abi.FW_PKT_LEN, [42, 102, 742]], [abi.FW_REG0, [0, 1, 2]]);
const match = fc.tuple(word, pick).map(([[at, values], i]) => [at, values[i]!] as const);
const port = fc.integer({ min: 1, max: 5 });
const action = fc.oneof(
  { weight: 6, arbitrary: port.map((to) =>
    ({ ops: [set(abi.FW_OUTPORT, 0), output], args: [to, 100] })) },
  { weight: 2, arbitrary: fc.tuple(port, pick).map(([to, i]) => ({
    ops: [set(abi.FW_ETH_DST, 1), set(abi.FW_ETH_DST + 1, 2), decTtl, set(abi.FW_OUTPORT, 0),
      output], args: [to, ...macWords(macs[i]!)] })) },
  fc.constant({ ops: [] as TestOp[] }),
  fc.constant({ ops: [{ code: abi.OP_PUNT, imm: abi.PUNT_CONTROLLER }] }),
  fc.constantFrom(abi.FW_TCP_FLAGS, abi.FW_L4, abi.FW_PKT_LEN).map((from) => ({
    ops: [move(abi.FW_REG0, from, 0, 3), next(1)] })),
  fc.tuple(port, fc.constantFrom(80, 400)).map(([to, limit]) => ({ ops: [
    { code: abi.OP_PKT_LARGER, arg: 1 }, set(abi.FW_OUTPORT, 0),
    move(abi.FW_OUTPORT, abi.FW_RESULT, 0, 1), output], args: [to & 6, limit] })),
  port.map((to) => ({ ops: [
    { code: abi.OP_GET_MAC, dst: abi.FW_IP_DST + 3, src: abi.FW_INPORT, imm: abi.MAC_IP4 },
    set(abi.FW_OUTPORT, 0), output], args: [to] })),
);
const rules = fc.array(fc.tuple(fc.array(match, { maxLength: 2 }), action, fc.nat(3)), {
  minLength: 1, maxLength: 4 }).map((list): TestRule[] => [
  { ops: [set(abi.FW_OUTPORT, 0), output], args: [2], priority: 1, flow: 1 },
  ...list.map(([terms, { ops, ...rest }, priority], i): TestRule => ({ ...rest,
    // Two terms on one word are one too many.
    match: terms.filter(([at], k) => terms.findIndex(([other]) => other === at) === k),
    ops, priority: 100 + priority * 10 + i, flow: i + 2 }))]);

type Step = (plane: Dataplane) => void;
const datapath = fc.integer({ min: 1, max: 3 });
const send = fc.array(frames, { minLength: 3, maxLength: 12 }).map((list): Step => (plane) => {
  for (const frame of [...list, ...list]) check(plane, frame);
});
const step = fc.oneof(
  { weight: 4, arbitrary: send },
  { weight: 3, arbitrary: fc.tuple(datapath, fc.constantFrom(0, 1, abi.TABLE_EGRESS), rules)
    .map(([at, table, list]): Step => (plane) =>
      changing(plane, [at], () => plane.table(at, table, list))) },
  fc.tuple(datapath, port, fc.nat(4)).map(([at, which, kind]): Step => (plane) =>
    changing(plane, [at], () => plane.port(at, which, places(at)[kind]!))),
  fc.tuple(datapath, pick, pick).map(([at, ip, to]): Step => (plane) => changing(plane, [at], () =>
    plane.macBinding(at, 1, [0, 0, 0, ip4Word(`10.0.0.${ip}`)], macs[to]!))),
  fc.tuple(fc.boolean(), fc.boolean(), pick, fc.constantFrom(200, 1500))
    .map(([ready, csum, to, mtu]): Step => (plane) =>
      plane.tunnel(1, { ...underlay, ethDst: macs[to]!, ready, csum, mtu })),
  // An agent dies in the middle of a change; the next one ends it.
  fc.constant<Step>((plane) => { if (plane.begun) plane.end(); else plane.begin(); }),
);
const underlay = { local: '192.0.2.1', remote: '192.0.2.2', ethSrc: macs[0], ethDst: macs[1] };
const places = (at: number) => [{ ifindex: 102 }, { ifindex: 103, mtu: 500 },
  { kind: abi.PORT_REMOTE, tunnel: 1 }, patch(at % 3 + 1, 1),
  { kind: abi.PORT_PUNT, reason: abi.PUNT_UNSUPPORTED_PORT }];

const actionOf: ReadonlyMap<number, number> = new Map([[abi.VERDICT_OUTPUT, XDP.redirect],
  [abi.VERDICT_TUNNEL, XDP.redirect], [abi.VERDICT_DROP, XDP.drop], [abi.VERDICT_PUNT, XDP.pass]]);
let hits = 0;

/** The walk and the cache agree, and what is done is what the walk says. */
function check(plane: Dataplane, frame: Bytes): void {
  const traced = plane.trace(frame);
  assert.is.not(traced.cache, cacheState.CACHE_DIFFERS);
  const { by, action, frame: sent } = pass(plane, frame);
  assert.is(action, actionOf.get(traced.verdict));
  if (by !== 'hit') return;
  hits += 1;
  assert.is(traced.cache, cacheState.CACHE_SAME);
  plane.cacheSets = 0;
  plane.control(1);
  assert.is(hex(sent), hex(plane.run(frame).frame), 'the same frame as of a walk');
  plane.cacheSets = 256;
  plane.control(1);
}

function network(): Dataplane {
  const plane = loadCached();
  plane.ingress(1, 1);
  for (const device of [102, 103, UNDERLAY]) plane.device(device);
  plane.tunnel(1, underlay);
  for (const at of [1, 2, 3]) {
    plane.datapath(at);
    for (let i = 1; i < 5; i += 1) plane.port(at, i, places(at)[i % 4]!);
    for (const table of [0, 1, abi.TABLE_EGRESS]) {
      plane.table(at, table, [{ ops: [set(abi.FW_OUTPORT, 0), output], args: [2] }]);
    }
  }
  return plane;
}

const test = suite(`dataplane: cache property (${hook})`);
test('a cached verdict is that of a fresh walk, whatever has changed before', () => {
  fc.assert(fc.property(fc.array(step, { minLength: 10, maxLength: 25 }), (steps) => {
    const plane = network();
    try {
      for (const each of steps) each(plane);
    } finally {
      plane.close();
    }
  }), { numRuns: 12, seed });
  assert.ok(hits > 50, `only ${hits} packets hit`);
});

test('a change that tells no version is found out: the comparison sees stale entries', () => {
  const plane = network();
  const frame = eth({ src: macs[0], dst: macs[1] },
    ip4({ src: '10.0.0.1', dst: '10.0.0.2' }, udp({ src: 1, dst: 2 })));
  pass(plane, frame);
  assert.is(plane.trace(frame).cache, cacheState.CACHE_SAME);
  plane.table(1, 0, [{ ops: [], flow: 3 }]);
  assert.is(plane.trace(frame).cache, cacheState.CACHE_DIFFERS);
  plane.close();
});
test.run();
