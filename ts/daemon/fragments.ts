/**
 * Fragments that came before the first of their datagram (bpf/hold.h). They wait here until that
 * one has come by, or for a moment, and are handed in again as if they had just been received: by
 * live test runs of the program that reads their device, so that what becomes of them is decided,
 * carried out and counted as of any frame.
 */
import { fragment as fragmentCodec, fragmentKey, fragmentWay, held as heldCodec, type Held }
  from '../abi/generated.js';
import { log } from '../base/log.js';
import { monotonicMs } from '../conntrack/entry.js';
import { mapOf, type Maps } from '../conntrack/table.js';
import { updateFlags } from '../libbpf/kinds.js';
import { u32Bytes, u64Bytes } from '../libbpf/map.js';
import type { BpfProgram } from '../libbpf/program.js';
import { RingBuffer } from '../libbpf/ring_buffer.js';

/** How long one waits for the first; one handed in then is left to OVS. */
export const waitMs = 150;
/** As FRAGMENT_AGE of bpf/fragment.h. */
const rememberedMs = 15_000;
const lookMs = 3;
/** The programs hold fragments for as long as this was not too long ago. */
const beatMs = 100, aliveMs = 400;
/** Held at a time; beyond it the oldest need not wait. */
export const mostHeld = 512;
/** Between two beats; when more come, none are held for a second: handing one in takes some 0.1
 * ms, and nobody may keep the agent busy with that. */
const mostPerBeat = 100;
export const restMs = 1000;

/** Why a fragment was handed in: its first one has come, has not, or others need the room. */
export const releases = ['first_seen', 'timeout', 'pressure'] as const;
export type Release = typeof releases[number];
export interface FragmentCounts {
  readonly handedIn: ReadonlyMap<Release, number>;
  /** The kernel did not take them: their device is gone. */
  readonly lost: number;
}

export interface FragmentOptions {
  readonly maps: Maps;
  /** For frames that were held by a program of XDP, and of TC, in the order of HOOK_*. */
  readonly programs: readonly [BpfProgram, BpfProgram];
}

interface Datagram { readonly key: Uint8Array; readonly since: number; readonly pieces: Held[] }

/** With its tag, which TC keeps beside the frame. */
function wholeFrame({ frame, len, tag }: Held): Uint8Array {
  const bytes = frame.slice(0, len);
  return tag === 0 ? bytes : Buffer.concat([bytes.subarray(0, 12),
    Uint8Array.of(0x81, 0, (tag >> 8) & 0xf, tag & 255), bytes.subarray(12)]);
}

/** struct xdp_md: a frame of the device's. */
function receivedBy(ifindex: number, length: number): Uint8Array {
  const ctx = new Uint8Array(24), view = new DataView(ctx.buffer);
  view.setUint32(4, length, true);
  view.setUint32(12, ifindex, true);
  return ctx;
}

export class Fragments {
  readonly #options: FragmentOptions;
  readonly #ring: RingBuffer;
  readonly #datagrams = new Map<string, Datagram>();
  readonly #handedIn = new Map<Release, number>(releases.map((why) => [why, 0]));
  readonly #beat: NodeJS.Timeout;
  readonly #reading: Promise<void>;
  #held = 0;
  #lost = 0;
  #taken = 0;
  #restUntil = 0;
  #timer: NodeJS.Timeout | undefined;

  /** What an agent before this one has left in the ring buffer is handed in. */
  constructor(options: FragmentOptions) {
    this.#options = options;
    this.#ring = RingBuffer.open(mapOf(options.maps, 'held'), { capacity: mostHeld / 2 });
    this.#reading = this.#read();
    this.#beat = setInterval(() => {
      this.#taken = 0;
      if (monotonicMs() >= this.#restUntil) this.#alive(aliveMs);
    }, beatMs);
    this.#alive(aliveMs);
  }

  get held(): number { return this.#held; }
  get counts(): FragmentCounts { return { handedIn: this.#handedIn, lost: this.#lost }; }

  /** Nothing is held any more, and all that is is handed in. */
  async close(): Promise<void> {
    clearInterval(this.#beat);
    this.#alive(0);
    // What a program has just held is on its way.
    await new Promise((resolve) => { setTimeout(resolve, lookMs); });
    this.#ring.close();
    await this.#reading;
    clearTimeout(this.#timer);
    for (const name of [...this.#datagrams.keys()]) this.#release(name, 'timeout');
  }

  #alive(ms: number): void {
    const until = BigInt(ms === 0 ? 0 : monotonicMs() + ms);
    mapOf(this.#options.maps, 'holding').update(u32Bytes(0), u64Bytes(until));
  }

  async #read(): Promise<void> {
    for await (const record of this.#ring) this.#take(record);
  }

  #take(record: Uint8Array): void {
    const piece = heldCodec.fromBytes(record), key = Uint8Array.from(
      record.subarray(0, fragmentKey.size));
    const name = Buffer.from(key).toString('hex');
    const datagram = this.#datagrams.get(name)
      ?? { key, since: Number(piece.since), pieces: [] };
    datagram.pieces.push(piece);
    this.#datagrams.set(name, datagram);
    this.#held += 1;
    this.#taken += 1;
    if (this.#taken === mostPerBeat) {
      this.#restUntil = monotonicMs() + restMs;
      this.#alive(0);
    }
    const [oldest] = this.#datagrams.keys();
    if (this.#held > mostHeld && oldest !== undefined) this.#release(oldest, 'pressure');
    this.#timer ??= setTimeout(() => { this.#look(); }, lookMs);
  }

  #look(): void {
    this.#timer = undefined;
    const now = monotonicMs();
    for (const [name, { key, since }] of [...this.#datagrams]) {
      const way = this.#wayOf(key, now);
      if (way !== undefined && way !== fragmentWay.FRAGMENT_DISORDER) {
        this.#release(name, 'first_seen');
      } else if (now >= since + waitMs) {
        this.#release(name, 'timeout');
      }
    }
    if (this.#held > 0) this.#timer = setTimeout(() => { this.#look(); }, lookMs);
  }

  /** What the programs remember of the datagram. */
  #wayOf(key: Uint8Array, now: number): number | undefined {
    const bytes = mapOf(this.#options.maps, 'fragments').lookup(key);
    if (!bytes) return undefined;
    const { seen, way } = fragmentCodec.fromBytes(bytes);
    return now > Number(seen) + rememberedMs ? undefined : way;
  }

  /** In the order in which they belong. */
  #release(name: string, why: Release): void {
    const datagram = this.#datagrams.get(name);
    if (!datagram) return;
    const { key, pieces } = datagram;
    this.#datagrams.delete(name);
    this.#held -= pieces.length;
    if (why !== 'first_seen') this.#leave(key);
    for (const piece of [...pieces].sort((a, b) => a.at - b.at)) this.#handIn(piece, why);
  }

  /** The datagram is OVS's, if its first fragment does not come this very moment. */
  #leave(key: Uint8Array): void {
    const map = mapOf(this.#options.maps, 'fragments');
    const now = monotonicMs(), old = map.lookup(key);
    if (old && now <= Number(fragmentCodec.fromBytes(old).seen) + rememberedMs) return;
    const entry = fragmentCodec.toBytes({ seen: BigInt(now), l4: 0, tcp_flags: 0, icmp_id: 0,
      end: 0, way: fragmentWay.FRAGMENT_DISORDER, began: [0, 0], got: 0, all: 0 });
    try {
      map.update(key, entry, old ? updateFlags.any : updateFlags.noExist);
    } catch (error) {
      log('fragments', 'DBG', `the first one came: ${String(error)}`);
    }
  }

  #handIn(piece: Held, why: Release): void {
    const data = wholeFrame(piece), program = this.#options.programs[piece.hook === 0 ? 0 : 1];
    try {
      program.testRun({ data, ctxIn: receivedBy(piece.key.ifindex, data.length),
        liveFrames: true, batchSize: 1 });
      this.#handedIn.set(why, (this.#handedIn.get(why) ?? 0) + 1);
    } catch (error) {
      this.#lost += 1;
      log('fragments', 'DBG', `device ${piece.key.ifindex} takes no frame: ${String(error)}`);
    }
  }
}
