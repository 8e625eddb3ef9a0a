import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { abi, Dataplane, hook, ip6Words, INGRESS, macWords, move, output, set, UNDERLAY, XDP,
  type TestOp } from './dataplane.fixture.js';
import { describe, eth, geneve, hex, icmp6, ip4, ip6, ndAdvert, ndOption, ndSolicit, type Bytes }
  from '../packet.js';

const VM = '02:00:00:00:00:0a', ROUTER = '02:00:00:00:00:01';
const GROUP = '33:33:ff:00:00:01';
const args = [...macWords(ROUTER), ...ip6Words('fd00::1'), 1];
const advertise = (imm: number): TestOp => ({ code: abi.OP_ND_NA, imm });
/** As OVN's responders do: eth.src, ip6.src, nd.target, nd.tll; then back out. */
const inner: readonly TestOp[] = [
  set(abi.FW_ETH_SRC, 0), set(abi.FW_ETH_SRC + 1, 1),
  ...[0, 1, 2, 3].map((i) => set(abi.FW_IP_SRC + i, 2 + i)),
  ...[0, 1, 2, 3].map((i) => set(abi.FW_ND_TARGET + i, 2 + i)),
  set(abi.FW_THA, 0), set(abi.FW_THA + 1, 1),
];
const back: readonly TestOp[] =
  [move(abi.FW_OUTPORT, abi.FW_INPORT), set(abi.FW_FLAGS, 6), output];

function responder(ops: readonly TestOp[]): Dataplane {
  const plane = Dataplane.load();
  plane.ingress(1, 1);
  plane.datapath(1);
  plane.port(1, 1, { ifindex: INGRESS });
  plane.port(1, 4, { kind: abi.PORT_REMOTE, tunnel: 1 });
  plane.tunnel(1, { local: '192.0.2.1', remote: '192.0.2.2', ethSrc: VM, ethDst: VM });
  plane.device(UNDERLAY);
  plane.table(1, 0, [{ ops, args }]);
  plane.table(1, abi.TABLE_EGRESS, [{ ops: [output] }]);
  return plane;
}

const solicit = (src: string, dst: string, ethDst: string, ...options: readonly Bytes[]): Bytes =>
  eth({ src: VM, dst: ethDst },
    ip6({ src, dst, ttl: 255, tos: 0xe0 }, ndSolicit('fd00::1', ...options)));
/** The frame compose_nd_na() of OVS makes, with OVN's flags. */
const advert = (dst: string, flags: number, src = ROUTER): Bytes => eth({ src, dst: VM },
  ip6({ src: 'fd00::1', dst, ttl: 255 }, ndAdvert('fd00::1', flags, ndOption(2, src))));

const test = suite('dataplane: neighbour advertisements');

const nonce = Uint8Array.of(14, 1, 1, 2, 3, 4, 5, 6);
const cases: readonly (readonly [string, Bytes, string])[] = [
  ['multicast solicitation', solicit('fd00::5', 'ff02::1:ff00:1', GROUP, ndOption(1, VM)),
    'fd00::5'],
  ['unicast solicitation without option: the frame grows', solicit('fd00::5', 'fd00::1', ROUTER),
    'fd00::5'],
  ['more options: the frame is cut',
    solicit('fd00::5', 'ff02::1:ff00:1', GROUP, nonce, ndOption(1, VM)), 'fd00::5'],
  ['duplicate address detection: unspecified source stays',
    solicit('::', 'ff02::1:ff00:1', GROUP), '::'],
];
for (const [name, frame, dst] of cases) {
  test(name, () => {
    for (const [imm, flags] of [[0, 0x60000000], [1, 0xe0000000]] as const) {
      const plane = responder([advertise(imm), ...inner, ...back]);
      assert.is(plane.trace(frame).ifindex, INGRESS);
      const { action, frame: out } = plane.run(frame);
      assert.is(action, XDP.redirect);
      assert.equal(describe(out), describe(advert(dst, flags)));
      assert.is(hex(out), hex(advert(dst, flags)));
      assert.equal(plane.totals(), { forwarded: 1 });
      plane.close();
    }
  });
}

test('before the inner actions: addresses swapped, target as the source', () => {
  const plane = responder([advertise(0), ...back]);
  const { frame } = plane.run(solicit('fd00::5', 'fd00::1', ROUTER, ndOption(1, VM)));
  plane.close();
  assert.equal(describe(frame), describe(advert('fd00::5', 0x60000000)));
});

test('leaves by the device it came from without the loopback flag of a router', () => {
  const plane = responder([advertise(0), ...inner, move(abi.FW_OUTPORT, abi.FW_INPORT),
    set(abi.FW_FLAGS, 6), output]);
  plane.table(1, abi.TABLE_EGRESS, [
    { ops: [set(abi.FW_FLAGS, 0), output], args: [0] }]);
  assert.is(plane.run(cases[0]![1]).action, XDP.redirect, 'a packet-out has no in_port');
  plane.close();
});

test('an advertisement into a tunnel', () => {
  const plane = responder([advertise(0), ...inner, set(abi.FW_OUTPORT, 7), output]);
  plane.table(1, 0, [{ ops: [advertise(0), ...inner, set(abi.FW_OUTPORT, 7), output],
    args: [...args, 4] }]);
  const { action, frame } = plane.run(cases[1]![1]);
  plane.close();
  assert.is(action, XDP.redirect);
  const sport = Buffer.from(frame).readUInt16BE(34), inside = advert('fd00::5', 0x60000000);
  const outside = eth({ src: VM, dst: VM },
    ip4({ src: '192.0.2.1', dst: '192.0.2.2', frag: 0x4000 },
      geneve({ vni: 1, inport: 1, outport: 4, sport, csum: false }, inside)));
  assert.equal(describe(frame), describe(hook === 'xdp' ? outside : inside));
});

test('only solicitations and advertisements can become one', () => {
  const echo = eth({ src: VM, dst: ROUTER },
    ip6({ src: 'fd00::5', dst: 'fd00::1', ttl: 255 }, icmp6({ type: 128 })));
  const plane = responder([advertise(0), ...inner, ...back]);
  const { action, frame } = plane.run(echo);
  assert.is(action, XDP.pass);
  assert.is(hex(frame), hex(echo));
  assert.equal(plane.totals(), { 'punt REWRITE': 1 });
  plane.close();
});

test('what an advertisement cannot carry punts', () => {
  for (const word of [abi.FW_L4, abi.FW_ETH_TYPE, abi.FW_IP6_LABEL]) {
    const plane = responder([advertise(0), ...inner, set(word, 6), ...back]);
    const { action, frame } = plane.run(cases[0]![1]);
    assert.is(action, XDP.pass);
    assert.is(hex(frame), hex(cases[0]![1]));
    assert.equal(plane.totals(), { 'punt REWRITE': 1 });
    plane.close();
  }
});

test.run();
