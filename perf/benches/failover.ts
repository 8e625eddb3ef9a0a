/**
 * A gateway is cut off, or another is preferred, while a VM asks a host outside: how long it hears
 * nothing, by OVS alone and with ovn-xdp on all chassis of the same lab, and how much of that is
 * ovn-xdp's, from the arrival of a BFD state or a claim until it is in force.
 */
import { startAgents, type Agent } from '#ts/lab/agent.js';
import { gatewayMoves, hastenBfd, silence, type Move } from '#ts/lab/gateway_moves.js';
import { gatewayLab, type Built } from '#ts/lab/gateway_shape.js';
import type { Bench, Context, Measured } from '../harness/bench.js';
import type { Figure, Pair, Target } from '../harness/figure.js';

const bfdMs = 300;
const metric = 'ovn_xdp_gateway_move_duration_seconds';
/** No slower than OVS alone; BFD counts in steps of 0.3 s, so single pairs differ by that. */
const target: Target = { of: 'ratio', is: 'at most', value: 1.1 };
const moveTarget: Target = { of: 'ours', is: 'at most', value: 0.1 };

/** Sum and number of moves that the agents have measured. */
async function measured(agents: readonly Agent[]): Promise<readonly [number, number]> {
  const texts = await Promise.all(agents.map((agent) => agent.metrics()));
  const sum = (suffix: string): number => texts.reduce((all, text) =>
    all + Number(new RegExp(`^${metric}_${suffix} (\\S+)`, 'm').exec(text)?.[1] ?? NaN), 0);
  return [sum('sum'), sum('count')];
}

/** Silences of each move, in seconds; with agents also the mean time of a move to be in force. */
async function play(built: Built, moves: readonly Move[], agents: readonly Agent[]):
  Promise<{ gaps: number[]; enforced: number[] }> {
  const gaps: number[] = [], enforced: number[] = [];
  for (const move of moves) {
    const [sum, count] = await measured(agents);
    gaps.push(await silence(built, move));
    const [sumAfter, countAfter] = await measured(agents);
    enforced.push((sumAfter - sum) / (countAfter - count));
  }
  return { gaps, enforced };
}

async function run(context: Context): Promise<Measured> {
  context.progress('building the lab');
  const built = await gatewayLab({ computes: ['c1'], gateways: ['g1', 'g2'] });
  try {
    await hastenBfd(built, bfdMs);
    const moves = gatewayMoves(built).slice(0, context.quick ? 2 : undefined);
    const silences = moves.map((): Pair[] => []), ours = moves.map((): Pair[] => []);
    for (let round = 0; round < Math.min(context.rounds, 5); round += 1) {
      context.progress(`round ${round + 1}: OVS alone`);
      const alone = await play(built, moves, []);
      context.progress(`round ${round + 1}: with ovn-xdp`);
      const agents = await startAgents(built.lab);
      const both = await play(built, moves, agents);
      for (const agent of agents) await agent.remove();
      moves.forEach((_, i) => {
        silences[i]!.push({ ours: both.gaps[i]!, base: alone.gaps[i]! });
        ours[i]!.push({ ours: both.enforced[i]!, base: both.gaps[i]! });
      });
    }
    const figures = moves.flatMap(({ name }, i): Figure[] => [
      { name: `${name}: silence`, ours: 'ovn-xdp', base: 'OVS alone', unit: 's', target,
        pairs: silences[i]! },
      { name: `${name}: in force`, ours: 'after the news', base: 'silence with ovn-xdp', unit: 's',
        target: moveTarget, pairs: ours[i]! }]);
    return { figures, notes: [`BFD every ${bfdMs} ms; a question every 20 ms; in force: the mean `
      + 'of the chassis that the move concerns.'] };
  } finally {
    built.lab.close();
  }
}

export const failover: Bench = {
  name: 'failover', about: 'silence when a gateway moves or is cut off, and our part of it', run,
};
