/**
 * The agent against ovn-controller on one chassis to which a whole cloud is local: the time
 * until everything is in force, the memory, and how long one change takes.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { control } from '#ts/abi/generated.js';
import { Agent } from '#ts/lab/agent.js';
import { run as runCommand, sleep } from '#ts/lab/exec.js';
import { BpfMap, u32Bytes } from '#ts/libbpf/mod.js';
import type { Bench, Context } from '../harness/bench.js';
import { gateway, type Cloud } from '../harness/cloud.js';
import { quantile, type Figure, type Pair, type Target } from '../harness/figure.js';
import { Transactor } from '../harness/southbound_txn.js';

const readyTarget: Target = { of: 'ratio', is: 'at most', value: 1.5 };
const memoryTarget: Target = { of: 'ratio', is: 'at most', value: 1 };
const changeTarget: Target = { of: 'ours', is: 'at most', value: 20 };
const STOPWATCH = 'flow-generation';
const PATIENCE_MS = 300_000;

/** The most memory a process has had, in MiB. */
function peakMemory(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? NaN) / 1024;
}

function controllerPid({ lab }: Cloud): number {
  const dir = lab.chassis.get(gateway)?.dir ?? '';
  return Number(readFileSync(join(dir, 'ovn-controller.pid'), 'utf8'));
}

/** Milliseconds of ovn-controller's own stopwatch around one recomputation of everything. */
async function recompute({ lab }: Cloud): Promise<number> {
  const chassis = lab.chassis.get(gateway);
  if (chassis === undefined) throw new Error('no gateway in the cloud');
  const controller = (...args: readonly string[]) => chassis.appctl('ovn-controller', ...args);
  const longest = (): number => Number(
    /Maximum: (\d+)/.exec(controller('stopwatch/show', STOPWATCH))?.[1] ?? NaN);
  controller('stopwatch/reset', STOPWATCH);
  controller('inc-engine/recompute');
  // Commands wait while it computes, so the first answer that has the run is right.
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end;) {
    await sleep(200);
    const ms = longest();
    if (ms > 0) {
      await sleep(500);
      return Math.max(ms, longest());
    }
  }
  throw new Error('ovn-controller does not recompute');
}

/** The pinned table that says what is in force; undefined until the agent has made it. */
function openControl(agent: Agent): BpfMap | undefined {
  if (!existsSync(agent.pinDir)) return undefined;
  const set = readdirSync(agent.pinDir).find((name) => name.startsWith('abi-'));
  const path = set === undefined ? '' : join(agent.pinDir, set, 'control');
  return existsSync(path) ? BpfMap.openPinned(path) : undefined;
}

function inForce(map: BpfMap): { readonly enabled: boolean; readonly generation: number } {
  const value = map.lookup(u32Bytes(0));
  const { enabled, generation } = value === undefined ? { enabled: 0, generation: 0 }
    : control.fromBytes(value);
  return { enabled: enabled === 1, generation };
}

/** Milliseconds from the start of the process to tables in force. */
async function startUntilEnforcing(agent: Agent): Promise<number> {
  const began = performance.now();
  agent.start();
  for (let map: BpfMap | undefined; performance.now() - began < PATIENCE_MS;) {
    await sleep(5);
    map ??= openControl(agent);
    if (map === undefined || !inForce(map).enabled) continue;
    map.close();
    return performance.now() - began;
  }
  throw new Error(`nothing is in force; the agent says:\n${agent.logTail(10)}`);
}

interface Start { readonly times: Pair[]; readonly memory: Pair[] }

async function starts(context: Context, cloud: Cloud, agent: Agent): Promise<Start> {
  const [times, memory]: [Pair[], Pair[]] = [[], []];
  const rounds = Math.min(context.rounds, 3);
  for (let round = 0; round < rounds; round += 1) {
    context.progress(`start ${round + 1} of ${rounds}`);
    const base = await recompute(cloud);
    const ours = await startUntilEnforcing(agent);
    times.push({ ours, base });
    memory.push({ ours: peakMemory(agent.pid ?? 0), base: peakMemory(controllerPid(cloud)) });
    if (round + 1 < rounds) await agent.remove();
  }
  return { times, memory };
}

// ---- One change -----------------------------------------------------------------------------

interface Row { readonly _uuid: readonly ['uuid', string]; readonly [column: string]: unknown }

async function rowOf(sb: Transactor, table: string, where: readonly unknown[]): Promise<Row> {
  const [{ rows }] = await sb.transact({ op: 'select', table, where }) as
    [{ rows: readonly Row[] }];
  const row = rows[Math.floor(rows.length / 2)];
  if (row === undefined) throw new Error(`the cloud has no ${table}`);
  return row;
}

/** Milliseconds from the database's answer to the new state in force. */
async function enforced(map: BpfMap, change: () => Promise<unknown>): Promise<number> {
  const { generation } = inForce(map);
  await change();
  const began = performance.now();
  while (inForce(map).generation === generation) {
    if (performance.now() - began > 10_000) throw new Error('a change was not put into force');
    await sleep(1);
  }
  const ms = performance.now() - began;
  // The other buffer follows; the next change is another one.
  await sleep(50);
  return ms;
}

type Changes = Readonly<Record<string, (sb: Transactor) => Promise<(n: number) => unknown>>>;
/** An operation for the n-th change of each kind. The gateway has no VIF, so ACLs and their
 * address sets are not its business: a route is. */
const changes: Changes = {
  'route': async (sb) => {
    const flow = await rowOf(sb, 'Logical_Flow', [
      ['external_ids', 'includes', ['map', [['stage-name', 'lr_in_ip_routing']]]]]);
    const priority = Number(flow['priority']);
    return (n) => ({ op: 'update', table: 'Logical_Flow', where: [['_uuid', '==', flow._uuid]],
      row: { priority: n % 2 === 0 ? priority + 1 : priority } });
  },
};

async function changeFigures(context: Context, cloud: Cloud, agent: Agent): Promise<Figure[]> {
  const sb = await Transactor.open(cloud.lab.southbound), map = openControl(agent);
  if (map === undefined) throw new Error('the agent has pinned nothing');
  const northd = ['ovn-appctl', '-t', join(cloud.lab.dir, 'central', 'northd.ctl')];
  // northd would take back what it did not write.
  runCommand([...northd, 'pause']);
  try {
    const figures: Figure[] = [];
    for (const [kind, make] of Object.entries(changes)) {
      context.progress(`changes: ${kind}`);
      const operation = await make(sb), times: number[] = [];
      for (let n = 0; n < (context.quick ? 4 : 50); n += 1) {
        times.push(await enforced(map, () => sb.transact(operation(n))));
      }
      times.sort((a, b) => a - b);
      const median = quantile(times, 0.5);
      figures.push({ name: `${kind}: change in force, p99`, ours: 'p99', base: 'p50', unit: 'ms',
        pairs: [{ ours: quantile(times, 0.99), base: median }], target: changeTarget });
    }
    return figures;
  } finally {
    runCommand([...northd, 'resume']);
    map.close();
    sb.close();
  }
}

async function run(context: Context): Promise<{ figures: Figure[]; notes: string[] }> {
  context.progress('building the cloud');
  const cloud = await context.cloud();
  const chassis = cloud.lab.chassis.get(gateway);
  if (chassis === undefined) throw new Error('no gateway in the cloud');
  const agent = new Agent(cloud.lab.id, chassis);
  try {
    const { times, memory } = await starts(context, cloud, agent);
    const figures: Figure[] = [
      { name: `start to enforcing, ${cloud.flows} logical flows`, ours: 'ovn-xdp', unit: 'ms',
        base: 'full recompute of ovn-controller', pairs: times, target: readyTarget },
      { name: `peak memory, ${cloud.flows} logical flows`, ours: 'ovn-xdp', unit: 'MiB',
        base: 'ovn-controller', pairs: memory, target: memoryTarget },
    ];
    const notes = ['Ours begins with the start of the process and contains the load of the '
      + "programs and the first copy of the database; ovn-controller's is its computation alone."];
    try {
      figures.push(...await changeFigures(context, cloud, agent));
    } catch (error) {
      notes.push(`FAILED: changes: ${(error as Error).message}`);
    }
    return { figures, notes };
  } finally {
    await agent.remove();
  }
}

export const controlPlane: Bench = {
  name: 'control_plane', about: 'start, memory and changes, against ovn-controller', run,
};
