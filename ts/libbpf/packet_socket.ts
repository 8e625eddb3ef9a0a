import type * as Native from '../../native/index.js';
import { native } from './native.js';

export interface PacketSocketOptions {
  readonly device: string;
  /** The network namespace of the device ("/run/netns/x"); default: this thread's. */
  readonly netns?: string;
  readonly promiscuous?: boolean;
}

/**
 * A raw socket on a device, for tests and labs: sends frames as they are, receives what arrives
 * (not what is sent from this host), VLAN tags included.
 */
export class PacketSocket {
  readonly #native: Native.PacketSocket;

  private constructor(made: Native.PacketSocket) { this.#native = made; }

  static open(options: PacketSocketOptions): PacketSocket {
    return new PacketSocket(new native.PacketSocket(
      options.device, options.promiscuous ?? false, options.netns));
  }

  /** False: the device's queue is full. */
  send(frame: Uint8Array): boolean { return this.#native.sendBatch([frame]) === 1; }

  /** How many were taken; fewer than given when the device's queue is full. */
  sendBatch(frames: readonly Uint8Array[]): number { return this.#native.sendBatch(frames); }

  /** What has arrived, at most `limit` frames. Never waits. */
  receive(limit = 4096): Uint8Array[] { return this.#native.receive(limit); }

  /** Frames that arrived while the socket's buffer was full. */
  get drops(): number { return this.#native.drops; }
  close(): void { this.#native.close(); }
  [Symbol.dispose](): void { this.close(); }
}
