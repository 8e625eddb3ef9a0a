/**
 * Gateways and provider networks: real OVS alone against OVS with ovn-xdp, the same frames in,
 * the same frames out. OVN_XDP_SEED repeats a run, OVN_XDP_FRAMES sets its frames.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startAgents, type Agent } from '../agent.js';
import { compare, explain } from './differential.js';
import { gatewayFrames } from './gateway_frames.js';
import { gatewayLab, type GatewayShape } from '../gateway_shape.js';
import { hex } from '../packet.js';
import { Random } from '../random.js';
import { Wire } from './wire.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Date.now() % 1_000_000);
const usual = Number(process.env['OVN_XDP_FRAMES'] ?? 1500);
console.log(`seed ${seed}`);

const shapes: readonly GatewayShape[] = [
  { computes: ['c1'], gateways: ['g1', 'g2'], raw: true,
    direct: { d1: 'g1', d2: 'g2', d3: 'c1' } },
  { computes: ['c1', 'c2'], gateways: ['g1'], bridged: ['c2'], vlan: 42, raw: true,
    direct: { d1: 'g1', d2: 'c2' } },
  { computes: ['c1'], gateways: ['g1', 'g2'], raw: true, mtu: 600, direct: { d1: 'g1' } },
  { computes: ['c1', 'c2'], gateways: ['g1'], raw: true, nested: true, direct: { d1: 'g1' } },
  { computes: ['c1', 'c2'], gateways: ['g1'], bridged: ['c1', 'c2'], vlan: 42, raw: true,
    tenantVlans: true, direct: { d1: 'g1', d2: 'c2' } },
];

for (const shape of shapes) {
  // What is special about them is a good part of their frames.
  const frames = shape.nested || shape.tenantVlans ? Math.ceil(usual / 2) : usual;
  const name = `${shape.gateways.length} gateways, ${
    shape.vlan === undefined ? 'untagged' : `VLAN ${shape.vlan}`}${
    shape.mtu === undefined ? '' : `, gateway_mtu ${shape.mtu}`}${
    shape.nested ? ', nested ports and a localport' : ''}${
    shape.tenantVlans ? ', tenants\' networks on VLANs' : ''}`;
  test(`the same frames with and without ovn-xdp: ${name}`, async () => {
    const built = await gatewayLab(shape);
    const { lab } = built;
    const wire = new Wire(lab);
    const traces: string[] = [];
    let agents: Agent[] = [];
    let forwarded = 0;
    try {
      const result = await compare(lab, wire, gatewayFrames(built, new Random(seed), frames), {
        toB: async () => { agents = await startAgents(lab); },
        look: (suspects) => {
          for (const { at, frame, kind } of suspects.slice(0, 3)) {
            const port = 'vm' in at ? at.vm : '';
            const agent = agents.find(({ chassis }) => chassis === lab.vms.get(port)?.chassis);
            try {
              traces.push(`${kind}: ${agent?.cli('trace', port, hex(frame)) ?? ''}`);
            } catch (error) {
              traces.push((error as Error).message);
            }
          }
        },
        toA: async () => {
          for (const agent of agents) {
            forwarded += (await agent.ask()).counters.forwarded;
            await agent.remove();
          }
        },
      });
      console.log(`# ${name}: ${result.frames} frames, ${result.delivered} delivered, `
        + `${result.suspects} looked at again, ${result.differences.length} differences, `
        + `${forwarded} forwarded by ovn-xdp (seed ${seed})`);
      assert.is(result.differences.length, 0, [`seed ${seed}`,
        ...result.differences.slice(0, 5).map(explain), ...traces].join('\n'));
      assert.is(result.unchecked, 0);
      assert.is(result.drops, 0, 'the harness lost frames');
      assert.ok(result.delivered > frames / 4);
      assert.ok(forwarded > frames / 2, `only ${forwarded} frames took the fast path`);
    } finally {
      wire.close();
      lab.close();
    }
  });
}

test.run();
