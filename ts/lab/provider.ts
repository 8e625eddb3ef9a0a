/**
 * A physical network beside the underlay: a bridge that hands on all frames, tagged or not, to
 * provider bridges of chassis (OVS, mapped by ovn-bridge-mappings) and to hosts outside OVN.
 */
import { join } from 'node:path';
import { packageRoot } from '../base/package_root.js';
import { BpfObject, ifNameToIndex, inNetns, TcFilter } from '../libbpf/mod.js';
import { physicalBridge, quietNetns, uplink, type Chassis } from './chassis.js';
import { run } from './exec.js';
import { Host } from './host.js';

export interface OutsideSpec {
  readonly name: string;
  readonly mac: string;
  /** With prefix length. */
  readonly ips: readonly string[];
  /** VLAN that the host is on; none: untagged. */
  readonly vlan?: number;
  /** [destination, gateway] */
  readonly routes?: readonly (readonly [string, string])[];
}

export const providerMtu = 1500;

export class Provider {
  /** Names of the chassis, and of the devices without an IP stack, that are connected. */
  readonly chassis: string[] = [];
  readonly raws: string[] = [];
  private readonly bridge: string;

  /** `fabricNetns`: the namespace that the bridge is in. */
  /** `shared`: the network is the underlay itself, and its NIC the chassis' uplink. */
  constructor(readonly network: string, private readonly fabricNetns: string,
    private readonly netnsOf: (name: string) => string, private readonly rawNetns: string,
    private readonly shared = false) {
    this.bridge = shared ? 'fabric' : `n-${network}`;
  }

  /** Names of the provider bridge and its NIC on every chassis. */
  get ovsBridge(): string { return this.shared ? physicalBridge : `br-${this.network}`; }
  get nic(): string { return this.shared ? uplink : `nic-${this.network}`; }
  /** The fabric's end of a chassis' NIC, where frames can be sent and seen. */
  fabricPortOf(chassis: string): string { return `${this.network}-${chassis}`; }

  start(): void {
    if (this.shared) return;
    run(['ip', '-n', this.fabricNetns, 'link', 'add', this.bridge, 'mtu', `${providerMtu}`,
      'type', 'bridge', 'mcast_snooping', '0', 'forward_delay', '0']);
    run(['ip', '-n', this.fabricNetns, 'link', 'set', this.bridge, 'up']);
  }

  /** Gives the chassis a NIC on this network and a provider bridge. */
  join(chassis: Chassis): void {
    if (this.shared) chassis.mapNetwork(this.network, this.ovsBridge, this.nic);
    else {
      this.connect(this.fabricPortOf(chassis.name), this.nic, chassis.netns);
      chassis.addProviderBridge(this.network, this.ovsBridge, this.nic);
    }
    this.chassis.push(chassis.name);
  }

  /** A host outside OVN, with an IP stack. */
  addHost(spec: OutsideSpec): Host {
    const netns = this.netnsOf(`out-${spec.name}`);
    run(['ip', 'netns', 'add', netns]);
    quietNetns(netns);
    run(['sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=0',
      'net.ipv6.conf.default.disable_ipv6=0'], { netns });
    this.connect(`${this.network}-${spec.name}`, 'eth0', netns, spec.mac);
    if (spec.vlan !== undefined) putOnVlan(netns, 'eth0', spec.vlan);
    run(['ip', '-n', netns, 'link', 'set', 'lo', 'up']);
    for (const ip of spec.ips) {
      run(['ip', '-n', netns, 'address', 'add', ip, 'dev', 'eth0',
        ...ip.includes(':') ? ['nodad'] : []]);
    }
    for (const [to, via] of spec.routes ?? []) {
      run(['ip', '-n', netns, 'route', 'add', to, 'via', via]);
    }
    return new Host(spec.name, netns, spec.ips);
  }

  /** A device on this network without an IP stack, in the namespace of raw devices. */
  addRaw(name: string): void {
    this.connect(`${this.network}-${name}`, name, this.rawNetns);
    run(['ip', '-n', this.rawNetns, 'link', 'set', name, 'arp', 'off']);
    this.raws.push(name);
  }

  /** A cable from the bridge to `device`; frames are on it as on a wire. */
  private connect(port: string, device: string, netns: string, mac?: string): void {
    run(['ip', '-n', this.fabricNetns, 'link', 'add', port, 'mtu', `${providerMtu}`,
      'type', 'veth', 'peer', 'name', device, 'mtu', `${providerMtu}`,
      ...mac === undefined ? [] : ['address', mac], 'netns', netns]);
    for (const [at, name] of [[this.fabricNetns, port], [netns, device]] as const) {
      run(['ethtool', '-K', name, 'gro', 'on', 'gso', 'off', 'tso', 'off', 'tx', 'off',
        'rxvlan', 'off', 'txvlan', 'off'], { netns: at });
    }
    run(['ip', '-n', this.fabricNetns, 'link', 'set', port, 'master', this.bridge, 'up']);
    run(['ip', '-n', netns, 'link', 'set', device, 'up']);
  }
}

/** Frames of the device are on this VLAN from now on (bpf/vlan_host.bpf.c). */
function putOnVlan(netns: string, device: string, vlan: number): void {
  const folder = process.env['OVN_XDP_BPF'] ?? join(packageRoot, 'build/bpf');
  const object = BpfObject.open(join(folder, 'vlan_host.bpf.o'));
  try {
    object.variable('vlan_id')?.set(vlan);
    object.load();
    inNetns(`/run/netns/${netns}`, () => {
      const ifindex = ifNameToIndex(device)!;
      for (const direction of ['ingress', 'egress'] as const) {
        using program = object.program(`vlan_host_${direction}`);
        TcFilter.attach(program, ifindex, direction);
      }
    });
  } finally {
    object.close();
  }
}
