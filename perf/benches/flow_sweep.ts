/** One flow to a million: what the working set costs. The base is the same path with one. */
import type { Bench, Context, Measured } from '../harness/bench.js';
import { inTurn, reached, type Figure, type Target } from '../harness/figure.js';
import { onOneCpu } from '../harness/one_cpu.js';
import { measure, type Path } from '../harness/path.js';
import { programTimes } from '../harness/profile.js';
import { countersOf, startThroughputLab, type ThroughputLab } from '../harness/throughput_lab.js';

const counts = [1, 10, 1000, 100_000, 1_000_000];
/** Issue 6: a packet of a million flows at most twice as dear as one of a single flow. */
const target: Target = { of: 'ratio', is: 'at most', value: 2 };

/** What an operator sets who expects that many flows (docs/connection_cache.md): four entries
 * in each set, and sets that are half full. */
const cacheSets = 524_288;

interface Cached { readonly hits: number; readonly walks: number }
function cachedSoFar(on: ThroughputLab): Cached {
  const { hits, walks } = countersOf(on).cache;
  return { hits, walks: [...walks.values()].reduce((sum, n) => sum + n, 0) };
}

async function run(context: Context): Promise<Measured> {
  context.progress('building the lab');
  const on = await startThroughputLab(context.programs, { cacheSets });
  const seen = new Map<number, Cached>();
  const cost = (path: Path, flows: number) => async (): Promise<number> => {
    const before = cachedSoFar(on);
    const { received } = await measure(context.programs, path, {
      seconds: context.quick ? 0.05 : 0.7, flows, offer: 'live', warmFrames: flows });
    const after = cachedSoFar(on), sum = seen.get(flows) ?? { hits: 0, walks: 0 };
    seen.set(flows, { hits: sum.hits + after.hits - before.hits,
      walks: sum.walks + after.walks - before.walks });
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
        pairs: await onOneCpu(() => inTurn(context.rounds, cost(path, x), cost(path, 1))),
        ...x === 1_000_000 ? { target } : {} });
    }
    const notes = [...seen].map(([flows, { hits, walks }]) => `${flows} flows: the cache decided `
      + `${(100 * hits / (hits + walks)).toFixed(1)} % of all frames, the first of each included.`);
    const slow = figures.some((figure) => reached(figure) === false);
    const profile: string[] = [];
    for (const flows of slow ? [1, counts.at(-1)!] : []) {
      const load = { seconds: 0.7, flows, offer: 'live', warmFrames: flows } as const;
      const times = await onOneCpu(() =>
        programTimes(context.programs, on.rivals.forward, path, load));
      profile.push(`${flows} flows: ${times}`);
    }
    return { figures, profile, axis: 'flows', notes: [`${cacheSets} sets of the cache on each CPU. `
      + 'An entry is used for 48 to 64 s: flows that come around more slowly than that walk each '
      + 'time.', ...notes] };
  } finally {
    await on.close();
  }
}

export const flowSweep: Bench = {
  name: 'flow_sweep', about: 'cost of a packet with 1 to 1,000,000 flows', run,
};
