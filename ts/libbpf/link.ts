import { unlinkSync } from 'node:fs';
import type * as Native from '../../native/index.js';
import { attachTypes } from './kinds.js';
import { native } from './native.js';
import type { BpfProgram } from './program.js';

/** XDP_FLAGS_* of linux/if_link.h. drv: in the driver, before an sk_buff exists; skb: generic. */
const xdpModes = Object.freeze({ skb: 1 << 1, drv: 1 << 2, hw: 1 << 3 });
export type XdpMode = keyof typeof xdpModes;
/** By XDP_ATTACHED_*. */
const attachedModes = ['none', 'drv', 'skb', 'hw', 'multi'] as const;
/** BPF_F_BEFORE and BPF_F_AFTER: without another link named, first and last of all. */
const tcxPlaces = Object.freeze({ first: 1 << 3, last: 1 << 4 });
const tcPoints = Object.freeze({ ingress: 1, egress: 2 });

export type Direction = 'ingress' | 'egress';

export interface LinkInfo {
  readonly id: number;
  readonly programId: number;
  readonly kind: 'xdp' | 'tcx_ingress' | 'tcx_egress' | 'other';
  /** 0: the device is gone, and the link holds nothing. */
  readonly ifindex: number | undefined;
}

/**
 * A program attached to a device. Closing the last descriptor of a link that is not pinned
 * detaches it; the process's end does the same. The device is looked up in the network
 * namespace of the calling thread (see inNetns).
 */
export class BpfLink {
  readonly #handle: Native.Handle;

  private constructor(handle: Native.Handle) { this.#handle = handle; }

  /** EBUSY: the device has another XDP program. EOPNOTSUPP: its driver has no native XDP.
   * EINVAL: no such device, or the program is not XDP. */
  static attachXdp(program: BpfProgram, ifindex: number, mode: XdpMode): BpfLink {
    return new BpfLink(
      native.linkCreate(program.fd, ifindex, attachTypes.xdp, xdpModes[mode]));
  }

  /** Linux 6.6 and later; EINVAL before. `place`: among the other tcx programs, default last. */
  static attachTcx(program: BpfProgram, ifindex: number, direction: Direction,
    place?: 'first' | 'last'): BpfLink {
    const flags = place === undefined ? 0 : tcxPlaces[place];
    return new BpfLink(
      native.linkCreate(program.fd, ifindex, attachTypes[`tcx_${direction}`], flags));
  }

  static openPinned(path: string): BpfLink {
    return new BpfLink(native.openPinned(path, 'link'));
  }

  /** Valid until close(). */
  get fd(): number { return this.#handle.fd; }

  get info(): LinkInfo {
    const { id, programId, ifindex, attachType } = native.linkInfo(this.fd);
    const kind = attachType === attachTypes.xdp ? 'xdp'
      : attachType === attachTypes.tcx_ingress ? 'tcx_ingress'
        : attachType === attachTypes.tcx_egress ? 'tcx_egress' : 'other';
    return { id, programId, kind, ifindex };
  }

  /** Puts another program in place: each packet sees the old one or the new one. With
   * `expected`, EPERM when the attached program is another. */
  update(program: BpfProgram, expected?: BpfProgram): void {
    native.linkUpdate(this.fd, program.fd, expected?.fd);
  }

  /** Detaches at once, whoever else holds or has pinned the link. */
  detach(): void { native.linkDetach(this.fd); }
  pin(path: string): void { native.pin(this.fd, path); }
  close(): void { this.#handle.close(); }
  [Symbol.dispose](): void { this.close(); }
}

/**
 * A program as a clsact filter: the way before tcx. It is not a link: it stays when the process
 * ends, until detach().
 */
export class TcFilter {
  /** `madeQdisc`: the clsact qdisc was added for this one. */
  private constructor(
    readonly ifindex: number, readonly direction: Direction,
    readonly handle: number, readonly priority: number, readonly madeQdisc = false) {}

  /**
   * Adds the clsact qdisc if there is none, then the filter, replacing one of the same handle
   * and priority. A lower priority runs earlier.
   */
  static attach(program: BpfProgram, ifindex: number, direction: Direction,
    options: { handle?: number; priority?: number } = {}): TcFilter {
    const { handle = 1, priority = 1 } = options;
    const madeQdisc = native.tcHookCreate(ifindex, tcPoints[direction]);
    native.tcAttach(ifindex, tcPoints[direction], program.fd, handle, priority, true);
    return new TcFilter(ifindex, direction, handle, priority, madeQdisc);
  }

  /** A filter that was attached before, by another process maybe. */
  static at(ifindex: number, direction: Direction, handle: number, priority: number): TcFilter {
    return new TcFilter(ifindex, direction, handle, priority);
  }

  /** ENOENT: there is no such filter. EINVAL: no such device, or it has no clsact qdisc. */
  detach(): void {
    native.tcDetach(this.ifindex, tcPoints[this.direction], this.handle, this.priority);
  }

  /** Removes the clsact qdisc with all filters of both directions, whosever they are. */
  static removeQdisc(ifindex: number): void {
    native.tcHookDestroy(ifindex, tcPoints.ingress | tcPoints.egress);
  }
}

export interface XdpAttachment {
  readonly mode: typeof attachedModes[number];
  /** Program ids; 0: none in this mode. */
  readonly drv: number;
  readonly skb: number;
  readonly hw: number;
}

/** The XDP programs of a device, whoever attached them. */
export function queryXdp(ifindex: number): XdpAttachment {
  const found = native.xdpQuery(ifindex);
  return { ...found, mode: attachedModes[found.mode] ?? 'none' };
}

/** Ids of a device's tcx programs in the order they run. EINVAL before Linux 6.6. */
export function queryTcx(ifindex: number, direction: Direction): number[] {
  return native.programQuery(ifindex, attachTypes[`tcx_${direction}`]);
}

/**
 * Makes sure that there is a BPF file system at `path`, an existing folder, for pins. True: it
 * was mounted now (for root only), in this process's mount namespace; "/sys/fs/bpf" is mounted
 * by systemd, but not in containers.
 */
export function ensureBpffs(path = '/sys/fs/bpf'): boolean { return native.mountBpffs(path); }

/** Removes a pin of a map, program or link. True: there was one. */
export function unpin(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
