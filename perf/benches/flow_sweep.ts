/** One flow to a million: what the working set costs. The base is the same path with one. */
import type { Bench, Context, Measured } from '../harness/bench.js';
import { inTurn, type Figure, type Target } from '../harness/figure.js';
import { measure, type Path } from '../harness/path.js';
import { startThroughputLab } from '../harness/throughput_lab.js';

const counts = [1, 10, 1000, 100_000, 1_000_000];
/** Issue 6: a packet of a million flows at most twice as dear as one of a single flow. */
const target: Target = { of: 'ratio', is: 'at most', value: 2 };

async function run(context: Context): Promise<Measured> {
  context.progress('building the lab');
  const on = await startThroughputLab(context.programs);
  const cost = (path: Path, flows: number) => async (): Promise<number> => {
    const { received } = await measure(context.programs, path,
      { seconds: context.quick ? 0.05 : 0.7, flows, offer: 'live' });
    return 1e9 / received;
  };
  try {
    on.rivals.use('ovn-xdp');
    const [path] = on.paths as [Path];
    const figures: Figure[] = [];
    for (const x of context.quick ? counts.slice(0, 2) : counts) {
      context.progress(`${x} flows`);
      figures.push({ name: `${path.name}, ${x} flows`, series: path.name, x, unit: 'ns',
        ours: `${x} flows`, base: 'one flow',
        pairs: await inTurn(context.rounds, cost(path, x), cost(path, 1)),
        ...x === 1_000_000 ? { target } : {} });
    }
    return { figures, notes: [], axis: 'flows' };
  } finally {
    await on.close();
  }
}

export const flowSweep: Bench = {
  name: 'flow_sweep', about: 'cost of a packet with 1 to 1,000,000 flows', run,
};
