/**
 * What one packet costs in the program alone: a test run of the dataplane with the tables of
 * the recorded networks, against an empty program in the same harness, at both hooks. Both
 * restore the frame first, so both figures contain that.
 */
import { puntReasons, verdictKind } from '#ts/abi/generated.js';
import { Bed } from '../harness/bed.js';
import type { Bench, Context, Measured } from '../harness/bench.js';
import { inTurn, reached, type Figure } from '../harness/figure.js';
import { compileGateway, gatewayPackets } from '../harness/gateway_scene.js';
import type { Hook } from '../harness/lab_object.js';
import { compileScene, packets, type Compiled, type Packet, type Phase }
  from '../harness/scenes.js';
import { packetWork } from '../harness/profile.js';
import { workOf } from '../harness/work.js';

const verdicts: Readonly<Record<Packet['verdict'], number>> = {
  output: verdictKind.VERDICT_OUTPUT, tunnel: verdictKind.VERDICT_TUNNEL,
  drop: verdictKind.VERDICT_DROP, punt: verdictKind.VERDICT_PUNT,
};
/** Where an empty program takes 33 ns: 150 of a connection that the cache knows, at XDP, and 2,500
 * of a walk. As ratios, because that floor is another on each machine and at each hour. */
const cachedTarget = { of: 'ratio', is: 'at most', value: 4.5 } as const;
const walkTarget = { of: 'ratio', is: 'at most', value: 75 } as const;

const pathOf = (packet: Packet, phase: Phase): 'cached' | 'punt' | 'walk' =>
  phase === 'later' ? 'cached' : packet.verdict === 'punt' ? 'punt' : 'walk';

async function measure(context: Context, bed: Bed, packet: Packet, phase: Phase):
  Promise<Figure> {
  const { rounds, progress, quick } = context, repeat = quick ? 2000 : 20_000;
  const path = pathOf(packet, phase), hook = bed.hook.toUpperCase();
  const name = bed.hook === 'xdp' ? packet.name : `${hook}: ${packet.name}`;
  progress(`${name}, ${path}`);
  const target = bed.hook !== 'xdp' ? undefined : path === 'cached' ? cachedTarget
    : path === 'walk' && packet.name.startsWith('routed') ? walkTarget : undefined;
  return {
    name: `${name}: ${path}`, ours: path, base: 'empty program', unit: 'ns',
    series: `${hook}, ${path}`, ...target === undefined ? {} : { target },
    pairs: await inTurn(rounds, () => bed.cost(packet, phase, repeat),
      () => bed.cost(packet, phase, repeat, 'floor')),
  };
}

/** Of one packet: its figures, or why there are none. */
async function packetFigures(context: Context, bed: Bed, packet: Packet): Promise<Measured> {
  bed.prepare(packet, 'first');
  const { verdict, reason } = bed.trace(packet, 'first');
  if (verdict !== verdicts[packet.verdict]) {
    const why = puntReasons[reason]?.text ?? `${reason}`;
    return { figures: [],
      notes: [`${bed.hook}: ${packet.name} is not measured: it is left to OVS (${why}).`] };
  }
  const { steps, tests, lookups, ops } = workOf(bed.trace(packet, 'first'));
  const notes = bed.hook !== 'xdp' ? [] : [`${packet.name}: ${steps} steps, ${tests} comparisons, `
    + `${lookups} tuples looked up, ${ops} ops.`];
  const figures = [await measure(context, bed, packet, 'first')];
  bed.prepare(packet, 'later');
  if (bed.caches(packet)) figures.push(await measure(context, bed, packet, 'later'));
  return { figures, notes };
}

const scenes: readonly { readonly compile: () => Compiled; readonly packets: readonly Packet[] }[] =
  [{ compile: compileScene, packets }, { compile: compileGateway, packets: gatewayPackets }];

/** Of those that miss a target. Targets are XDP's alone. */
async function profileOf(figures: readonly Figure[]): Promise<string[]> {
  const missed = figures.filter((figure) => reached(figure) === false);
  const lines: string[] = [];
  for (const { compile, packets: list } of scenes) {
    lines.push(...await packetWork(compile(), list.filter(({ name }) =>
      missed.some((figure) => figure.name.startsWith(`${name}:`)))));
  }
  return lines;
}

async function run(context: Context): Promise<Measured> {
  const [figures, notes]: [Figure[], string[]] = [[], []];
  for (const hook of ['xdp', 'tc'] as const satisfies readonly Hook[]) {
    for (const scene of scenes) {
      const bed = await Bed.make(context.programs, scene.compile(), hook);
      try {
        for (const packet of scene.packets) {
          const measured = await packetFigures(context, bed, packet);
          figures.push(...measured.figures);
          notes.push(...measured.notes);
        }
      } finally {
        bed.close();
      }
    }
  }
  if (!figures.some(({ ours }) => ours === 'cached')) {
    notes.push('The connection cache decided about no packet: all of them walked.');
  }
  return { figures, notes, profile: await profileOf(figures) };
}

export const packetCost: Bench = {
  name: 'packet_cost',
  about: 'nanoseconds of one packet in the program, against an empty program', run,
};
