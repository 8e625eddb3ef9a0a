/** ovn-xdp itself on a chassis of the lab, as an operator would start it. */
import { closeSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ChildProcess } from 'node:child_process';
import type { Chassis } from './chassis.js';
import { call } from '../daemon/control_client.js';
import { readCounters, type Counters } from '../daemon/counters.js';
import { readAgentFile } from '../daemon/run_files.js';
import { BpfMap } from '../libbpf/map.js';
import { attempt, run, start, until } from './exec.js';
import { pinDirOf } from './run_dir.js';

/** The build this file belongs to: dist/, or the folder of somebody's own build. */
const buildDir = dirname(dirname(fileURLToPath(import.meta.url)));
export const cliPath = join(buildDir, 'cli', 'main.js');

/** `status -o json`, as far as the lab looks at it. */
export interface AgentStatus {
  readonly ready: boolean;
  readonly generation: number;
  readonly sb: { readonly connected: boolean };
  readonly counters: {
    readonly forwarded: number; readonly dropped: number; readonly punted: number;
  };
  readonly conntrack: { readonly mode: string };
  readonly affinity: { readonly sessions: number; readonly touched: number };
  readonly punted_by_reason: Readonly<Record<string, number>>;
  readonly dropped_by_reason: Readonly<Record<string, number>>;
  readonly ports: readonly {
    readonly name: string; readonly role: string; readonly hook: string; readonly mode: string;
    readonly reason: string;
  }[];
}

export class Agent {
  readonly pinDir: string;
  readonly runDir: string;
  readonly logFile: string;
  private child: ChildProcess | undefined;

  constructor(labId: string, readonly chassis: Chassis, readonly metricsPort = 9476) {
    this.pinDir = pinDirOf(labId, chassis.name);
    this.runDir = join(chassis.dir, 'ovn-xdp');
    this.logFile = join(chassis.dir, 'ovn-xdp.log');
  }

  get pid(): number | undefined { return this.child?.pid; }
  /** Whether the process has ended by itself. */
  get ended(): boolean {
    return this.child !== undefined
      && (this.child.exitCode !== null || this.child.signalCode !== null);
  }

  /** `nodeOptions`: for the process beside its own. */
  start(nodeOptions: readonly string[] = []): void {
    if (this.child !== undefined) throw new Error(`agent on ${this.chassis.name} runs already`);
    const log = openSync(this.logFile, 'a');
    this.child = start([process.execPath, ...nodeOptions, cliPath, 'run',
      '--ovs-db', this.chassis.ovsDb, '--pin-dir', this.pinDir, '--run-dir', this.runDir,
      '--metrics', `127.0.0.1:${this.metricsPort}`],
    { netns: this.chassis.netns, stdio: ['ignore', log, log] });
    closeSync(log);
  }

  /** A command of the CLI in the agent's namespace; throws on a non-zero exit. */
  cli(...args: readonly string[]): string {
    return run([process.execPath, cliPath, ...args, '--run-dir', this.runDir],
      { netns: this.chassis.netns });
  }

  /** Undefined while the agent does not answer. */
  status(): AgentStatus | undefined {
    const text = attempt([process.execPath, cliPath, 'status', '-o', 'json', '--run-dir',
      this.runDir], { netns: this.chassis.netns });
    return text === undefined ? undefined : JSON.parse(text) as AgentStatus;
  }

  /** The same without a process of its own; throws when the agent does not answer. */
  async ask(): Promise<AgentStatus> {
    const file = readAgentFile(this.runDir);
    if (file === undefined) throw new Error(`no agent has run on ${this.chassis.name}`);
    return JSON.parse(await call(file.control, 'status')) as AgentStatus;
  }

  /** Waits for `ready` and, when given, for what else the caller wants of the status. */
  async ready(more: (status: AgentStatus) => boolean = () => true): Promise<AgentStatus> {
    const { name } = this.chassis;
    try {
      return await until(`the agent on ${name}`, 60_000, async () => {
        if (this.child?.exitCode !== null) throw new Error(`the agent on ${name} ended`);
        const status = await this.ask().catch(() => undefined);
        return status !== undefined && status.ready && more(status) && status;
      });
    } catch (error) {
      throw new Error(`${(error as Error).message}; its log ends:\n${this.logTail()}`);
    }
  }

  /** Waits until it tracks connections, which begins when OVS's are known. */
  async tracks(): Promise<AgentStatus> {
    return this.ready(({ conntrack }) => conntrack.mode === 'on');
  }

  logTail(lines = 30): string {
    return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  }

  /** Where its tables are pinned. */
  get tables(): string {
    return join(this.pinDir, readdirSync(this.pinDir).find((name) => name.startsWith('abi-'))!);
  }

  /** What its programs have counted so far; they may have outlived the process. */
  counters(): Counters {
    const names = ['iface_counters', 'iface_cells', 'punts', 'drops', 'cache_stats'];
    const maps = new Map(names.map((name) =>
      [name, BpfMap.openPinned(join(this.tables, name))] as const));
    try {
      return readCounters(maps);
    } finally {
      for (const map of maps.values()) map.close();
    }
  }

  /** Frames of the chassis' device that they have carried. */
  forwardedAt(device: string): number {
    const { ifindex } = this.chassis.link(device);
    return Number(this.counters().devices.get(ifindex)?.forwarded.packets ?? 0n);
  }

  async metrics(): Promise<string> {
    const url = `http://127.0.0.1:${this.metricsPort}/metrics`;
    // Not fetch(), which needs WebAssembly: an emulated machine has none (kernel_vm.ts).
    return run([process.execPath, '-e',
      `require('node:http').get('${url}', (answer) => { answer.pipe(process.stdout); })`],
    { netns: this.chassis.netns });
  }

  /** Ends the process and takes its programs off: OVS is alone again. */
  async remove(): Promise<void> {
    await this.stop('SIGKILL');
    rmSync(this.pinDir, { recursive: true, force: true });
  }

  /** Ends the process and waits for it. Programs and tables stay pinned. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const { child } = this;
    if (child === undefined) return;
    this.child = undefined;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => { child.once('exit', resolve); });
    child.kill(signal);
    await ended;
  }
}

/** Agents on every chassis of a lab, ready. */
export async function startAgents(lab: {
  readonly id: string; readonly chassis: ReadonlyMap<string, Chassis>;
}): Promise<Agent[]> {
  const agents = [...lab.chassis.values()].map((chassis) => new Agent(lab.id, chassis));
  for (const agent of agents) agent.start();
  for (const agent of agents) await agent.ready();
  return agents;
}
