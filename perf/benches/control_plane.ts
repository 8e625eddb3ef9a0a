/**
 * The agent against ovn-controller on one chassis to which a whole cloud is local: the time
 * until everything is in force, the memory, and how long one change takes.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { control } from '#ts/abi/generated.js';
import { Agent } from '#ts/lab/agent.js';
import { run as runCommand, sleep } from '#ts/lab/exec.js';
import { BpfMap, u32Bytes } from '#ts/libbpf/mod.js';
import type { Bench, Context, Measured } from '../harness/bench.js';
import { gateway, type Cloud } from '../harness/cloud.js';
import { quantile, reached, type Figure, type Pair, type Target } from '../harness/figure.js';
import { cpuProfileIn, functionTimes, readCpuProfile } from '../harness/profile.js';
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

/** Milliseconds of one start. `whole`: from the process to tables in force; the others are what
 * the agent says of the time since it is connected. */
interface Times { readonly whole: number; readonly connected: number; readonly rows: number;
  readonly compiled: number; readonly applied: number }
const told = new RegExp('in force (\\d+) ms after .*: '
  + 'rows (\\d+), compiled (\\d+), applied (\\d+)', 'g');

async function startUntilEnforcing(agent: Agent, nodeOptions: readonly string[] = []):
  Promise<Times> {
  const began = performance.now();
  agent.start(nodeOptions);
  for (let map: BpfMap | undefined; performance.now() - began < PATIENCE_MS;) {
    await sleep(5);
    if (agent.ended) break;
    map ??= openControl(agent);
    if (map === undefined || !inForce(map).enabled) continue;
    const whole = performance.now() - began;
    map.close();
    await settled(agent);
    const [, connected = NaN, rows = NaN, compiled = NaN, applied = NaN] =
      [...agent.logTail(100).matchAll(told)].at(-1)?.map(Number) ?? [];
    return { whole, connected, rows, compiled, applied };
  }
  throw new Error(`nothing is in force; the agent says:\n${agent.logTail(10)}`);
}

/** Returns when no new state has come for a second: views come after the first one. */
async function settled(agent: Agent): Promise<void> {
  const map = openControl(agent);
  if (map === undefined) throw new Error('the agent has pinned nothing');
  for (let quiet = 0, last = -1; quiet < 20;) {
    await sleep(50);
    const { generation } = inForce(map);
    quiet = generation === last ? quiet + 1 : 0;
    last = generation;
  }
  map.close();
}

interface Start { readonly times: Pair[]; readonly memory: Pair[]; readonly notes: string[] }

async function starts(context: Context, cloud: Cloud, agent: Agent): Promise<Start> {
  const [times, memory]: [Pair[], Pair[]] = [[], []], notes: string[] = [];
  const rounds = Math.min(context.rounds, 3);
  for (let round = 0; round < rounds; round += 1) {
    context.progress(`start ${round + 1} of ${rounds}`);
    const base = await recompute(cloud);
    const ours = await startUntilEnforcing(agent);
    times.push({ ours: ours.connected, base });
    const before = ours.whole - ours.connected;
    notes.push(`Start ${round + 1}: ${before.toFixed(0)} ms until the Southbound database answers `
      + `(programs loaded), then rows ${ours.rows} ms, compiled ${ours.compiled}, applied `
      + `${ours.applied}; ovn-controller's recompute ${base.toFixed(0)}.`);
    memory.push({ ours: peakMemory(agent.pid ?? 0), base: peakMemory(controllerPid(cloud)) });
    if (round + 1 < rounds) await agent.remove();
  }
  return { times, memory, notes };
}

// ---- One change -----------------------------------------------------------------------------

interface Row { readonly _uuid: readonly ['uuid', string]; readonly [column: string]: unknown }

async function rowsOf(sb: Transactor, table: string, where: readonly unknown[],
  fits: (row: Row) => boolean = () => true): Promise<Row> {
  const [{ rows }] = await sb.transact({ op: 'select', table, where }) as
    [{ rows: readonly Row[] }];
  const found = rows.filter(fits);
  const row = found[Math.floor(found.length / 2)];
  if (row === undefined) throw new Error(`the cloud has no such ${table}`);
  return row;
}
const stage = (name: string) => ['external_ids', 'includes', ['map', [['stage-name', name]]]];

/** Puts one VM of the cloud on the gateway, and waits until its ACLs are the agent's business. */
async function addVif(cloud: Cloud, sb: Transactor, agent: Agent): Promise<Row> {
  const group = await rowsOf(sb, 'Port_Group', [], ({ ports }) =>
    Array.isArray(ports) && ports[0] === 'set' && (ports[1] as unknown[]).length === 20);
  const [lport] = (group['ports'] as [string, string[]])[1];
  const chassis = cloud.lab.chassis.get(gateway)!;
  chassis.addVif('vif', lport!);
  chassis.vsctl('set', 'Interface', 'vif', 'type=internal');
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end;) {
    await sleep(200);
    const port = await rowsOf(sb, 'Port_Binding', [['logical_port', '==', lport]]);
    if (!Array.isArray(port['chassis']) || port['chassis'][0] !== 'uuid') continue;
    await settled(agent);
    return port;
  }
  throw new Error(`ovn-controller does not bind ${lport}`);
}

/** Milliseconds from the database's answer to the new state in force. */
async function enforced(map: BpfMap, change: () => Promise<unknown>): Promise<number> {
  const { generation } = inForce(map);
  await change();
  const began = performance.now();
  while (inForce(map).generation === generation) {
    if (performance.now() - began > 10_000) throw new Error('not in force within 10 s');
    await sleep(1);
  }
  const ms = performance.now() - began;
  // The other buffer follows; the next change is another one.
  await sleep(50);
  return ms;
}

type Changes = Readonly<Record<string,
  (sb: Transactor, port: Row) => Promise<(n: number) => unknown>>>;
const priorities = ({ _uuid, priority }: Row) => (n: number): unknown => ({ op: 'update',
  table: 'Logical_Flow', where: [['_uuid', '==', _uuid]],
  row: { priority: Number(priority) + (n + 1) % 3 } });
/** Of the security group of the VM, what lets its members in. */
const acl = (sb: Transactor, port: Row): Promise<Row> => rowsOf(sb, 'Logical_Flow',
  [['logical_datapath', '==', port['datapath']], stage('ls_out_acl')],
  ({ match }) => /outport == @.*ip4\.src == \$/.test(String(match)));
/** Members that are added one after the other, and then removed at once. */
const added = ['10.99.0.1', '10.99.0.2'];
const addresses = (name: string) => (n: number): unknown => ({ op: 'mutate', table: 'Address_Set',
  where: [['name', '==', name]], mutations: n % 3 < added.length
    ? [['addresses', 'insert', added[n % 3]]] : [['addresses', 'delete', ['set', added]]] });

/** An operation for the n-th change of each kind. Two in a row never undo each other: when
 * something else moves the generation first, the agent meets both at once. */
const changes: Changes = {
  'route': async (sb) => priorities(await rowsOf(sb, 'Logical_Flow', [stage('lr_in_ip_routing')])),
  'ACL': async (sb, port) => priorities(await acl(sb, port)),
  'address set': async (sb, port) => {
    const [, name = ''] = /ip4\.src == \$(\w+)/.exec(String((await acl(sb, port))['match'])) ?? [];
    return addresses(name);
  },
};

async function changeFigures(context: Context, cloud: Cloud, agent: Agent): Promise<Figure[]> {
  const sb = await Transactor.open(cloud.lab.southbound), map = openControl(agent);
  if (map === undefined) throw new Error('the agent has pinned nothing');
  const northd = ['ovn-appctl', '-t', join(cloud.lab.dir, 'central', 'northd.ctl')];
  // northd would take back what it did not write.
  runCommand([...northd, 'pause']);
  try {
    const figures: Figure[] = [], port = await addVif(cloud, sb, agent);
    for (const [kind, make] of Object.entries(changes)) {
      context.progress(`changes: ${kind}`);
      const operation = await make(sb, port), times: number[] = [];
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

/** Which functions a start is in: one more of them, watched. */
async function profileOf(context: Context, agent: Agent): Promise<string[]> {
  context.progress('profile of a start');
  await agent.remove();
  const dir = mkdtempSync(join(tmpdir(), 'ovn-xdp-profile-'));
  try {
    await startUntilEnforcing(agent, cpuProfileIn(dir));
    await agent.stop('SIGTERM');
    const profile = readCpuProfile(dir);
    return profile === undefined ? [] : [`a start until enforcing: ${functionTimes(profile, 12)}.`];
  } catch (error) {
    return [`a start could not be watched: ${(error as Error).message.slice(0, 300)}`];
  } finally {
    rmSync(dir, { recursive: true });
  }
}

async function run(context: Context): Promise<Measured> {
  context.progress('building the cloud');
  const cloud = await context.cloud();
  const chassis = cloud.lab.chassis.get(gateway);
  if (chassis === undefined) throw new Error('no gateway in the cloud');
  const agent = new Agent(cloud.lab.id, chassis);
  try {
    const { times, memory, notes } = await starts(context, cloud, agent);
    const figures: Figure[] = [
      { name: `connected to enforcing, ${cloud.flows} logical flows`, ours: 'ovn-xdp', unit: 'ms',
        base: 'full recompute of ovn-controller', pairs: times, target: readyTarget },
      { name: `peak memory, ${cloud.flows} logical flows`, ours: 'ovn-xdp', unit: 'MiB',
        base: 'ovn-controller', pairs: memory, target: memoryTarget },
    ];
    notes.push('Ours contains the first copy of the database; ovn-controller\'s is its computation '
      + 'alone. Memory is the most until views of all datapaths are in force.');
    try {
      figures.push(...await changeFigures(context, cloud, agent));
    } catch (error) {
      notes.push(`FAILED: changes: ${(error as Error).message}; the agent says:\n`
        + agent.logTail(10));
    }
    const slow = figures.some((figure) => reached(figure) === false);
    return { figures, notes, profile: slow ? await profileOf(context, agent) : [] };
  } finally {
    await agent.remove();
  }
}

export const controlPlane: Bench = {
  name: 'control_plane', about: 'start, memory and changes, against ovn-controller', run,
};
