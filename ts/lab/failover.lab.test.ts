/**
 * A gateway fails, or another is preferred, under traffic: how long nothing comes back, with OVS
 * alone and with ovn-xdp, and that every packet outside is as the router sends it.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PacketSocket } from '../libbpf/mod.js';
import { startAgents, type Agent } from './agent.js';
import { gatewayMoves, hastenBfd, silence } from './gateway_moves.js';
import { gatewayLab, gatewayMac, outsideMac, vmIp, type Built } from './gateway_shape.js';
import { hex, mac } from './packet.js';

/** Frames of v1 outside that are not as the router sends them. */
function wrongFrames(frames: readonly Uint8Array[]): string[] {
  const own = mac(outsideMac);
  return frames.filter((frame) => Buffer.compare(frame.subarray(0, 6), own) === 0
    && frame[12] === 8 && frame[13] === 0)
    .filter((frame) => hex(frame.subarray(6, 12)) !== hex(mac(gatewayMac)) || frame[22] !== 63
      || [...frame.subarray(26, 30)].join('.') !== vmIp(0, 4))
    .map((frame) => hex(frame));
}

async function seconds(built: Built): Promise<Map<string, number>> {
  const gaps = new Map<string, number>();
  for (const move of gatewayMoves(built)) {
    using socket = PacketSocket.open({ device: 'eth0',
      netns: `/run/netns/${built.outside.netns}` });
    gaps.set(move.name, await silence(built, move));
    assert.equal(wrongFrames(socket.receive(20_000)).slice(0, 3), [], move.name);
  }
  return gaps;
}

const moves = (agent: Agent): Promise<number> => agent.metrics().then((text) =>
  Number(/^ovn_xdp_gateway_move_duration_seconds_count (\d+)/m.exec(text)?.[1] ?? NaN));

test('a gateway moves under traffic, and is back as soon as with OVS alone', async () => {
  const built = await gatewayLab({ computes: ['c1'], gateways: ['g1', 'g2'] });
  const { lab } = built;
  try {
    await hastenBfd(built, 300);
    const alone = await seconds(built);
    const agents = await startAgents(lab);
    const both = await seconds(built);
    for (const [name, gap] of both) {
      console.log(`# ${name}: ${gap.toFixed(2)} s without an answer; OVS alone ${
        alone.get(name)!.toFixed(2)} s`);
    }
    for (const agent of agents) {
      assert.ok(await moves(agent) >= 4, `${agent.chassis.name} measured its moves`);
      assert.match(agent.logTail(200), /failover\|INFO\|cr-r-pub: from .* in force after [\d.]+ s/);
    }
    const [c1, g1, g2] = agents.map((agent) => agent.status()!.counters.forwarded);
    assert.ok([c1, g1, g2].every((n) => n! > 100), `forwarded by c1, g1, g2: ${[c1, g1, g2]}`);
    // BFD counts in steps of 0.3 s, and this machine is busy with other things.
    for (const [name, gap] of both) assert.ok(gap < alone.get(name)! + 1.5, `${name}: ${gap} s`);
  } finally {
    lab.close();
  }
});

test.run();
