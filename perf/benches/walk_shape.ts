/**
 * Where the walk's time goes: synthetic tables that vary one thing at a time. The slope of a
 * line is the price of one more stage, tuple or op; the walk with the least of it is the base.
 */
import {
  abi, Dataplane, next, output, outputTo, set, type TestRule,
} from '#ts/lab/dataplane/dataplane.fixture.js';
import { eth, ip4, udp } from '#ts/lab/packet.js';
import type { Bench, Context } from '../harness/bench.js';
import { inTurn, type Figure } from '../harness/figure.js';

interface Shape {
  readonly stages: number; readonly tuples: number; readonly ops: number;
  /** Words of each tuple's key. */
  readonly words: number;
}
const least: Shape = { stages: 10, tuples: 1, ops: 0, words: 2 };
const sweeps: readonly { readonly of: keyof Shape; readonly values: readonly number[] }[] = [
  { of: 'stages', values: [10, 20, 40, 80] },
  { of: 'tuples', values: [1, 2, 4, 8] },
  { of: 'ops', values: [0, 4, 12] },
  { of: 'words', values: [2, 6, 16] },
];
const perStage = ({ of }: { of: keyof Shape }): string =>
  of === 'stages' ? 'stages' : `${of} in each of ${least.stages} stages`;

const frame = eth({ src: '02:00:00:00:00:0a', dst: '02:00:00:00:00:0b' },
  ip4({ src: '10.0.0.1', dst: '10.0.0.2' }, udp({ src: 1, dst: 2 }, new Uint8Array(18))));

/** Words of registers 0..9 and beyond that no rule writes here. */
const zeroWords = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, abi.FW_PKT_MARK, abi.FW_IP6_LABEL,
  abi.FW_CT_STATE, abi.FW_CT_MARK, abi.FW_SHA, abi.FW_THA];

/** All but the last tuple are looked up and miss: their rule wants a register to be 1. */
function stageRules(table: number, { tuples, ops, words }: Shape): TestRule[] {
  const key = zeroWords.slice(0, words);
  const miss = Array.from({ length: tuples - 1 }, (_, i): TestRule => ({
    priority: 200, ops: [output],
    match: key.map((word, k) => [word, 1, k === 0 ? 0xff00 | i << 1 | 1 : 0xffffffff]) }));
  const hit: TestRule = { priority: 100, match: key.map((word) => [word, 0]),
    ops: [...Array.from({ length: ops }, () => set(abi.FW_TMP, 0)), next(table + 1)], args: [0] };
  return [...miss, hit];
}

function planeOf(shape: Shape): Dataplane {
  const plane = Dataplane.load();
  plane.ingress(1, 1);
  plane.datapath(1);
  plane.port(1, 2, { ifindex: 100 });
  plane.device(100);
  // Tables 0..63 are ingress; more stages than that go on in the next datapath's.
  const ingress = Math.min(shape.stages, 60), egress = shape.stages - ingress;
  for (let i = 0; i < ingress; i += 1) plane.table(1, i, stageRules(i, shape));
  plane.table(1, ingress, [outputTo(2)]);
  for (let i = 0; i < egress; i += 1) {
    plane.table(1, abi.TABLE_EGRESS + i, stageRules(abi.TABLE_EGRESS + i, shape));
  }
  plane.table(1, abi.TABLE_EGRESS + egress, [{ ops: [output] }]);
  return plane;
}

async function run({ rounds, quick, progress, programs }: Context):
  Promise<{ figures: Figure[]; notes: string[]; axis: string }> {
  const figures: Figure[] = [];
  const notes: string[] = [];
  const repeat = quick ? 1000 : 20_000;
  const base = planeOf(least);
  for (const sweep of sweeps) {
    for (const x of sweep.values) {
      progress(`${x} ${sweep.of}`);
      const plane = planeOf({ ...least, [sweep.of]: x });
      if (plane.run(frame).action !== 4) throw new Error(`${x} ${sweep.of}: not forwarded`);
      figures.push({ name: `${x} ${perStage(sweep)}`, ours: 'walk', x, series: perStage(sweep),
        base: `walk of ${least.stages} stages with one tuple`, unit: 'ns',
        pairs: await inTurn(rounds, () => programs.cost(plane.forward, frame, repeat),
          () => programs.cost(base.forward, frame, repeat)) });
      plane.close();
    }
  }
  base.close();
  return { figures, notes: [...notes, ...prices(figures)], axis: 'how many' };
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN;

/** Slope between the ends of each line: nanoseconds of one more. */
function prices(figures: readonly Figure[]): string[] {
  return sweeps.map((sweep) => {
    const line = figures.filter(({ series }) => series === perStage(sweep));
    const [first, last] = [line[0], line.at(-1)];
    if (first?.x === undefined || last?.x === undefined) return '';
    const rise = median(last.pairs.map(({ ours }) => ours))
      - median(first.pairs.map(({ ours }) => ours));
    const per = (last.x - first.x) * (sweep.of === 'stages' ? 1 : least.stages);
    return `One more of ${sweep.of}: ${(rise / per).toFixed(1)} ns.`;
  });
}

export const walkShape: Bench = {
  name: 'walk_shape', about: 'price of a stage, a tuple, an op, a wider key', run,
};
