/** One chassis: a namespace with its own Open vSwitch and ovn-controller. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { run, until } from './exec.js';
import { packageData } from './releases.js';

export interface Encap {
  /** Address family of the underlay. */
  readonly family: 4 | 6;
  /** Encap.options:csum: whether outer UDP checksums are sent and demanded. */
  readonly csum: boolean;
}

/** Geneve over IPv6 needs up to 78 bytes beside the tenant's 1500. */
export const underlayMtu = 1700;
export const uplink = 'eth0';
export const physicalBridge = 'br-phys';

/** Bridge.datapath_type: userspace, or the kernel's, for which the running kernel needs
 * openvswitch and geneve (kernel_vm.ts has kernels that do). */
export type DatapathType = 'netdev' | 'system';
/** OVN_XDP_DATAPATH: the same tests over the kernel's datapath. */
export const usualDatapath: DatapathType =
  process.env['OVN_XDP_DATAPATH'] === 'system' ? 'system' : 'netdev';

export interface ChassisPlace {
  readonly name: string;
  /** 1..250; makes the addresses. */
  readonly number: number;
  readonly netns: string;
  readonly fabricNetns: string;
  /** Device of the fabric namespace whose peer is the chassis' uplink. */
  readonly fabricPort: string;
  readonly dir: string;
  readonly southbound: string;
  readonly encap: Encap;
  readonly datapath: DatapathType;
}

export class Chassis {
  readonly name: string;
  readonly netns: string;
  readonly dir: string;
  readonly encapIp: string;
  private readonly env: Readonly<Record<string, string>>;
  /** Physical network -> bridge. */
  private readonly mappings = new Map<string, string>();

  constructor(readonly place: ChassisPlace) {
    this.name = place.name;
    this.netns = place.netns;
    this.dir = place.dir;
    this.encapIp = place.encap.family === 4
      ? `172.16.0.${place.number}` : `fd00:172:16::${place.number.toString(16)}`;
    this.env = {
      OVS_RUNDIR: this.dir, OVN_RUNDIR: this.dir, OVS_LOGDIR: this.dir, OVN_LOGDIR: this.dir,
    };
  }

  /** The remote of the local Open_vSwitch database, as --ovs-db takes it. */
  get ovsDb(): string { return `unix:${join(this.dir, 'db.sock')}`; }

  start(): void {
    mkdirSync(this.dir, { recursive: true });
    this.createDevices();
    this.startOvs();
    if (this.place.datapath === 'netdev') this.createPhysicalBridge();
    else this.addEncapAddress(uplink);
    this.startController();
  }

  /** MAC of an interface of the chassis' namespace, and whatever else `ip -j` tells. */
  link(device: string): { readonly address: string; readonly ifindex: number } {
    const [link] = JSON.parse(run(['ip', '-n', this.netns, '-j', 'link', 'show', device])) as
      { address: string; ifindex: number }[];
    if (link === undefined) throw new Error(`${this.name} has no device ${device}`);
    return link;
  }

  /** As an operator chooses where geneve is received under OVS's kernel datapath. */
  receiveAt(place: 'tunnel' | 'nic'): void {
    this.vsctl('set', 'Open_vSwitch', '.', `external_ids:ovn-xdp-receive=${place}`);
  }

  vsctl(...args: readonly string[]): string {
    return run(['ovs-vsctl', `--db=${this.ovsDb}`, ...args], { env: this.env }).trimEnd();
  }

  /** ovs-vswitchd or ovn-controller, by unixctl. */
  appctl(target: 'ovs-vswitchd' | 'ovn-controller', ...args: readonly string[]): string {
    return run([target === 'ovs-vswitchd' ? 'ovs-appctl' : 'ovn-appctl', '-t', target, ...args],
      { env: this.env });
  }

  /** Puts a device on br-int as the VIF of a logical port. Does not wait. */
  addVif(device: string, lport: string): void {
    this.vsctl('--no-wait', '--may-exist', 'add-port', 'br-int', device,
      '--', 'set', 'Interface', device, `external_ids:iface-id=${lport}`);
  }

  /**
   * A provider bridge with `nic` as its one physical port, as `ovn-bridge-mappings` has it for
   * `network`. The NIC leaves VLAN tags in its frames: XDP sees no tag that is taken out.
   */
  addProviderBridge(network: string, bridge: string, nic: string): void {
    this.vsctl('add-br', bridge, '--', 'set', 'Bridge', bridge,
      `datapath_type=${this.place.datapath}`, 'fail_mode=standalone',
      `other_config:hwaddr="${this.link(nic).address}"`, '--', 'add-port', bridge, nic);
    this.offloads(this.netns, nic, 'ovs');
    this.mapNetwork(network, bridge, nic);
    run(['ip', '-n', this.netns, 'link', 'set', nic, 'up']);
  }

  /** Maps the network to a bridge that is there. */
  mapNetwork(network: string, bridge: string, nic: string): void {
    this.mappings.set(network, bridge);
    const text = [...this.mappings].map((pair) => pair.join(':')).join(',');
    this.vsctl('set', 'Open_vSwitch', '.', `external_ids:ovn-bridge-mappings="${text}"`);
    if (this.place.datapath === 'netdev') {
      run(['ethtool', '-K', nic, 'rxvlan', 'off', 'txvlan', 'off'], { netns: this.netns });
    }
  }

  /** ofproto/trace on br-int: what OVS would do with a flow (ovs-vswitchd(8)). */
  ofprotoTrace(device: string, flow: string): string {
    return this.appctl('ovs-vswitchd', 'ofproto/trace', 'br-int', `in_port=${device},${flow}`);
  }

  private daemon(...argv: readonly string[]): void {
    run([...argv, '--detach', '--no-chdir', '--pidfile', '--log-file', '-vconsole:off'],
      { netns: this.netns, env: this.env });
  }

  private createDevices(): void {
    const { netns, fabricNetns, fabricPort } = this.place;
    run(['ip', 'netns', 'add', netns]);
    quietNetns(netns);
    run(['ip', '-n', fabricNetns, 'link', 'add', fabricPort, 'mtu', `${underlayMtu}`,
      'type', 'veth', 'peer', 'name', uplink, 'mtu', `${underlayMtu}`, 'netns', netns]);
    run(['ip', '-n', fabricNetns, 'link', 'set', fabricPort, 'master', 'fabric', 'up']);
    run(['ip', '-n', netns, 'link', 'set', uplink, 'up']);
    run(['ip', '-n', netns, 'link', 'set', 'lo', 'up']);
    this.offloads(fabricNetns, fabricPort, 'receiver');
    this.offloads(netns, uplink, 'ovs');
  }

  private startOvs(): void {
    const conf = join(this.dir, 'conf.db');
    run(['ovsdb-tool', 'create', conf, join(packageData, 'openvswitch/vswitch.ovsschema')]);
    this.daemon('ovsdb-server', conf, `--remote=p${this.ovsDb}`,
      `--unixctl=${join(this.dir, 'ovsdb.ctl')}`);
    const { southbound, encap, datapath } = this.place;
    const ids = {
      'system-id': this.name, 'ovn-remote': southbound, 'ovn-encap-type': 'geneve',
      'ovn-encap-ip': this.encapIp, 'ovn-encap-csum': `${encap.csum}`,
      'ovn-bridge-datapath-type': datapath, 'ovn-monitor-all': 'true',
    };
    this.vsctl('--no-wait', 'init', '--', 'set', 'Open_vSwitch', '.',
      ...Object.entries(ids).map(([key, value]) => `external_ids:${key}="${value}"`));
    this.daemon('ovs-vswitchd', ...datapath === 'netdev' ? ['--disable-system'] : [], this.ovsDb);
  }

  /** OVS tunnels natively only through a bridge whose own port carries the encap IP. */
  private createPhysicalBridge(): void {
    this.vsctl('add-br', physicalBridge,
      '--', 'set', 'Bridge', physicalBridge, 'datapath_type=netdev', 'fail_mode=standalone',
      `other_config:hwaddr="${this.link(uplink).address}"`,
      '--', 'set', 'Interface', physicalBridge, `mtu_request=${underlayMtu}`,
      '--', 'add-port', physicalBridge, uplink);
    run(['ip', '-n', this.netns, 'link', 'set', physicalBridge, 'up']);
    this.addEncapAddress(physicalBridge);
  }

  private addEncapAddress(device: string): void {
    const { netns, encap } = this.place;
    if (encap.family === 6) {
      run(['sysctl', '-qw', `net.ipv6.conf.${device}.disable_ipv6=0`], { netns });
    }
    run(['ip', '-n', netns, 'address', 'add', `${this.encapIp}/${encap.family === 4 ? 16 : 64}`,
      'dev', device, ...encap.family === 6 ? ['nodad'] : []]);
  }

  /** Userspace OVS takes frames as they are on the wire; the kernel's datapath any. */
  offloads(netns: string, device: string, set: keyof typeof offloadSets): void {
    if (this.place.datapath === 'netdev') {
      run(['ethtool', '-K', device, ...offloadSets[set]], { netns });
    }
  }

  private startController(): void {
    this.daemon('ovn-controller', this.ovsDb);
  }

  /** Waits until ovn-controller has made br-int. */
  async ready(): Promise<void> {
    await until(`br-int on ${this.name}`, 15_000,
      () => this.vsctl('list-br').split('\n').includes('br-int'));
  }
}

/** No router solicitations, duplicate address detection or link-local addresses. */
export function quietNetns(netns: string): void {
  run(['sysctl', '-qw', ...['all', 'default'].flatMap((dev) => [
    `net.ipv6.conf.${dev}.disable_ipv6=1`, `net.ipv6.conf.${dev}.accept_dad=0`,
    `net.ipv6.conf.${dev}.autoconf=0`, `net.ipv6.conf.${dev}.accept_ra=0`,
  ])], { netns });
}

const offloadSets = {
  /** Read by OVS with AF_PACKET: every frame as it was on the wire. */
  ovs: ['gro', 'off', 'gso', 'off', 'tso', 'off', 'tx', 'off'],
  /**
   * Peer of a device into which programs redirect: a veth takes XDP frames only when its
   * peer polls by NAPI, which GRO turns on. Transmit checksums are real, because userspace
   * OVS hands on what it reads.
   */
  receiver: ['gro', 'on', 'gso', 'off', 'tso', 'off', 'tx', 'off'],
} as const;
