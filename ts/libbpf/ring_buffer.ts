import type * as Native from '../../native/index.js';
import type { BpfMap } from './map.js';
import { native } from './native.js';

/** Records handed over at a time. */
const chunk = 256;

/** Ring buffers that someone waits for. The addon's callback holds its ring buffer weakly, so
 * that a forgotten one is collected; one that is awaited must not be. */
const awaited = new Set<RingBuffer>();

/**
 * The records of a ring buffer map, oldest first, as an async iterable for one reader:
 *
 *     for await (const record of RingBuffer.open(map)) ...
 *
 * A thread reads ahead up to `capacity` records and then lets the kernel's buffer fill, so that
 * a slow reader is felt by the BPF program, whose reserve fails. close() ends the iteration;
 * records not yet delivered are lost. An open ring buffer keeps the process alive only while
 * someone waits for a record.
 */
export class RingBuffer implements AsyncIterable<Uint8Array> {
  readonly #native: Native.RingBuffer;
  #ready: (() => void) | undefined;
  #closed = false;
  #reading = false;

  private constructor(map: BpfMap, capacity: number) {
    const self = new WeakRef(this);
    this.#native = new native.RingBuffer(map.fd, capacity, () => {
      const ring = self.deref();
      if (ring !== undefined) ring.#wake();
    });
  }

  /** The map may be closed afterwards. `capacity` in records. */
  static open(map: BpfMap, options: { capacity?: number } = {}): RingBuffer {
    return new RingBuffer(map, options.capacity ?? 4096);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    if (this.#reading) throw new Error('a ring buffer has one reader');
    this.#reading = true;
    try {
      while (!this.#closed) {
        const records = this.#native.take(chunk);
        for (const record of records) {
          if (this.#closed) return;
          yield record;
        }
        if (records.length === 0 && !this.#closed) await this.#wait();
      }
    } finally {
      this.#reading = false;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#native.close();
    this.#wake();
  }

  [Symbol.dispose](): void { this.close(); }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#ready = resolve;
      awaited.add(this);
      this.#native.wait(true);
    });
  }

  #wake(): void {
    awaited.delete(this);
    if (!this.#closed) this.#native.wait(false);
    this.#ready?.();
    this.#ready = undefined;
  }
}
