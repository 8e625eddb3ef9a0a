/**
 * Fragments that come before the first of their datagram: held by the programs, handed in again
 * by the agent's class, as live frames of the device lo, which is where test runs say they come
 * from.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fragment, fragmentWay, HELD_MAX } from '../../abi/generated.js';
import { Fragments, mostHeld, restMs, waitMs } from '../../daemon/fragments.js';
import { PacketSocket, RingBuffer, u32Bytes, type BpfMap } from '../../libbpf/mod.js';
import { abi, hook, XDP } from './dataplane.fixture.js';
import { packet, pieces, TrackingSwitch, zones } from './conntrack.fixture.js';
import { sleep, until } from '../exec.js';
import { hex, udp, type Bytes } from '../packet.js';

const test = suite(`fragments that wait (${hook})`);
const datagram = (size = 3000, port = 1000) =>
  udp({ src: port, dst: 2000 }, Uint8Array.from({ length: size }, (_, i) => i * 3));
let id = 100;
const cut = (size?: number, pieceSize?: number): [Bytes, Bytes, ...Bytes[]] =>
  pieces('a', datagram(size), 4, id += 1, pieceSize) as [Bytes, Bytes, ...Bytes[]];

class Held extends TrackingSwitch {
  readonly names = ['held', 'holding', 'fragments'] as const;
  readonly socket = PacketSocket.open({ device: 'lo', promiscuous: true });
  readonly handIn = this.plane.otherProgram('hand_in');
  constructor() {
    super();
    this.plane.ingress(1, 1, 0, zones.a);
  }
  get maps(): ReadonlyMap<string, BpfMap> {
    return new Map(this.names.map((name) => [name, this.plane.map(name)]));
  }
  /** With a reader until then, in milliseconds from now. */
  alive(ms: number): void {
    const until = new Uint8Array(8);
    new DataView(until.buffer).setBigUint64(0, process.hrtime.bigint() / 1_000_000n
      + BigInt(ms), true);
    this.plane.map('holding').update(u32Bytes(0), until);
  }
  agent(): Fragments {
    return new Fragments({ maps: this.maps, programs: hook === 'xdp'
      ? [this.plane.forward, this.handIn] : [this.handIn, this.handIn] });
  }
  /** What has come in at lo of these frames. */
  arrived(frames: readonly Bytes[]): number[] {
    const wanted = frames.map((frame) => hex(frame));
    return this.socket.receive().map((frame) => wanted.indexOf(hex(frame)))
      .filter((index) => index >= 0);
  }
  override close(): void {
    this.socket.close();
    this.handIn.close();
    super.close();
  }
}

function on(name: string, body: (lab: Held) => Promise<void> | void): void {
  test(name, async () => {
    const lab = new Held();
    try {
      await body(lab);
    } finally {
      lab.close();
    }
  });
}
const total = (agent: Fragments): number =>
  [...agent.counts.handedIn.values()].reduce((sum, n) => sum + n, 0);

on('nobody reads: it is OVS\'s, as before', (lab) => {
  const [first, second] = cut();
  assert.equal([second, first].map((frame) => lab.say('a', frame)),
    ['punt CT_FRAGMENT', 'punt CT_FRAGMENT']);
  // The dataplane's clock is some ticks behind.
  lab.alive(-200);
  assert.is(lab.say('a', cut()[1]), 'punt CT_FRAGMENT', 'who read is gone');
});

on('it is held as it came, and not counted yet', async (lab) => {
  const [, second] = cut();
  lab.alive(10_000);
  assert.is(lab.plane.run(second).action, XDP.drop);
  assert.equal(lab.plane.totals(), {});
  const ring = RingBuffer.open(lab.plane.map('held'));
  for await (const record of ring) {
    assert.is(hex(record.subarray(76, 76 + second.length)), hex(second));
    break;
  }
  ring.close();
});

on('a whole packet, a first fragment and a frame that is too long are not held', (lab) => {
  lab.alive(10_000);
  assert.is(lab.say('a', packet('a', datagram(10))), 'new/new');
  assert.is(lab.say('a', cut()[0]), 'new/new');
  const [, long] = cut(6000, HELD_MAX);
  assert.is(lab.say('a', long), 'punt CT_FRAGMENT');
});

on('no room: the fragment is OVS\'s', (lab) => {
  lab.alive(60_000);
  const actions = Array.from({ length: 600 }, () => lab.plane.run(cut()[1]).action);
  const held = actions.filter((action) => action === XDP.drop).length;
  assert.ok(held > 400 && held < 600, `${held}`);
  assert.equal(lab.plane.totals(), { 'punt CT_FRAGMENT': 600 - held });
});

on('it waits for the first, then all go one way, in order', async (lab) => {
  const frames = cut(4000), [first, ...later] = frames, agent = lab.agent();
  for (const frame of [...later].reverse()) lab.plane.run(frame);
  await until('the agent to have them', 2000, () => agent.held === later.length);
  await sleep(3 * waitMs / 10);
  assert.is(total(agent), 0);
  assert.is(lab.say('a', first), 'new/new');
  await until('all to be handed in', 2000, () => total(agent) === later.length);
  assert.equal([...agent.counts.handedIn.values()], [later.length, 0, 0]);
  if (hook === 'xdp') assert.equal(lab.plane.totals(), { forwarded: frames.length });
  else assert.equal(lab.arrived(frames), [1, 2, 3]);
  await agent.close();
});

on('the first is OVS\'s: so are those that waited', async (lab) => {
  const [first, second] = cut(2000), agent = lab.agent();
  lab.mode(abi.CT_OBSERVE);
  lab.plane.run(second);
  lab.plane.run(first);
  await until('it to be handed in', 2000, () => total(agent) === 1);
  assert.equal([...agent.counts.handedIn.values()], [1, 0, 0]);
  await until('it to come in', 2000, () => lab.arrived([first, second]).includes(1));
  await agent.close();
});

on('the first does not come: OVS\'s after a moment, once', async (lab) => {
  const [first, second, third] = cut() as [Bytes, Bytes, Bytes], agent = lab.agent();
  const began = performance.now();
  for (const frame of [second, second, third]) lab.plane.run(frame);
  await until('them to be handed in', 3000, () => total(agent) === 3);
  assert.ok(performance.now() - began >= waitMs * 0.9, 'not before');
  const arrivals: number[] = [];
  await until('them to come in', 2000, () =>
    arrivals.push(...lab.arrived([first, second, third])) >= 3);
  assert.equal(arrivals, [1, 1, 2]);
  assert.equal([agent.held, ...agent.counts.handedIn.values()], [0, 0, 3, 0]);
  assert.is(lab.say('a', first), 'punt CT_FRAGMENT', 'the rest of it is where they are');
  assert.is(lab.say('a', second), 'punt CT_FRAGMENT', 'and not held again');
  await agent.close();
});

on('too many at once: what does not wait is OVS\'s, for a second', async (lab) => {
  const agent = lab.agent();
  let held = 0;
  for (let n = 0; n < 2 * mostHeld; n += 1) {
    held += Number(lab.plane.run(cut(2000)[1]).action === XDP.drop);
    if (n % 20 === 19) await sleep(1);
  }
  assert.ok(held >= 100 && held < 2 * mostHeld, `${held}`);
  await until('all to be handed in', 5000, () => total(agent) === held);
  assert.equal([agent.held, agent.counts.lost], [0, 0]);
  await until('others to be held again', restMs + 1000, () =>
    lab.plane.run(cut(2000)[1]).action === XDP.drop);
  await agent.close();
});

on('what an agent leaves is the next one\'s; a closed one keeps nothing', async (lab) => {
  const [first, second] = cut(2000);
  lab.alive(60_000);
  lab.plane.run(second);
  const agent = lab.agent();
  await until('the next one to have it', 2000, () => agent.held === 1 || total(agent) === 1);
  await agent.close();
  assert.equal([agent.held, total(agent)], [0, 1]);
  assert.is(lab.say('a', cut()[1]), 'punt CT_FRAGMENT', 'nobody reads');
  assert.ok(first);
});

on('what is remembered of a datagram whose first one did not come', async (lab) => {
  const agent = lab.agent(), [, second] = cut(2000);
  lab.plane.run(second);
  await until('it to be there', 2000, () => agent.held === 1);
  const way = [...lab.plane.map('fragments').entries()];
  assert.equal(way, [], 'nothing is remembered meanwhile');
  await until('it to be handed in', 2000, () => total(agent) === 1);
  const [[, value] = []] = [...lab.plane.map('fragments').entries()];
  assert.is(fragment.fromBytes(value!).way, fragmentWay.FRAGMENT_DISORDER);
  await agent.close();
});

test.run();
