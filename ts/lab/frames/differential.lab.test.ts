/**
 * Real OVS alone against OVS with ovn-xdp: the same frames in, the same frames out.
 * OVN_XDP_SEED repeats a run, OVN_XDP_FRAMES sets the frames of each topology, OVN_XDP_ARENAS
 * chooses from scenes.ts by number (0,2), and leaves out the tests of the harness itself.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startAgents, type Agent } from '../agent.js';
import { compare, explain, type Comparison, type Sides } from './differential.js';
import { calm } from '../exec.js';
import { Lab } from '../lab.js';
import { hex } from '../packet.js';
import { Random } from '../random.js';
import { arenas, injectionsFor, type Arena } from './scenes.js';
import { applyTopology } from '../topology.js';
import { readWiring } from './underlay.js';
import { Wire } from './wire.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Date.now() % 1_000_000);
const framesEach = Number(process.env['OVN_XDP_FRAMES'] ?? 4000);
console.log(`seed ${seed}`);
/** To trace one, its program has to be loaded. */
const maxTraced = Math.ceil(5 / calm);
const chosen = process.env['OVN_XDP_ARENAS']?.split(',').map(Number);

async function inArena(
  arena: Arena, frames: number, sides: (lab: Lab) => Sides,
): Promise<Comparison> {
  const lab = await Lab.start({ chassis: ['c1', 'c2'], encap: arena.encap });
  let wire: Wire | undefined;
  try {
    applyTopology(lab, arena.topology);
    wire = new Wire(lab);
    const injections = injectionsFor(
      arena.topology, new Random(seed), readWiring(lab), frames);
    return await compare(lab, wire, injections, sides(lab));
  } finally {
    wire?.close();
    lab.close();
  }
}

/** What the loaded programs say of a suspect; `trace` may not know every frame. */
function traceOf(agents: readonly Agent[], lab: Lab, at: string, frame: Uint8Array): string {
  const chassis = lab.vms.get(at)?.chassis;
  const agent = agents.find((one) => one.chassis === chassis);
  try {
    return agent?.cli('trace', at, hex(frame)) ?? '';
  } catch (error) {
    return (error as Error).message;
  }
}

interface WithAgents { readonly result: Comparison; readonly traces: string[]; forwarded: number }

async function withAgents(arena: Arena, frames: number): Promise<WithAgents> {
  const traces: string[] = [];
  let agents: Agent[] = [];
  let forwarded = 0;
  const result = await inArena(arena, frames, (lab) => ({
    toB: async () => { agents = await startAgents(lab); },
    look: (suspects) => {
      for (const { at, frame, kind } of suspects.slice(0, maxTraced)) {
        if ('vm' in at) traces.push(`${kind}: ${traceOf(agents, lab, at.vm, frame)}`);
      }
    },
    toA: async () => {
      for (const agent of agents) {
        forwarded += (await agent.ask()).counters.forwarded;
        await agent.remove();
      }
    },
  }));
  return { result, traces, forwarded };
}

for (const arena of chosen?.map((i) => arenas[i]!) ?? arenas) {
  const { topology, encap } = arena;
  test(`${topology.name}, underlay IPv${encap.family}, csum ${encap.csum}`, async () => {
    const { result, traces, forwarded } = await withAgents(arena, framesEach);
    console.log(`# ${topology.name}: ${result.frames} frames, ${result.delivered} delivered, `
      + `${result.suspects} looked at again, ${result.differences.length} differences, `
      + `${forwarded} forwarded by ovn-xdp (seed ${seed})`);
    const shown = result.differences.slice(0, 5).map(explain);
    assert.is(result.differences.length, 0,
      [`seed ${seed}`, ...shown, 'traces of suspects:', ...traces].join('\n'));
    assert.is(result.unchecked, 0, 'more frames came out otherwise than could be looked at');
    assert.is(result.drops, 0, 'the harness lost frames');
    assert.is.not(result.delivered, 0);
    // An agent that left everything to OVS would pass the comparison, but is not the point.
    assert.ok(forwarded > result.frames / 10, `only ${forwarded} frames took the fast path`);
  });
}

const ofHarness = chosen ? test.skip : test;
ofHarness('the harness finds nothing where nothing differs', async () => {
  const nothing = async (): Promise<void> => {};
  const result = await inArena(arenas[1] as Arena, 1000, () => ({ toB: nothing, toA: nothing }));
  assert.equal(result.differences.map(explain), []);
  assert.ok(result.delivered > result.frames / 4);
});

ofHarness('the harness finds a single rule that is not the same', async () => {
  const acl = ['s1', 'to-lport', '3000', 'outport == "a1" && udp.dst > 60000'];
  const result = await inArena(arenas[1] as Arena, 1000, (lab) => ({
    toB: async () => {
      lab.nb([['acl-add', ...acl, 'drop']]);
      lab.sync();
    },
    toA: async () => {
      lab.nb([['acl-del', ...acl]]);
      lab.sync();
    },
  }));
  assert.ok(result.differences.length > 0);
  for (const { a, b } of result.differences) {
    const atA1 = (line: string): boolean => line.startsWith('a1 ');
    assert.ok(a.some(atA1) && !b.some(atA1), 'A delivers to a1, B drops');
  }
});

test.run();
