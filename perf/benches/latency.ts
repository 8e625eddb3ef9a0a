/**
 * How long one frame takes through a chassis while others come at an even rate: from the
 * sender's system call to the receiver's program, on one clock. Percentiles, never means.
 */
import { build } from 'hdr-histogram-js';
import { sleep } from '#ts/lab/exec.js';
import type { Bench, Context, Measured } from '../harness/bench.js';
import type { Figure } from '../harness/figure.js';
import type { Carrier, Path } from '../harness/path.js';
import { startSender } from '../harness/sender.js';
import { startThroughputLab, type ThroughputLab } from '../harness/throughput_lab.js';

/** Packets per second: what OVS's userspace datapath carries without loss, and near its end. */
const rates = [5_000, 20_000, 40_000];
/** More than that, and a rate is none that OVS carries: percentiles are of what arrived. */
const NOTABLE_LOSS = 0.002;
/** After the last frame was sent, those under way still arrive. */
const DRAIN_MS = 50;
const percentiles = [50, 99, 99.9];
const rival: Carrier = 'OVS AF_PACKET';

async function latencies(context: Context, path: Path, rate: number):
  Promise<{ ns: number[]; lost: number }> {
  const { programs } = context, seconds = context.quick ? 0.2 : 1;
  programs.set('received', new Uint8Array(8));
  const { ended } = startSender(path, seconds + 0.4, rate);
  await sleep(300);
  const early = programs.received;
  programs.set('received', new Uint8Array(8));
  programs.set('sampling', 1);
  const sent = await ended;
  await sleep(DRAIN_MS);
  programs.set('sampling', 0);
  const received = programs.received;
  const histogram = build({ highestTrackableValue: 10_000_000_000, numberOfSignificantValueDigits:
    3, useWebAssembly: false });
  for (const value of programs.samples(received)) histogram.recordValue(Math.max(1, value));
  return { ns: percentiles.map((p) => histogram.getValueAtPercentile(p)),
    lost: Math.max(0, 1 - (early + received) / Math.max(1, sent)) };
}

async function atRate(context: Context, on: ThroughputLab, path: Path, rate: number):
  Promise<Measured> {
  const results: { ours: number[]; base: number[] }[] = [];
  let lost = [0, 0];
  for (let round = 0; round < Math.min(context.rounds, 3); round += 1) {
    on.rivals.use('ovn-xdp');
    const ours = await latencies(context, path, rate);
    on.rivals.use(rival);
    const base = await latencies(context, path, rate);
    lost = [Math.max(lost[0]!, ours.lost), Math.max(lost[1]!, base.lost)];
    results.push({ ours: ours.ns, base: base.ns });
  }
  return {
    notes: lost.flatMap((part, i) => part <= NOTABLE_LOSS ? [] : [`${path.name}, ${rate} `
      + `packets/s: ${['ovn-xdp', rival][i]} lost up to ${(part * 100).toFixed(1)} %; the `
      + 'percentiles are of what arrived.']),
    figures: percentiles.map((percentile, i) => ({
      name: `${path.name}, p${percentile} at ${rate} packets/s`, ours: 'ovn-xdp', base: rival,
      unit: 'ns', x: rate, series: `${path.name}, p${percentile}`,
      pairs: results.map(({ ours, base }) => ({ ours: ours[i] ?? NaN, base: base[i] ?? NaN })),
    })),
  };
}

async function run(context: Context): Promise<Measured> {
  context.progress('building the lab');
  const on = await startThroughputLab(context.programs);
  const figures: Figure[] = [], notes: string[] = [];
  try {
    for (const path of on.paths) {
      for (const rate of context.quick ? rates.slice(0, 1) : rates) {
        context.progress(`${path.name}, ${rate} packets/s`);
        const result = await atRate(context, on, path, rate);
        figures.push(...result.figures);
        notes.push(...result.notes);
      }
    }
  } finally {
    await on.close();
  }
  return { figures, notes, axis: 'packets/s' };
}

export const latency: Bench = {
  name: 'latency', about: 'time of one frame through a chassis: p50, p99, p99.9', run,
};
