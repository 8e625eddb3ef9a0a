/**
 * `trace`: one packet through the loaded programs, by a test run of their trace twin: same
 * code, same tables, nothing sent and nothing counted.
 */
import { dirname, join } from 'node:path';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dropReasons, puntReasons, trace as traceCodec, verdictKind, type Trace }
  from '../abi/generated.js';
import type { FlowName } from '../daemon/commands.js';
import { programKindOn } from '../daemon/attach.js';
import { loadTracer } from '../daemon/dataplane.js';
import { isAlive } from '../daemon/run_files.js';
import type { Status } from '../daemon/status.js';
import { ifIndexToName, ifNameToIndex } from '../libbpf/net.js';
import { symbolTable } from '../lflow/fields.js';
import { parseMicroflow } from '../lflow/microflow.js';
import { decodeUuid, words } from '../sync/wire.js';
import { namesOf, withSet } from './counters.js';
import { ask, outputOption, pinDirOf, printJson, runDirOption, text, UsageError, wantsJson,
  type Command, type Invocation } from './command.js';
import { frameOf, type Fields } from './frame.js';
import { tableName } from './names.js';

interface Step { readonly datapath: number; readonly table: string; readonly stage: string;
  readonly flow: string; readonly match: string; readonly outport: number }
interface Traced { readonly port: string; readonly frame: string; readonly steps: readonly Step[];
  readonly verdict: string; readonly reason: string; readonly device: string;
  readonly flow: string }

const noFlow = 0xffffffff;

function parseHex(given: string): Buffer | undefined {
  const digits = given.replace(/^0x/, '').replaceAll(/[\s:]/g, '');
  return /^([0-9a-f]{2}){14,}$/i.test(digits) ? Buffer.from(digits, 'hex') : undefined;
}

/** The frame and the device it comes in on. */
async function input(invocation: Invocation): Promise<{ frame: Buffer; device: string }> {
  const [first = '', second] = invocation.positionals;
  const raw = parseHex(second ?? first);
  const port = text(invocation, 'port') ?? (raw && second !== undefined ? first : undefined);
  if (raw) {
    if (port === undefined) throw new UsageError('a frame needs the port that it comes in on');
    return { frame: raw, device: await deviceNamed(invocation, port) };
  }
  const given = invocation.positionals.join(' ');
  const { fields, problems } = parseMicroflow(given, symbolTable());
  if (problems[0]) throw new Error(problems[0].message);
  return { frame: frameOf(fields), device: port === undefined
    ? await deviceOf(invocation, fields) : await deviceNamed(invocation, port) };
}

async function deviceOf(invocation: Invocation, fields: Fields): Promise<string> {
  const inport = fields.get('inport');
  if (typeof inport !== 'string' || inport === '') {
    throw new UsageError('say where the packet comes in: inport == "PORT" or --port PORT');
  }
  return deviceNamed(invocation, inport);
}

/** A logical port's device; without an agent only devices have names. */
async function deviceNamed(invocation: Invocation, name: string): Promise<string> {
  const status = await ask<Status>(invocation, 'status').catch(() => undefined);
  const found = status?.ports.find((port) => port.logical_port === name);
  if (found) return found.name;
  if (ifNameToIndex(name) !== undefined) return name;
  throw new Error(`no logical port or device "${name}" here; see "ovn-xdp ports"`);
}

/** struct xdp_md (data_end is the frame's length) and struct __sk_buff (linux/bpf.h), with the
 * ingress device. Of the second the kernel gives all back, or fails: this is longer than any. */
const contexts = {
  xdp: (length: number, ifindex: number): Buffer => words(0, length, 0, ifindex, 0, 0),
  tc: (_length: number, ifindex: number): Buffer =>
    words(...Array.from({ length: 64 }, (_, i) => i === 10 ? ifindex : 0)),
} as const;

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}

/** Traces share one result map. A lock of a dead process is taken over. */
function locked<T>(pinDir: string, use: () => T): T {
  const lock = join('/run', `ovn-xdp-trace-${Buffer.from(pinDir).toString('hex').slice(-64)}.lock`);
  for (let attempt = 0; ; attempt += 1) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 100) throw error;
      const owner = Number(readOr(lock, ''));
      if (owner > 0 && !isAlive(owner)) rmSync(lock, { force: true });
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
  try {
    return use();
  } finally {
    rmSync(lock, { force: true });
  }
}

function runTrace(invocation: Invocation, frame: Buffer, device: string, ifindex: number):
  { trace: Trace; uuid: (flow: number) => string } {
  return withSet(invocation, (set) => locked(set.setDir, () => {
    const kind = programKindOn(dirname(set.setDir), device) ?? 'xdp';
    using program = loadTracer(set, kind);
    program.testRun({ data: frame, ctxIn: contexts[kind](frame.length, ifindex) });
    const out = set.maps.get('trace_out')?.lookup(words(0));
    if (!out) throw new Error('the dataplane has no trace_out');
    const names = set.maps.get('flow_uuids');
    const trace = traceCodec.fromBytes(out);
    const known = new Map([trace.flow, ...trace.steps.map(({ flow }) => flow)].map((flow) => {
      const value = flow === noFlow ? undefined : names?.lookup(words(flow));
      return [flow, value ? decodeUuid(value) : ''];
    }));
    return { trace, uuid: (flow) => known.get(flow) ?? '' };
  }));
}

const verdicts: ReadonlyMap<number, string> = new Map([
  [verdictKind.VERDICT_OUTPUT, 'output'], [verdictKind.VERDICT_TUNNEL, 'tunnel'],
  [verdictKind.VERDICT_DROP, 'drop'], [verdictKind.VERDICT_PUNT, 'punt']]);

function describe(device: string, frame: Buffer, { trace, uuid }: ReturnType<typeof runTrace>,
  names: ReadonlyMap<string, FlowName>): Traced {
  const verdict = verdicts.get(trace.verdict) ?? `verdict ${trace.verdict}`;
  const reasons = verdict === 'drop' ? dropReasons : verdict === 'punt' ? puntReasons : [];
  const leaves = verdict === 'output' || verdict === 'tunnel';
  return {
    port: device, frame: frame.toString('hex'), verdict,
    reason: reasons[trace.reason]?.text ?? '',
    device: leaves ? ifIndexToName(trace.ifindex) ?? `ifindex ${trace.ifindex}` : '',
    flow: verdict === 'drop' ? uuid(trace.flow) : '',
    steps: trace.steps.slice(0, trace.nsteps).map((step) => {
      const flow = uuid(step.flow);
      const name = names.get(flow);
      return { datapath: step.datapath, table: tableName(step.table), stage: name?.stage ?? '',
        flow: step.flow === noFlow ? 'no match' : flow || 'port security',
        match: name ? `${name.match} (priority ${name.priority})` : '', outport: step.outport };
    }),
  };
}

function traceText(traced: Traced): string {
  let last = -1;
  const steps = traced.steps.map((step) => {
    const head = step.datapath === last ? '' : `datapath ${step.datapath}\n`;
    last = step.datapath;
    return `${head}  ${step.table.padEnd(10)} ${step.stage.padEnd(24)} ${step.flow}` +
      `${step.match === '' ? '' : `  ${step.match}`}\n`;
  }).join('');
  const end = [traced.verdict, traced.device && `to ${traced.device}`, traced.reason,
    traced.flow && `by ${traced.flow}`].filter((part) => part !== '').join(' ');
  return `${steps}${end}\n`;
}

async function run(invocation: Invocation): Promise<number> {
  const json = wantsJson(invocation);
  pinDirOf(invocation);
  const { frame, device } = await input(invocation);
  const ifindex = ifNameToIndex(device);
  if (ifindex === undefined) throw new Error(`no device "${device}" in this network namespace`);
  const result = runTrace(invocation, frame, device, ifindex);
  const flows = result.trace.steps.slice(0, result.trace.nsteps).map(({ flow }) =>
    result.uuid(flow)).filter((flow) => flow !== '');
  const traced = describe(device, frame, result, await namesOf(invocation, [...new Set(flows)]));
  if (json) printJson(invocation, traced);
  else invocation.print(traceText(traced));
  return 0;
}

export const traceCommand: Command = {
  usage: 'MICROFLOW | PORT FRAME-IN-HEX [-o json]',
  help: 'walk a packet through the loaded programs: \'inport == "vm1" && eth.dst == ... && ip4\'',
  args: [1, 64],
  options: { ...runDirOption, ...outputOption, 'pin-dir': { type: 'string' },
    port: { type: 'string' } },
  run,
};
