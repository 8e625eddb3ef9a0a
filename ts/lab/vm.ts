/** A VM: a namespace (or, for raw frames, only a device) at the other end of a VIF's veth. */
import { quietNetns, type Chassis } from './chassis.js';
import { run } from './exec.js';
import { Host } from './host.js';

export interface VmSpec {
  readonly chassis: string;
  /** Name of the device on the chassis (at most 15 bytes), and of the logical switch port. */
  readonly port: string;
  /** The logical switch port, when it has another name than the device. */
  readonly lport?: string;
  readonly mac: string;
  /** With prefix length: 10.0.1.11/24, fd00:1::11/64. Empty for a raw VM. */
  readonly ips: readonly string[];
  readonly gateways?: readonly string[];
  /** Destination to next hop, beside the default routes. */
  readonly routes?: Readonly<Record<string, string>>;
  /** A localport, such as Neutron's metadata agent has on every chassis; never `up`. */
  readonly everywhere?: boolean;
  /**
   * No IP stack at all, and the device sits in the lab's one namespace for raw devices under
   * the port's name, so that what arrives is what was sent and nothing else.
   */
  readonly raw?: boolean;
}

export const vmMtu = 1500;

export class Vm extends Host {
  readonly device: string;

  constructor(readonly spec: VmSpec, readonly chassis: Chassis, netns: string) {
    super(spec.port, netns, spec.ips);
    this.device = spec.raw === true ? spec.port : 'eth0';
  }

  get port(): string { return this.spec.port; }
  get lport(): string { return this.spec.lport ?? this.spec.port; }

  start(): void {
    const { spec, chassis, netns, device } = this;
    if (spec.raw !== true) {
      run(['ip', 'netns', 'add', netns]);
      quietNetns(netns);
      if (spec.ips.some((ip) => ip.includes(':'))) {
        run(['sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=0',
          'net.ipv6.conf.default.disable_ipv6=0'], { netns });
      }
    }
    run(['ip', '-n', chassis.netns, 'link', 'add', spec.port, 'mtu', `${vmMtu}`, 'type', 'veth',
      'peer', 'name', device, 'mtu', `${vmMtu}`, 'address', spec.mac, 'netns', netns]);
    chassis.offloads(chassis.netns, spec.port, 'ovs');
    chassis.offloads(netns, device, 'receiver');
    run(['ip', '-n', chassis.netns, 'link', 'set', spec.port, 'arp', 'off', 'up']);
    run(['ip', '-n', netns, 'link', 'set', device,
      ...spec.raw === true ? ['arp', 'off'] : [], 'up']);
    if (spec.raw !== true) this.configureAddresses();
    chassis.addVif(spec.port, this.lport);
  }

  private configureAddresses(): void {
    const { spec, netns, device } = this;
    run(['ip', '-n', netns, 'link', 'set', 'lo', 'up']);
    for (const ip of spec.ips) {
      run(['ip', '-n', netns, 'address', 'add', ip, 'dev', device,
        ...ip.includes(':') ? ['nodad'] : []]);
    }
    for (const gateway of spec.gateways ?? []) {
      run(['ip', '-n', netns, 'route', 'add', 'default', 'via', gateway]);
    }
    for (const [to, via] of Object.entries(spec.routes ?? {})) {
      run(['ip', '-n', netns, 'route', 'add', to, 'via', via]);
    }
  }
}
