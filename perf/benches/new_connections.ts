/**
 * The first packet of a connection: a whole walk, tracked, and a new entry each time. By test
 * run, which is the program alone, and for real through a chassis, where OVS does the same.
 */
import { puntReasons, verdictKind } from '#ts/abi/generated.js';
import type { Bench, Context, Measured } from '../harness/bench.js';
import { contest, type Contest } from '../harness/contest.js';
import { inTurn, reached, type Figure, type Target } from '../harness/figure.js';
import { packetWork } from '../harness/profile.js';
import { compileScene, firstDatagram, packets } from '../harness/scenes.js';
import { firstPaths, forgetConnections, startThroughputLab } from '../harness/throughput_lab.js';
import { Tables } from '#ts/lab/tables.js';

const walkTarget: Target = { of: 'ours', is: 'at most', value: 2500 };
/** A second, on one core that the generator and the receiver share. */
const rateTarget: Target = { of: 'ours', is: 'at least', value: 200_000 };
const rivals: Contest['rivals'] = {
  'OVS AF_PACKET': { of: 'ratio', is: 'at least', value: 10 } };
const FLOWS = 1_000_000;
/** All that two ports make: none comes twice in one measurement, and connections are forgotten
 * between two. */
const ALL_FLOWS = 60_000 * 60_000;

async function byTestRun(context: Context): Promise<Measured> {
  const tables = Tables.load();
  try {
    const { desired } = compileScene();
    await tables.apply(desired);
    tables.trackConnections();
    tables.enter('tapt1');
    const { frame, sportAt } = firstDatagram();
    const traced = tables.trace(frame);
    if (traced.verdict !== verdictKind.VERDICT_TUNNEL) {
      return { figures: [], notes: ['Not measured: a tracked packet is left to OVS ('
        + `${puntReasons[traced.reason]?.text ?? traced.reason}).`] };
    }
    // Never the same connection twice: flows go on where the last run stopped.
    const repeat = context.quick ? 1000 : 20_000;
    const cost = (flows: number) => (): number =>
      context.programs.cost(tables.forward, frame, repeat, { flows, sportAt });
    return { notes: [], figures: [{ name: 'first packet, tracked, encap, by test run',
      ours: 'first packet', unit: 'ns', base: 'packet of a known connection', target: walkTarget,
      pairs: await inTurn(context.rounds, cost(FLOWS), cost(1)) }] };
  } finally {
    tables.close();
  }
}

async function throughChassis(context: Context): Promise<Measured> {
  context.progress('building the lab');
  const on = await startThroughputLab(context.programs, { stateful: true });
  try {
    const { figures, notes, profile = [] } = await contest(context, {
      on, paths: firstPaths(on), rivals, flows: ALL_FLOWS, rounds: Math.min(context.rounds, 3),
      seconds: context.quick ? 0.05 : 0.3, between: () => { forgetConnections(on); } });
    const rates = figures.map((figure): Figure => ({ ...figure, unit: 'connections/s',
      name: `${figure.name.split(' ')[0]}, new connections a second`, target: rateTarget }));
    return { notes, profile, figures: [
      ...figures.map((figure) => ({ ...figure, name: `${figure.name}, new connections`,
        unit: 'connections/s' })), ...rates] };
  } finally {
    await on.close();
  }
}

async function run(context: Context): Promise<Measured> {
  const alone = await byTestRun(context), live = await throughChassis(context);
  const slow = [...alone.figures, ...live.figures].some((figure) => reached(figure) === false);
  const work = slow ? await packetWork(compileScene(), packets.filter(({ name }) =>
    name.startsWith('tracked'))) : [];
  return { figures: [...alone.figures, ...live.figures], notes: [...alone.notes, ...live.notes],
    profile: [...work, ...live.profile ?? []] };
}

export const newConnections: Bench = {
  name: 'new_connections',
  about: 'first packets of tracked connections: cost, and how many a second', run,
};
