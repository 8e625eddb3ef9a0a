/** What ten policy changes a second take from the throughput: the agent compiles and writes
 * tables on the same cores, and each change makes cached connections walk again. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run as runCommand, sleep } from '#ts/lab/exec.js';
import type { Bench, Context } from '../harness/bench.js';
import { startChurn } from '../harness/churn.js';
import { inTurn, type Figure, type Target } from '../harness/figure.js';
import { measure, type Path } from '../harness/path.js';
import { startThroughputLab } from '../harness/throughput_lab.js';

const RATE = 10;
/** At most 5 % of the throughput. */
const target: Target = { of: 'ratio', is: 'at least', value: 0.95 };

type Lab = Awaited<ReturnType<typeof startThroughputLab>>['lab'];
/** Milliseconds of CPU that processes have had, by name: those that a change gives work. */
function cpuOf(lab: Lab, agents: readonly (number | undefined)[]): Map<string, number> {
  const dirs = [join(lab.dir, 'central'), ...[...lab.chassis.values()].map(({ dir }) => dir)];
  const pids = dirs.flatMap((dir) => readdirSync(dir).filter((name) => name.endsWith('.pid'))
    .map((name) => [name.slice(0, -4), Number(readFileSync(join(dir, name), 'utf8'))] as const));
  const spent = new Map<string, number>();
  for (const [name, pid] of [...pids, ...agents.map((pid) => ['ovn-xdp', pid ?? 0] as const)]) {
    // proc(5): utime and stime, in ticks of 10 ms, after the name in brackets.
    const [user, system] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
      .slice(11, 13).map(Number) as [number, number];
    spent.set(name, (spent.get(name) ?? 0) + (user + system) * 10);
  }
  return spent;
}

async function run(context: Context): Promise<{ figures: Figure[]; notes: string[] }> {
  context.progress('building the lab');
  const on = await startThroughputLab(context.programs, { agentStays: true });
  const seconds = context.quick ? 0.2 : 1.5;
  let changes = 0;
  const spent = new Map<string, number>();
  const pps = async (path: Path): Promise<number> => (await measure(context.programs, path,
    { seconds, flows: 1, offer: 'live' })).received;
  const underChurn = async (path: Path): Promise<number> => {
    const { ended } = startChurn(on.lab.southbound, 'as4', seconds + 1.5, RATE);
    const pid = [on.agent.pid], before = cpuOf(on.lab, pid);
    await sleep(500);
    const rate = await pps(path);
    changes += await ended;
    for (const [name, ms] of cpuOf(on.lab, pid)) {
      spent.set(name, (spent.get(name) ?? 0) + ms - (before.get(name) ?? 0));
    }
    return rate;
  };
  try {
    // northd would take back what it did not write.
    runCommand(['ovn-appctl', '-t', join(on.lab.dir, 'central', 'northd.ctl'), 'pause']);
    const before = on.agent.status()?.generation ?? 0;
    const figures: Figure[] = [];
    for (const path of on.paths) {
      context.progress(path.name);
      figures.push({ name: `${path.name}, ${RATE} changes a second`, ours: 'with churn',
        base: 'without', unit: 'packets/s', target,
        pairs: await inTurn(context.rounds, () => underChurn(path), () => pps(path)) });
    }
    const enforced = (on.agent.status()?.generation ?? 0) - before;
    const each = [...spent].filter(([, ms]) => ms > 0).map(([name, ms]) =>
      `${name} ${(ms / changes).toFixed(1)}`);
    return { figures, notes: [
      'CPU beside traffic, ms a change, with what runs anyway: '
        + `${each.join(', ')}; the machine has two cores.`,
      `${changes} changes were made, ${enforced} generations came into force: changes that come `
        + 'while one is compiled are taken together.'] };
  } finally {
    await on.close();
  }
}

export const churn: Bench = {
  name: 'churn', about: 'throughput under ten policy changes a second', run,
};
