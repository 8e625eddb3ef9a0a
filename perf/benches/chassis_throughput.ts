/** Packets per second through a whole chassis, 64 bytes, against rivals on the same devices. */
import type { Bench, Context, Measured } from '../harness/bench.js';
import { contest, type Contest } from '../harness/contest.js';
import type { Figure } from '../harness/figure.js';
import { startGatewayLab } from '../harness/gateway_lab.js';
import { startThroughputLab, type ThroughputLab } from '../harness/throughput_lab.js';

const rivals: Contest['rivals'] = {
  'null redirect': { of: 'ratio', is: 'at least', value: 0.7 },
  'OVS AF_PACKET': { of: 'ratio', is: 'at least', value: 20 },
  'OVS AF_XDP': { of: 'ratio', is: 'at least', value: 4 },
};
const labs: Readonly<Record<string, (context: Context) => Promise<ThroughputLab>>> = {
  'compute node': ({ programs }) => startThroughputLab(programs),
  'gateway': ({ programs }) => startGatewayLab(programs),
};

async function run(context: Context): Promise<Measured> {
  const [figures, notes, profile]: [Figure[], string[], string[]] = [[], [], []];
  for (const [name, start] of Object.entries(labs)) {
    context.progress(`building the ${name}`);
    const on = await start(context);
    try {
      const outcome = await contest(context, { on, paths: on.paths, rivals, flows: 1,
        rounds: Math.min(context.rounds, 3), seconds: context.quick ? 0.05 : 0.4 });
      figures.push(...outcome.figures);
      profile.push(...outcome.profile ?? []);
      notes.push(...outcome.notes.map((note) =>
        note.startsWith('FAILED') ? note : `${name}: ${note}`));
    } finally {
      await on.close();
    }
  }
  return { figures, notes, profile };
}

export const chassisThroughput: Bench = {
  name: 'chassis_throughput', about: 'packets per second through a whole chassis', run,
};
