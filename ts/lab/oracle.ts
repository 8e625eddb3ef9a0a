/**
 * Oracles for the logical walk: ovn-trace as a daemon (some 7 ms a packet) and
 * ofproto/trace on a chassis. Where ovn-trace deviates from a real chassis (it takes every
 * port for resident, guesses conntrack, knows no physical tables) see ovn-trace(8).
 */
import { join } from 'node:path';
import { CommandError, run } from './exec.js';
import type { Lab } from './lab.js';

export class TraceOracle {
  private readonly socket: string;
  /** How often the daemon died of a packet and was started again. */
  restarts = 0;

  /** Starts the daemon in the lab's central namespace; it ends with the lab. */
  constructor(private readonly lab: Lab) {
    this.socket = join(lab.dir, 'central', 'trace.ctl');
    this.start();
  }

  private start(): void {
    const { lab } = this;
    const dir = join(lab.dir, 'central');
    run(['ovn-trace', '--detach', '--no-chdir', '-vconsole:off', `--db=${lab.southbound}`,
      `--pidfile=${join(dir, 'trace.pid')}`, `--unixctl=${this.socket}`],
    { netns: lab.netns('central'), env: { OVN_RUNDIR: dir } });
  }

  /**
   * `--minimal` output for a packet given as a microflow expression. `datapath` is a name
   * or UUID; `ct` the answers to ct_next, in turn.
   */
  minimal(datapath: string, microflow: string, ct: readonly string[] = []): string {
    return this.trace(['--minimal', ...ct.map((state) => `--ct=${state}`)], datapath, microflow);
  }

  summary(datapath: string, microflow: string): string {
    return this.trace(['--summary'], datapath, microflow);
  }

  /** The logical ports that `--minimal` says the packet is delivered to, sorted. */
  outputs(datapath: string, microflow: string): readonly string[] {
    const found = this.minimal(datapath, microflow).matchAll(/^output\("([^"]*)"\)/gm);
    return [...found].map((match) => match[1] as string).sort();
  }

  exit(): void { run(['ovn-appctl', '-t', this.socket, 'exit']); }

  /** "crashed" for a packet that ovn-trace itself dies of. */
  private trace(options: readonly string[], datapath: string, microflow: string): string {
    try {
      return run(['ovn-appctl', '-t', this.socket, 'trace', ...options, datapath, microflow]);
    } catch (error) {
      const died = error instanceof CommandError
        && /End of file|No such file|cannot connect/i.test(error.output);
      if (!died) throw error;
      this.restarts += 1;
      this.start();
      return 'crashed';
    }
  }
}
