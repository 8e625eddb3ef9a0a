/**
 * What one packet costs in the program alone: a test run of the dataplane with the tables of
 * the recorded network, against an empty program in the same harness. Both restore the frame
 * first, so both figures contain that.
 */
import { puntReasons, verdictKind } from '#ts/abi/generated.js';
import type { Bench, Context } from '../harness/bench.js';
import { inTurn, type Figure } from '../harness/figure.js';
import { compileScene, packets, type Compiled, type Packet, type Phase }
  from '../harness/scenes.js';
import { Tables } from '#ts/lab/tables.js';
import { workOf } from '../harness/work.js';

const verdicts: Readonly<Record<Packet['verdict'], number>> = {
  output: verdictKind.VERDICT_OUTPUT, tunnel: verdictKind.VERDICT_TUNNEL,
  drop: verdictKind.VERDICT_DROP, punt: verdictKind.VERDICT_PUNT,
};
/** Issue 6: of a connection that the cache knows, with the floor of the test run. */
const cachedTarget = { of: 'ours', is: 'at most', value: 150 } as const;
const walkTarget = { of: 'ours', is: 'at most', value: 2500 } as const;

interface Setup { readonly context: Context; readonly tables: Tables; readonly scene: Compiled }

async function measure(setup: Setup, packet: Packet, phase: Phase, repeat: number):
  Promise<Figure> {
  const { context: { programs, rounds, progress }, tables, scene } = setup;
  const frame = packet.frame(phase, scene.rows);
  const path = phase === 'later' ? 'cached' : packet.verdict === 'punt' ? 'punt' : 'walk';
  progress(`${packet.name}, ${path}`);
  const target = path === 'cached' ? cachedTarget
    : path === 'walk' && packet.name.startsWith('routed') ? walkTarget : undefined;
  return {
    name: `${packet.name}: ${path}`, ours: path, base: 'empty program', unit: 'ns',
    series: path, ...target === undefined ? {} : { target },
    pairs: await inTurn(rounds, () => programs.cost(tables.forward, frame, repeat),
      () => programs.cost(programs.program('floor_pass'), frame, repeat)),
  };
}

async function run(context: Context): Promise<{ figures: Figure[]; notes: string[] }> {
  const tables = Tables.load();
  const notes: string[] = [];
  const figures: Figure[] = [];
  try {
    const scene = compileScene();
    await tables.apply(scene.desired);
    tables.trackConnections();
    for (const packet of packets) {
      tables.enter(packet.from === 'uplink' ? 'uplink' : `tap${packet.from}`);
      const traced = tables.trace(packet.frame('first', scene.rows));
      if (traced.verdict !== verdicts[packet.verdict]) {
        const reason = puntReasons[traced.reason]?.text ?? `${traced.reason}`;
        notes.push(`${packet.name} is not measured: it is left to OVS (${reason}).`);
        continue;
      }
      const { steps, tests, lookups, ops } = workOf(tables, scene, packet);
      notes.push(`${packet.name}: ${steps} steps, ${tests} comparisons, `
        + `${lookups} tuples looked up, ${ops} ops.`);
      const cached = tables.caches(packet.frame('later', scene.rows));
      for (const phase of cached ? ['first', 'later'] as const : ['first'] as const) {
        figures.push(await measure({ context, tables, scene }, packet, phase,
          context.quick ? 2000 : 50_000));
      }
    }
  } finally {
    tables.close();
  }
  if (!figures.some(({ series }) => series === 'cached')) {
    notes.push('The connection cache decided about no packet: all of them walked.');
  }
  return { figures, notes };
}

export const packetCost: Bench = {
  name: 'packet_cost',
  about: 'nanoseconds of one packet in the program, against an empty program', run,
};
