/** The first packet of a connection: a whole walk, tracked, and a new entry each time. */
import { puntReasons, verdictKind } from '#ts/abi/generated.js';
import type { Bench, Context } from '../harness/bench.js';
import { inTurn, type Figure } from '../harness/figure.js';
import { compileScene, firstDatagram } from '../harness/scenes.js';
import { Tables } from '#ts/lab/tables.js';

/** 200,000 new connections a second on one core. */
const target = { of: 'ours', is: 'at most', value: 5000 } as const;
const FLOWS = 1_000_000;

async function run(context: Context): Promise<{ figures: Figure[]; notes: string[] }> {
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
    const pairs = await inTurn(context.rounds, cost(FLOWS), cost(1));
    return {
      figures: [{ name: 'new connection, tracked, encap', ours: 'first packet', unit: 'ns', target,
        base: 'packet of a known connection', pairs }],
      notes: ['A test run, so the program alone. Against OVS: not measured yet.'],
    };
  } finally {
    tables.close();
  }
}

export const newConnections: Bench = {
  name: 'new_connections', about: 'cost of the first packet of a tracked connection', run,
};
