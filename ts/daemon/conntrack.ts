/**
 * Connections, as the agent minds them: who takes new ones (docs/connections.md, "One owner"),
 * what OVS tracks already, time-outs, and the collector. The mode is in the pinned ct_control,
 * so it survives the agent.
 */
import { ctCollect, ctControl as ctControlCodec, foreign as foreignCodec, puntReason,
  type CtCollect, type CtControl } from '../abi/generated.js';
import { log } from '../base/log.js';
import { monotonicMs } from '../conntrack/entry.js';
import { ours } from '../conntrack/filter.js';
import { foreignKeys, parseDumpLine } from '../conntrack/ovs_dump.js';
import { inBlock, PoolWatch, readPools } from '../conntrack/pools.js';
import { proto } from '../conntrack/tuple.js';
import { foreignAgeSeconds, readCtSettings } from '../conntrack/settings.js';
import { connectionCount, flush, foreignCount, mapOf, readCtControl, readCtStats, type Maps }
  from '../conntrack/table.js';
import { u32Bytes } from '../libbpf/map.js';
import type { BpfProgram } from '../libbpf/program.js';
import type { LocalChassis } from '../vswitch/local.js';
import { dumpConntrack, findVswitchd } from './control_vswitchd.js';

export type Mode = 'off' | 'observe' | 'on' | 'drain';
const modeNames: readonly Mode[] = ['off', 'observe', 'on', 'drain'];

export interface ConntrackStatus {
  readonly mode: Mode;
  readonly entries: number;
  readonly capacity: number;
  /** Entries from which on new connections are OVS's. */
  readonly watermark: number;
  readonly foreign_entries: number;
  readonly foreign_capacity: number;
  /** Why new connections are left to OVS although nobody asked for it; else empty. */
  readonly problem: string;
}
export interface ConntrackOptions {
  readonly maps: Maps;
  readonly collect: BpfProgram;
  readonly expire: BpfProgram;
  readonly ovsDb: string;
  /** Makes a change that cached packets depend on (sync/versions.ts). */
  readonly during: (change: () => void) => void;
  /** Something changed that a pass should see. */
  readonly wake: () => void;
  /** After each run of the collector. */
  readonly onCollect?: ((seconds: number) => void) | undefined;
}

/** Between two passes of the collector: at least an RCU grace period (bpf/ct_collect.h). */
const leastMs = 1000;
const mostMs = 10_000;
const countForeignMs = 15_000;
const retryMs = 2000;
const mostRetryMs = 60_000;
/** What OVS has read from a device before our program took it is tracked by then. */
const settleMs = 200;
const batchKeys = 1024;
/** Between two looks at whether pools of ports are full, each of which may ask OVS for all its
 * connections. */
const poolsMs = 30_000;

/** How long the collector rests: the fuller the table the shorter, but it takes no more than
 * a tenth of one CPU. */
export function restMs(fill: number, tookMs: number): number {
  const wanted = mostMs * (1 - Math.min(1, Math.max(0, fill)));
  return Math.max(leastMs, Math.min(mostMs, wanted), Math.min(9 * tookMs, 6 * mostMs));
}

const zero = u32Bytes(0);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms); });

export class Conntrack {
  readonly #options: ConntrackOptions;
  readonly #tableSize: number;
  readonly #pools: PoolWatch;
  #poolsAt = -Infinity;
  #control: CtControl;
  #capacity: number;
  #problems = '';
  #problem = '';
  /** Bumped when OVS may have got connections that we do not know of. */
  #unknown = 0;
  #takingOver: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #collecting: Promise<void> | undefined;
  #collected: CtCollect = { live: 0n, expired: 0n, deleted: 0n };
  #deletedTotal = 0;
  #foreign = 0;
  #foreignAt = -Infinity;
  #closed = false;

  constructor(options: ConntrackOptions) {
    this.#options = options;
    this.#tableSize = mapOf(options.maps, 'conns').info.maxEntries;
    this.#capacity = this.#tableSize;
    this.#pools = new PoolWatch(mapOf(options.maps, 'nat_pools'));
    this.#control = readCtControl(options.maps);
    if (this.mode === 'off') {
      this.configure(new Map(), false);
      this.#setMode('observe');
    }
    this.#schedule(leastMs);
  }

  get mode(): Mode { return modeNames[this.#control.mode] ?? 'off'; }
  get entries(): number { return connectionCount(this.#options.maps); }
  /** New connections are OVS's and ours have ended: the programs can go. */
  get drained(): boolean { return this.mode === 'drain' && this.entries <= 0; }

  /** `settings`: external_ids without "ovn-xdp-". `kernel`: OVS's datapath is the kernel's. */
  configure(settings: LocalChassis['settings'], kernel: boolean): void {
    const { value, problems } = readCtSettings(settings, this.#tableSize);
    const text = problems.join('; ');
    if (text !== this.#problems && text !== '') log('conntrack', 'WARN', text);
    this.#problems = text;
    this.#capacity = value.capacity;
    this.#write({ ...this.#control, watermark: value.watermark, timeouts: value.timeouts,
      ports: value.ports, foreign_age: foreignAgeSeconds, kernel: Number(kernel) });
  }

  /** Before programs come to devices whose packets OVS alone has seen: until OVS's connections
   * are known, new ones are OVS's. */
  observe(): void {
    this.#unknown += 1;
    if (this.mode === 'on') this.#setMode('observe');
  }

  /** After observe() and once the programs are there: reads what OVS tracks, then new
   * connections are ours. Does nothing unless that is pending. */
  takeOver(): void {
    if (this.mode !== 'observe' || this.#takingOver || this.#closed) return;
    this.#takingOver = this.#takeOver().finally(() => { this.#takingOver = undefined; });
  }

  drain(): void {
    this.#setMode('drain');
    this.#schedule(0);
    this.#options.wake();
  }

  undrain(): void {
    if (this.mode === 'drain') this.#setMode('observe');
    this.#options.wake();
  }

  /** Ends the connections of these zones. */
  async flushZones(zones: Iterable<number>): Promise<void> {
    for (const zone of zones) {
      const count = this.entries <= 0 ? 0
        : await flush(this.#options.maps, this.#options.expire, { ...ours, zone });
      log('conntrack', 'INFO', `zone ${zone} changed hands: ${count} connections ended`);
    }
  }

  status(): ConntrackStatus {
    return { mode: this.mode, entries: this.entries, capacity: this.#capacity,
      watermark: this.#control.watermark, foreign_entries: this.#foreign,
      foreign_capacity: mapOf(this.#options.maps, 'foreign').info.maxEntries,
      problem: this.#problem };
  }

  /** By enum ct_stat, and `deleted` by this agent's collector. */
  stats(): ReadonlyMap<string, number> {
    return readCtStats(this.#options.maps).set('deleted', this.#deletedTotal);
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await Promise.all([this.#collecting, this.#takingOver]);
  }

  #write(control: CtControl): void {
    const bytes = ctControlCodec.toBytes(control);
    if (Buffer.compare(bytes, ctControlCodec.toBytes(this.#control)) === 0) return;
    this.#options.during(() => {
      mapOf(this.#options.maps, 'ct_control').update(zero, bytes);
    });
    this.#control = control;
  }

  #setMode(mode: Mode): void {
    if (mode === this.mode) return;
    log('conntrack', 'INFO', `mode ${this.mode} -> ${mode}`);
    this.#write({ ...this.#control, mode: modeNames.indexOf(mode) });
  }

  async #takeOver(): Promise<void> {
    let known = -1, wait = retryMs;
    while (!this.#closed && this.mode === 'observe' && known !== this.#unknown) {
      const reading = this.#unknown;
      try {
        await sleep(settleMs);
        await this.#readOvs();
        known = reading;
        this.#problem = '';
      } catch (error) {
        const text = `OVS's connections are not known: ${
          error instanceof Error ? error.message : String(error)}`;
        if (text !== this.#problem) log('conntrack', 'WARN', text);
        this.#problem = text;
        for (let ms = 0; ms < wait && !this.#closed; ms += 100) await sleep(100);
        wait = Math.min(2 * wait, mostRetryMs);
      }
    }
    if (!this.#closed && this.mode === 'observe') this.#setMode('on');
  }

  /** Everything OVS tracks goes into `foreign`. Throws when it does not fit: the least used
   * entry would give way unseen, and then be taken for a new connection. */
  async #readOvs(): Promise<void> {
    const map = mapOf(this.#options.maps, 'foreign');
    const room = map.info.maxEntries / 2;
    let lines = 0, keys = 0, odd = 0;
    for await (const batch of dumpConntrack(findVswitchd(this.#options.ovsDb))) {
      if (this.#closed) return;
      const found = batch.filter((line) => line !== '').flatMap((line) => {
        lines += 1;
        const connection = parseDumpLine(line);
        if (!connection) odd += 1;
        // Only the first packet of TCP is ever asked for: first that of others.
        const spare = connection?.orig.proto === proto.tcp && keys > room / 2;
        return connection && !spare ? foreignKeys(connection) : [];
      });
      keys += found.length;
      if (keys > room) throw new Error(`they are more than ${room}, which is what fits`);
      noteForeign(map, found);
    }
    this.#foreignAt = -Infinity;
    log('conntrack', odd === 0 ? 'INFO' : 'WARN', `OVS tracks ${lines} connections, which stay ` +
      `its own${odd === 0 ? '' : `; ${odd} lines of them cannot be read`}`);
  }

  /** A pool of ports that was full gets another block, if OVS has nothing in it. */
  async #extendPools(now: number): Promise<void> {
    if (now - this.#poolsAt < poolsMs || this.#closed) return;
    this.#poolsAt = now;
    let wanted = this.#pools.short();
    if (wanted.length === 0) return;
    try {
      for await (const batch of dumpConntrack(findVswitchd(this.#options.ovsDb))) {
        const replies = batch.flatMap((line) => parseDumpLine(line)?.reply ?? []);
        wanted = wanted.filter((one) => !replies.some((reply) => inBlock(one, reply)));
      }
    } catch (error) {
      log('conntrack', 'WARN', `pools of ports stay as they are: ${String(error)}`);
      return;
    }
    for (const one of wanted) {
      log('conntrack', 'INFO',
        `ports of ${one.address}: ${one.block.low} to ${one.block.high} added`);
      this.#pools.extend(one);
    }
  }

  /** Pools of ports for source translation. */
  pools(): ReturnType<typeof readPools> {
    return readPools(mapOf(this.#options.maps, 'nat_pools'));
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#collecting) return;
    this.#timer = setTimeout(() => {
      this.#collecting = this.#collect().finally(() => { this.#collecting = undefined; })
        .then((rest) => { this.#schedule(rest); });
    }, ms);
  }

  /** Milliseconds until the next time. */
  async #collect(): Promise<number> {
    const began = performance.now();
    try {
      const { ctxOut } = await this.#options.collect.runSyscallAsync(
        new Uint8Array(ctCollect.size));
      this.#collected = ctCollect.fromBytes(ctxOut);
      this.#deletedTotal += Number(this.#collected.deleted);
      const took = performance.now() - began;
      this.#options.onCollect?.(took / 1000);
      if (began - this.#foreignAt > countForeignMs && !this.#closed) {
        this.#foreignAt = began;
        this.#foreign = await foreignCount(this.#options.maps);
      }
      await this.#extendPools(began);
      if (this.mode === 'drain') {
        if (this.#collected.deleted > 0n) this.#options.wake();
        return leastMs;
      }
      return restMs(this.entries / this.#control.watermark, took);
    } catch (error) {
      log('conntrack', 'ERR', `the collector failed: ${String(error)}`);
      return mostMs;
    }
  }
}

function noteForeign(map: ReturnType<typeof mapOf>, keys: readonly Uint8Array[]): void {
  const entry = foreignCodec.toBytes({ seen: BigInt(monotonicMs()),
    reason: puntReason.PUNT_CT_FOREIGN });
  for (let at = 0; at < keys.length; at += batchKeys) {
    const part = keys.slice(at, at + batchKeys);
    map.updateBatch(Buffer.concat(part), Buffer.concat(part.map(() => entry)), part.length);
  }
}

