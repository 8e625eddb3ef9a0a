/**
 * The dataplane with the tables of a whole Southbound database, attached to nothing: frames
 * go through BPF_PROG_TEST_RUN as if they came from the device that is chosen.
 */
import { join } from 'node:path';
import { cacheState, ctControl, ctMode, iface, ifaceKey, providerKey, trace, type Trace }
  from '../abi/generated.js';
import type { Desired } from '../compile/model.js';
import {
  forwardProgram, isPinned, objectDir, traceProgram, type ProgramKind,
} from '../daemon/dataplane.js';
import { KernelPort } from '../daemon/kernel_port.js';
import { BpfObject, u32Bytes, type BpfMap, type BpfProgram, type Variable } from '../libbpf/mod.js';
import { Sync, type Applied } from '../sync/apply.js';
import type { Placement } from '../sync/image.js';
import type { Bytes, MapName } from '../sync/port.js';
import { decodeUuid } from '../sync/wire.js';

/** ifindex of the loopback device, which all frames of a test run come from. */
const LO = 1;
export const UPLINK = 1000, PROVIDER = 1001;
const FIRST_VIF = 1002;
const nics: Readonly<Record<string, number>> = { uplink: UPLINK, provider: PROVIDER };
const MTU = 1500, UPLINK_MTU = 1700;

/** Targets of redirects must be devices that exist: all are the loopback device. */
class PortOnLo extends KernelPort {
  override put(map: MapName, entries: readonly (readonly [Bytes, Bytes])[]): void {
    super.put(map, map === 'devmap' ? entries.map(([key]) => [key, u32Bytes(LO)]) : entries);
  }
}

/** Every local port has a device, every remote chassis answers on the underlay, every provider
 * bridge has the one NIC. */
function placementOf(desired: Desired): Placement {
  const vifs = [...desired.ports.values()].flatMap(({ device }) =>
    device === undefined ? [] : [device]);
  return {
    devices: new Map(vifs.map((name, i) =>
      [name, { ifindex: FIRST_VIF + i, mtu: MTU, target: true }])),
    uplinks: [{ ifindex: UPLINK, mtu: UPLINK_MTU, target: true }],
    providers: new Map([...desired.ports.values()].flatMap(({ bridge }) => bridge === undefined ? []
      : [[bridge, { ifindex: PROVIDER, mtu: MTU, target: true, bridgeMac: [0, 0] }] as const])),
    nextHops: new Map([...desired.tunnels.keys()].map((ip) => [ip, {
      ifindex: UPLINK, mtu: UPLINK_MTU, ethDst: Uint8Array.of(2, 0, 0, 0, 9, 2),
      ethSrc: Uint8Array.of(2, 0, 0, 0, 9, 1) }])),
  };
}

export class Tables {
  private placement: Placement | undefined;
  private readonly sync: Sync;

  private constructor(private readonly objects: readonly BpfObject[],
    private readonly maps: ReadonlyMap<string, BpfMap>, private readonly port: KernelPort,
    readonly forward: BpfProgram, readonly tracer: BpfProgram) {
    this.sync = new Sync(port);
  }

  /** Loads the programs of one hook: from build/bpf, or the folder that OVN_XDP_BPF names. */
  static load(kind: ProgramKind = 'xdp', folder = objectDir): Tables {
    const objects = (kind === 'xdp' ? ['xdp'] as const : ['xdp', kind] as const).map((name) =>
      BpfObject.open(join(folder, `${name}.bpf.o`)));
    const maps = new Map<string, BpfMap>();
    for (const object of objects) {
      const shared = object.maps.filter(({ name }) => isPinned(name));
      for (const { name } of shared) {
        const reuse = maps.get(name);
        if (reuse) object.changeMap(name, { reuse });
      }
      object.load();
      for (const { name } of shared) if (!maps.has(name)) maps.set(name, object.map(name));
    }
    const programs = objects.at(-1)!;
    return new Tables(objects, maps, new PortOnLo(maps), programs.program(forwardProgram(kind)),
      programs.program(traceProgram(kind)));
  }

  close(): void {
    this.port.close();
    for (const map of this.maps.values()) map.close();
    this.forward.close();
    this.tracer.close();
    for (const object of this.objects) object.close();
  }

  /** A global variable of the programs. */
  variable(name: string): Variable | undefined { return this.objects.at(-1)?.variable(name); }

  map(name: string): BpfMap | undefined { return this.maps.get(name); }

  /** Whether the connection cache decides about the frame once it was seen. The cache is a
   * CPU's own, and nothing keeps this thread on one, so a few looks are needed. */
  caches(frame: Bytes): boolean {
    return Array.from({ length: 8 }).some(() => {
      this.forward.testRun({ data: frame });
      return this.trace(frame).cache === cacheState.CACHE_SAME;
    });
  }

  /** Has connections tracked, if this dataplane can: with the kernel's default timeouts. */
  trackConnections(): void {
    const timeouts = [120, 60, 432000, 120, 120, 10, 30, 120, 30, 600];
    this.maps.get('ct_control')?.update(u32Bytes(0), ctControl.toBytes({
      mode: ctMode.CT_ON, watermark: 1 << 20, foreign_age: 600, kernel: 0, timeouts,
      ports: { low: 1024, high: 32767 } }));
  }

  async apply(desired: Desired): Promise<Applied> {
    this.placement = placementOf(desired);
    return this.sync.apply({ desired, placement: this.placement });
  }

  /** From now on frames of `by` (test runs: the loopback device) are this local port's, the
   * uplink's, or the provider NIC's. */
  enter(device: string, by = LO): void {
    const ifindex = this.indexOf(device);
    for (const buffer of [0, 1]) {
      const value = this.maps.get('ifaces')?.lookup(ifaceKey.toBytes({ buffer, ifindex }));
      if (value === undefined) throw new Error(`no entry for ${device} in ifaces`);
      this.maps.get('ifaces')?.update(ifaceKey.toBytes({ buffer, ifindex: by }),
        iface.toBytes(iface.fromBytes(value)));
    }
    // Which addresses of its network are OVN's goes by the device, too.
    const providers = this.maps.get('providers');
    for (const [key, value] of [...providers?.entries() ?? []]) {
      const at = providerKey.fromBytes(key);
      if (at.ifindex !== ifindex) continue;
      providers?.update(providerKey.toBytes({ ...at, ifindex: by }), value);
    }
  }

  /** From now on frames to this local port, or to the uplink, really leave by `by`. */
  leave(device: string, by: number): void {
    this.maps.get('devmap')?.update(u32Bytes(this.indexOf(device)), u32Bytes(by));
  }

  private indexOf(device: string): number {
    const ifindex = nics[device] ?? this.placement?.devices.get(device)?.ifindex;
    if (ifindex === undefined) throw new Error(`no device ${device} in these tables`);
    return ifindex;
  }

  /** The logical flow with this index. */
  uuid(flow: number): string {
    return decodeUuid(this.maps.get('flow_uuids')?.lookup(u32Bytes(flow)) ?? new Uint8Array(16));
  }

  trace(frame: Bytes): Trace {
    this.tracer.testRun({ data: frame });
    return this.traced();
  }

  /** What `tracer` has seen last. */
  traced(): Trace {
    const out = this.maps.get('trace_out')?.lookup(u32Bytes(0));
    if (out === undefined) throw new Error('the dataplane has no trace_out');
    return trace.fromBytes(out);
  }
}
