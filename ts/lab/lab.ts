/** OVN in network namespaces: central databases, a fabric, chassis, and VMs. */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Chassis, quietNetns, underlayMtu, uplink, usualDatapath, type DatapathType, type Encap }
  from './chassis.js';
import { run } from './exec.js';
import { Provider } from './provider.js';
import { packageData } from './releases.js';
import {
  createRunDir, forgetAtExit, keepLab, netnsPrefixOf, removeAtExit, removeLab, sweepStaleLabs,
} from './run_dir.js';
import { Vm, type VmSpec } from './vm.js';

export interface LabOptions {
  readonly chassis: readonly string[];
  readonly encap?: Partial<Encap>;
  readonly datapath?: DatapathType;
}

export class Lab {
  readonly chassis = new Map<string, Chassis>();
  readonly vms = new Map<string, Vm>();
  readonly providers = new Map<string, Provider>();
  private closed = false;

  private constructor(readonly id: string, readonly dir: string) {}

  /** Builds a lab; it goes away with close(), or with this process whatever ends it. */
  static async start(options: LabOptions): Promise<Lab> {
    sweepStaleLabs();
    const id = `${process.pid.toString(36)}${randomBytes(2).toString('hex')}`;
    removeAtExit(id);
    const lab = new Lab(id, createRunDir(id));
    try {
      lab.startCentral();
      lab.startFabric();
      const encap = { family: 4, csum: true, ...options.encap } as const;
      for (const name of options.chassis) {
        lab.addChassis(name, encap, options.datapath ?? usualDatapath);
      }
      for (const chassis of lab.chassis.values()) await chassis.ready();
      return lab;
    } catch (error) {
      lab.close();
      throw error;
    }
  }

  /** Name of a namespace of this lab. */
  netns(name: string): string { return netnsPrefixOf(this.id) + name; }
  get fabricNetns(): string { return this.netns('fabric'); }
  get rawNetns(): string { return this.netns('raw'); }
  get northbound(): string { return `unix:${join(this.dir, 'nb.sock')}`; }
  get southbound(): string { return `unix:${join(this.dir, 'sb.sock')}`; }

  /** One transaction of ovn-nbctl commands: [['ls-add', 'ls1'], ['lsp-add', 'ls1', 'a']]. */
  nb(commands: readonly (readonly string[])[], ...options: readonly string[]): string {
    const args = commands.flatMap((command, i) => i === 0 ? command : ['--', ...command]);
    return run(['ovn-nbctl', `--db=${this.northbound}`, ...options, ...args]).trimEnd();
  }

  sb(...args: readonly string[]): string {
    return run(['ovn-sbctl', `--db=${this.southbound}`, ...args]).trimEnd();
  }

  /** Returns when every ovn-controller has installed what the Northbound database says. */
  sync(): void {
    run(['ovn-nbctl', `--db=${this.northbound}`, '--wait=hv', '--timeout=30', 'sync']);
  }

  addVm(spec: VmSpec): Vm {
    const chassis = this.chassis.get(spec.chassis);
    if (chassis === undefined) throw new Error(`no chassis ${spec.chassis} in this lab`);
    const netns = spec.raw === true ? this.rawNetns : this.netns(`vm-${spec.port}`);
    const vm = new Vm(spec, chassis, netns);
    vm.start();
    this.vms.set(spec.port, vm);
    return vm;
  }

  vm(port: string): Vm {
    const vm = this.vms.get(port);
    if (vm === undefined) throw new Error(`no VM ${port} in this lab`);
    return vm;
  }

  /** A physical network (at most 5 letters) that these chassis have a provider bridge on;
   * `shared`: it is the underlay, and the uplink is its NIC, too. */
  addProvider(network: string, chassis: readonly string[], shared = false): Provider {
    const provider = new Provider(network, this.fabricNetns, (name) => this.netns(name),
      this.rawNetns, shared);
    provider.start();
    for (const name of chassis) provider.join(this.chassis.get(name)!);
    this.providers.set(network, provider);
    return provider;
  }

  /** For XDP on uplinks under OVS's kernel datapath: it takes frames as a wire would carry them,
   * which no veth completes, and redirects them to a veth only where its peer polls. */
  makeXdpReady(): void {
    for (const { netns } of this.chassis.values()) {
      run(['ethtool', '-K', uplink, 'tx', 'off', 'gro', 'on'], { netns });
    }
    for (const { netns, device } of this.vms.values()) {
      run(['ethtool', '-K', device, 'gro', 'on'], { netns });
    }
  }

  fabricPortOf(chassis: string): string { return `p-${chassis}`; }

  /** Waits for the VIFs to be bound and for every chassis to carry it out. */
  settle(): void {
    const ports = [...this.vms.values()].filter(({ spec }) => spec.everywhere !== true)
      .map(({ lport }) => lport);
    if (ports.length > 0) {
      run(['ovn-nbctl', `--db=${this.northbound}`, '--timeout=30',
        ...ports.flatMap((port) => ['--', 'wait-until', 'Logical_Switch_Port', port, 'up=true'])
          .slice(1)]);
    }
    this.sync();
  }

  /** Leaves the lab running when this process ends; remove with removeLab(id). */
  keep(): void {
    forgetAtExit(this.id);
    keepLab(this.id);
  }

  /** Idempotent; synchronous, so that exit handlers can call it. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    removeLab(this.id);
    forgetAtExit(this.id);
  }

  private startCentral(): void {
    const netns = this.netns('central');
    const dir = join(this.dir, 'central');
    mkdirSync(dir);
    run(['ip', 'netns', 'add', netns]);
    const env = { OVS_RUNDIR: dir, OVN_RUNDIR: dir, OVS_LOGDIR: dir, OVN_LOGDIR: dir };
    const daemon = (name: string, ...argv: readonly string[]) => run([...argv, '--detach',
      '--no-chdir', '-vconsole:off', `--pidfile=${join(dir, `${name}.pid`)}`,
      `--log-file=${join(dir, `${name}.log`)}`, `--unixctl=${join(dir, `${name}.ctl`)}`],
    { netns, env });
    for (const [name, remote] of [['nb', this.northbound], ['sb', this.southbound]] as const) {
      const file = join(dir, `${name}.db`);
      run(['ovsdb-tool', 'create', file, join(packageData, `ovn/ovn-${name}.ovsschema`)]);
      daemon(name, 'ovsdb-server', file, `--remote=p${remote}`);
    }
    daemon('northd', 'ovn-northd', `--ovnnb-db=${this.northbound}`,
      `--ovnsb-db=${this.southbound}`);
    run(['ovn-nbctl', `--db=${this.northbound}`, 'init']);
  }

  private startFabric(): void {
    const netns = this.fabricNetns;
    for (const name of [netns, this.rawNetns]) {
      run(['ip', 'netns', 'add', name]);
      quietNetns(name);
    }
    run(['ip', '-n', netns, 'link', 'add', 'fabric', 'mtu', `${underlayMtu}`, 'type', 'bridge',
      'mcast_snooping', '0', 'forward_delay', '0']);
    run(['ip', '-n', netns, 'link', 'set', 'fabric', 'up']);
  }

  private addChassis(name: string, encap: Encap, datapath: DatapathType): void {
    const chassis = new Chassis({
      name, number: this.chassis.size + 1, netns: this.netns(name), dir: join(this.dir, name),
      fabricNetns: this.fabricNetns, fabricPort: this.fabricPortOf(name),
      southbound: this.southbound, encap, datapath,
    });
    this.chassis.set(name, chassis);
    chassis.start();
  }
}
