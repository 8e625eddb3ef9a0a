/** What the connection cache keeps, what it does not, and when it lets go. */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cacheSet, cacheState } from '../../abi/generated.js';
import { u32Bytes } from '../../libbpf/mod.js';
import { changing, loadCached, pass, stats } from './cache.fixture.js';
import { abi, decTtl, hook, ip4Word, macWords, output, outputTo, set, UNDERLAY, XDP,
  type Dataplane, type TestRule, type TestTunnel } from './dataplane.fixture.js';
import { arp, describe, eth, geneve, hex, icmp, ip4, ip6, tcp, udp, type Bytes, type Ip,
  type Layer4 } from '../packet.js';

const A = '02:00:00:00:00:0a', B = '02:00:00:00:00:0b', C = '02:00:00:00:00:0c';
const US = '02:00:00:00:01:01', THEM = '02:00:00:00:01:02';
const DATA = new Uint8Array(40);
const ports = { src: 1000, dst: 2000 };
const frame4 = (layer4: Layer4 = udp(ports, DATA), h: Partial<Ip> = {}, src = A, dst = B): Bytes =>
  eth({ src, dst }, ip4({ src: '10.0.0.1', dst: '10.0.0.2', ...h }, layer4));
const frame6 = (layer4: Layer4 = udp(ports, DATA), h: Partial<Ip> = {}): Bytes =>
  eth({ src: A, dst: B }, ip6({ src: 'fd00::1', dst: 'fd00::2', ...h }, layer4));
const tunnel: TestTunnel = { local: '192.0.2.1', remote: '192.0.2.2', ethSrc: US, ethDst: THEM };
const SYN = 2, FIN = 1, RST = 4, ACK = 0x10;

/** Switch 1: ports 2 and 3 are local, 4 is behind tunnel 1; `rules` stand in table 0. */
function network(rules: readonly TestRule[] = [outputTo(2)]): Dataplane {
  const plane = loadCached();
  plane.ingress(1, 1);
  plane.datapath(1);
  plane.port(1, 2, { ifindex: 102, mtu: 1000 });
  plane.port(1, 3, { ifindex: 103 });
  plane.port(1, 4, { kind: abi.PORT_REMOTE, tunnel: 1 });
  plane.tunnel(1, tunnel);
  for (const device of [102, 103, UNDERLAY]) plane.device(device);
  plane.table(1, 0, rules);
  plane.table(1, abi.TABLE_EGRESS, [{ ops: [output] }]);
  return plane;
}
const test = suite(`dataplane: cache (${hook})`);
function on(name: string, rules: readonly TestRule[] | undefined,
  body: (plane: Dataplane) => void): void {
  test(name, () => {
    const plane = network(rules);
    try {
      body(plane);
    } finally {
      plane.close();
    }
  });
}

/** Sends it twice: the second time the cache decides, and the same comes out. */
function twice(plane: Dataplane, frame: Bytes): Bytes {
  const first = pass(plane, frame), second = pass(plane, frame);
  assert.is(first.by, 'missed');
  assert.ok(first.stored);
  assert.is(second.by, 'hit');
  assert.is(second.action, first.action);
  assert.equal(describe(second.frame), describe(first.frame));
  assert.is(hex(second.frame), hex(first.frame));
  assert.is(plane.trace(frame).cache, cacheState.CACHE_SAME);
  return second.frame;
}
const walks = (plane: Dataplane, frame: Bytes, by: string): void => {
  assert.is(pass(plane, frame).by, by);
};

on('the second packet goes the way of the first, and both are counted', undefined, (plane) => {
  twice(plane, frame4());
  twice(plane, frame6());
  assert.equal(plane.totals(), { forwarded: 4 });
  assert.equal(stats(plane),
    { BYPASSED: 0, MISSED: 2, STALE: 0, STORED: 2, UNSTORABLE: 0 });
});

const rewriting: TestRule = { ops: [set(abi.FW_ETH_DST, 1), set(abi.FW_ETH_DST + 1, 2), decTtl,
  set(abi.FW_IP_SRC + 3, 3), set(abi.FW_IP, 4, 0xfc00), set(abi.FW_OUTPORT, 0), output],
args: [3, ...macWords(C), ip4Word('192.0.2.77'), 0xb800] };
const moving: TestRule = { ops: [set(abi.FW_L4, 1), set(abi.FW_IP_DST + 3, 2),
  set(abi.FW_OUTPORT, 0), output], args: [3, 9 << 16 | 8, 0x0a000063] };
for (const [name, layer4] of [
  ['tcp', tcp({ ...ports, flags: ACK }, DATA)], ['udp', udp(ports, DATA)],
  ['udp without checksum', udp({ ...ports, csum: false }, DATA)], ['icmp', icmp({ type: 8 }, DATA)],
] as const) {
  on(`what is rewritten is the same from the cache: ${name}`, [rewriting], (plane) => {
    for (const h of [{}, { tos: 3 }, { ttl: 2 }, { ttl: 255, tos: 0x20 }]) {
      twice(plane, frame4(layer4, h));
    }
    if (name !== 'icmp') for (const h of [{}, { tos: 1 }]) twice(plane, frame6(layer4, h));
  });
}
on('ports and addresses of a translation', [moving], (plane) => {
  for (const layer4 of [tcp({ ...ports, flags: ACK }, DATA), udp(ports, DATA),
    udp({ src: 1, dst: 2, csum: false }, DATA)]) {
    twice(plane, frame4(layer4));
    twice(plane, frame6(layer4));
  }
});

on('whatever differs in the key walks', undefined, (plane) => {
  twice(plane, frame4());
  const others = [frame4(udp({ src: 1001, dst: 2000 })), frame4(udp({ src: 1000, dst: 2001 })),
    frame4(undefined, { src: '10.0.0.3' }), frame4(undefined, { dst: '10.0.0.3' }),
    frame4(undefined, { ttl: 63 }), frame4(undefined, { tos: 4 }), frame4(undefined, {}, C),
    frame4(undefined, {}, A, C), frame4(tcp({ ...ports, flags: ACK })),
    frame4(icmp({ type: 8, rest: 0x10000 })), frame4(icmp({ type: 8, rest: 0x20000 })),
    frame4(icmp({ type: 0, rest: 0x10000 })), frame6(), frame6(undefined, { src: 'fd01::1' }),
    frame6(undefined, { dst: 'fd00:1::2' }), frame6(undefined, { ttl: 63 })];
  for (const other of others) walks(plane, other, 'missed');
  for (const other of others) walks(plane, other, 'hit');
  assert.equal(plane.totals(), { forwarded: 2 + 2 * others.length });
});

on('TCP with SYN, FIN or RST, ARP and what does not parse always walk', undefined, (plane) => {
  const arpFrame = eth({ src: A, dst: B },
    arp({ op: 1, sha: A, spa: '10.0.0.1', tha: B, tpa: '10.0.0.2' }));
  const bad = frame4();
  bad[24] = bad[24]! ^ 1;
  for (const frame of [...[SYN, FIN, RST, SYN | ACK, FIN | ACK].map((flags) =>
    frame4(tcp({ ...ports, flags }))), arpFrame, bad, frame4(undefined, { frag: 0x2000 }),
  frame4(icmp({ type: 3 }, frame4().subarray(14)))]) {
    for (let i = 0; i < 2; i += 1) walks(plane, frame, 'bypassed');
    assert.is(plane.trace(frame).cache, cacheState.CACHE_BYPASS);
  }
});

on('flags that a flow looks at: such a walk leaves nothing, others do', [
  { match: [[abi.FW_TCP_FLAGS, 8, 8]], priority: 200, ops: [], flow: 5 }, outputTo(2)],
(plane) => {
  const plain = frame4(tcp({ ...ports, flags: ACK }));
  const push = frame4(tcp({ ...ports, flags: 0x18 }));
  for (let i = 0; i < 2; i += 1) {
    assert.is(pass(plane, plain).action, XDP.redirect);
    assert.is(pass(plane, push).action, XDP.drop);
  }
  assert.is(stats(plane).STORED, 0);
  assert.is(stats(plane).UNSTORABLE, 4);
  twice(plane, frame4());
});

on('the IPv6 label', [{ match: [[abi.FW_IP6_LABEL, 7]], priority: 200, ops: [] }, outputTo(2)],
  (plane) => {
    const labelled = frame6();
    labelled[17] = 7;
    assert.is(pass(plane, frame6()).action, XDP.redirect);
    assert.is(pass(plane, labelled).action, XDP.drop);
    twice(plane, frame4());
  });

on('the length bounds an entry, from both sides', [{ ops: [
  { code: abi.OP_PKT_LARGER, arg: 1 }, set(abi.FW_OUTPORT, 0),
  { code: abi.OP_MOVE, src: abi.FW_RESULT, dst: abi.FW_OUTPORT, shift: 0, mask: 1 }, output],
args: [2, 300] }], (plane) => {
  const sized = (size: number): Bytes => frame4(udp(ports, new Uint8Array(size - 42)));
  const way = (size: number): readonly [string, number] => {
    const { by } = pass(plane, sized(size));
    return [by, plane.trace(sized(size)).ifindex];
  };
  assert.equal(way(200), ['missed', 102]);
  assert.equal(way(300), ['hit', 102]);
  assert.equal(way(301), ['stale', 103]);
  assert.equal(way(900), ['hit', 103]);
  assert.equal(way(300), ['stale', 102]);
});

on('the MTU of the port bounds it', undefined, (plane) => {
  const sized = (size: number): Bytes => frame4(udp(ports, new Uint8Array(size - 42)));
  assert.is(pass(plane, sized(100)).action, XDP.redirect);
  assert.is(pass(plane, sized(1014)).by, 'hit');
  assert.is(pass(plane, sized(1015)).action, XDP.pass);
  assert.is(pass(plane, sized(1100)).by, 'hit');
  assert.is(pass(plane, sized(100)).action, XDP.redirect);
});

on('a change of the datapath is seen by the next packet; others keep their entries', undefined,
  (plane) => {
    twice(plane, frame4());
    changing(plane, [2], () => undefined);
    walks(plane, frame4(), 'hit');
    changing(plane, [1], () => {
      plane.table(1, 0, [{ ops: [], flow: 9 }]);
      walks(plane, frame4(), 'stale');
      assert.is(plane.counter('flow_drops', 9).packets, 1);
      assert.not(pass(plane, frame4()).stored, 'nothing is kept during a change');
    });
    assert.is(pass(plane, frame4()).action, XDP.drop);
    assert.is(pass(plane, frame4()).by, 'hit');
    assert.is(plane.counter('flow_drops', 9).packets, 4);
    changing(plane, [0], () => undefined);
    walks(plane, frame4(), 'stale');
  });

on('a MAC binding', [{ ops: [
  { code: abi.OP_GET_MAC, dst: abi.FW_IP_DST + 3, src: abi.FW_INPORT, imm: abi.MAC_IP4 },
  set(abi.FW_OUTPORT, 0), output], args: [3] }], (plane) => {
  const ip = [0, 0, 0, ip4Word('10.0.0.2')];
  plane.macBinding(1, 1, ip, C);
  const out = twice(plane, frame4());
  assert.is(hex(out.subarray(0, 6)), C.replaceAll(':', ''));
  changing(plane, [1], () => plane.macBinding(1, 1, ip, US));
  const { by, frame } = pass(plane, frame4());
  assert.is(by, 'stale');
  assert.is(hex(frame.subarray(0, 6)), US.replaceAll(':', ''));
});

on('drops and punts are kept, and counted each time', [
  { match: [[abi.FW_ETH_SRC + 1, macWords(C)[1]]], priority: 200, flow: 7, ops: [] },
  { ops: [{ code: abi.OP_PUNT, imm: abi.PUNT_CONTROLLER }] }], (plane) => {
  twice(plane, frame4(undefined, {}, C));
  assert.is(plane.counter('flow_drops', 7).packets, 2);
  twice(plane, frame4());
  assert.equal(plane.totals(), { 'punt CONTROLLER': 2, 'drop FLOW': 2 });
});

on('entries are walked again after a while', undefined, (plane) => {
  twice(plane, frame4());
  const cache = plane.map('cache');
  const used = [...cache.entries(64)].flatMap(([key, value]) =>
    cacheSet.fromBytes(value).way.some(({ until }) => until !== 0) ? [[key, value] as const] : []);
  assert.is(used.length, 1);
  const [key, value] = used[0]!, set = cacheSet.fromBytes(value);
  const jiffies = Number(/^jiffies: (\d+)$/m.exec(readFileSync('/proc/timer_list', 'utf8'))?.[1]);
  const left = (set.way.find(({ until }) => until !== 0)!.until - jiffies) | 0;
  // 48 to 64 s by CONFIG_HZ, or by 100 as long as that is not known; the test itself takes some.
  assert.ok(left > 40 * 100 && left <= 64 * 1000, `${left} jiffies`);
  const due = { ...set, way: set.way.map((way) =>
    ({ ...way, until: way.until === 0 ? 0 : (way.until - left) >>> 0 })) };
  cache.update(key, cacheSet.toBytes(due));
  assert.is(pass(plane, frame4()).by, 'stale');
  walks(plane, frame4(), 'hit');
});

on('without sets every packet walks', undefined, (plane) => {
  plane.cacheSets = 0;
  plane.control(1);
  for (let i = 0; i < 2; i += 1) walks(plane, frame4(), 'bypassed');
  plane.control(0);
  assert.is(pass(plane, frame4()).action, XDP.pass);
});

on('a disabled fast path uses no entry', undefined, (plane) => {
  twice(plane, frame4());
  plane.control(0);
  assert.is(pass(plane, frame4()).action, XDP.pass);
  assert.equal(plane.totals(), { forwarded: 2, 'punt DISABLED': 1 });
});

on('many more flows than places: all go their way', undefined, (plane) => {
  for (let i = 0; i < 3000; i += 1) {
    assert.is(plane.run(frame4(udp({ src: i + 1, dst: 53 }))).action, XDP.redirect);
  }
  assert.equal(plane.totals(), { forwarded: 3000 });
});

// ---- Tunnels --------------------------------------------------------------------------------

for (const csum of [false, true]) {
  on(`into a tunnel, ${csum ? 'with' : 'without'} checksum`, [outputTo(4)], (plane) => {
    plane.tunnel(1, { ...tunnel, csum });
    for (const size of [0, 1, 2, 3, 17, 18, 100, 255, 256, 1200]) {
      twice(plane, frame4(udp({ src: 1 + size, dst: 2 }, new Uint8Array(size).fill(size))));
      twice(plane, frame6(udp({ src: 1 + size, dst: 2 }, new Uint8Array(size).fill(size)),
        { tos: size & 3 }));
    }
  });
}

on('a tunnel that changes in place is seen at once', [outputTo(4)], (plane) => {
  if (hook !== 'xdp') return;
  twice(plane, frame4());
  plane.tunnel(1, { ...tunnel, ethDst: C });
  assert.is(hex(pass(plane, frame4()).frame.subarray(0, 6)), C.replaceAll(':', ''));
  plane.tunnel(1, { ...tunnel, ready: false });
  assert.is(pass(plane, frame4()).action, XDP.pass);
  assert.is(pass(plane, frame4()).action, XDP.pass);
  plane.tunnel(1, { ...tunnel, mtu: 100 });
  assert.is(pass(plane, frame4()).action, XDP.pass);
  plane.tunnel(1, tunnel);
  assert.is(pass(plane, frame4()).action, XDP.redirect);
  assert.equal(plane.totals(),
    { forwarded: 4, 'punt NO_NEXT_HOP': 2, 'punt MTU': 1 });
});

on('what was looked at under an epoch is not looked at again, unless a change was begun', [
  outputTo(4)], (plane) => {
  const goes = (told: boolean, ready: boolean): boolean => {
    plane.tunnel(1, { ...tunnel, ready }, told);
    return pass(plane, frame4()).action === XDP.redirect;
  };
  if (hook !== 'xdp') return;
  twice(plane, frame4());
  assert.ok(goes(false, false), 'nobody told');
  assert.not(goes(true, false));
  assert.ok(goes(true, true));
  plane.begin();
  for (let i = 0; i < 2; i += 1) {
    assert.not(goes(false, false), 'whoever began may have died, so each packet looks');
    assert.ok(goes(false, true));
    walks(plane, frame4(), 'hit');
  }
  plane.end();
  walks(plane, frame4(), 'hit');
  assert.ok(goes(false, false));
});

for (const [name, other] of [['another next hop', { ethDst: C }], ['an IPv6 one', {
  local: '2001:db8::1', remote: '2001:db8::2' }], ['a checksum', { csum: true }]] as const) {
  on(`a tunnel becomes ${name}: cached packets leave as walked ones do`, [outputTo(4)], (plane) => {
    if (hook !== 'xdp') return;
    const before = twice(plane, frame4());
    plane.tunnel(1, { ...tunnel, ...other });
    const after = [0, 1, 2].map(() => hex(pass(plane, frame4()).frame));
    plane.cacheSets = 0;
    plane.control(1);
    const walked = pass(plane, frame4());
    assert.is(walked.by, 'bypassed');
    assert.equal(after, after.map(() => hex(walked.frame)));
    assert.is.not(hex(walked.frame), hex(before));
  });
}

on('out of a tunnel', undefined, (plane) => {
  if (hook !== 'xdp') return;
  plane.ingress();
  const outer = (frame: Bytes, h: Partial<Ip> = {}, csum = true, outport = 2, dst = US): Bytes =>
    eth({ src: THEM, dst }, ip4({ src: '192.0.2.2', dst: '192.0.2.1', frag: 0x4000, ...h },
      geneve({ vni: 1, inport: 9, outport, sport: 40000, csum }, frame)));
  twice(plane, outer(frame4()));
  walks(plane, outer(frame4(), {}, false), 'hit');
  twice(plane, outer(frame6()));
  walks(plane, outer(frame4(), {}, true, 3), 'missed');
  assert.is(pass(plane, outer(frame4(), { src: '192.0.2.3' })).action, XDP.pass);
  walks(plane, outer(frame4()), 'hit');
  assert.is(pass(plane, outer(frame4(), {}, true, 2, C)).action, XDP.pass);
  const broken = outer(frame4());
  broken[broken.length - 1] = broken.at(-1)! ^ 1;
  assert.is(pass(plane, broken).action, XDP.pass);
  walks(plane, outer(frame4(undefined, { tos: 1 }), { tos: 3 }), 'bypassed');
  plane.tunnel(1, { ...tunnel, ready: false });
  assert.is(pass(plane, outer(frame4())).action, XDP.pass);
});

on('what a VM sends to geneve\'s port is a packet like others', undefined, (plane) => {
  twice(plane, frame4(udp({ src: 9, dst: 6081 }, DATA)));
  twice(plane, frame6(udp({ src: 9, dst: 6081 }, DATA)));
});

on('a device that can no longer be sent to', undefined, (plane) => {
  if (hook !== 'xdp') return;
  twice(plane, frame4());
  plane.map('devmap').delete(u32Bytes(102));
  assert.is(pass(plane, frame4()).action, XDP.pass);
  plane.device(102);
  assert.is(pass(plane, frame4()).action, XDP.redirect);
});

test.run();
