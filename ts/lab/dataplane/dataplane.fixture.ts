/**
 * The loaded dataplane under BPF_PROG_TEST_RUN: hand-written tables in, frames in, verdicts
 * and frames out. Nothing is attached and no device is used: a test run's ingress device is
 * lo (ifindex 1), and every target in `devmap` is an alias of lo.
 */
import * as layout from '../../abi/generated.js';
import { u32Bytes, type BpfMap, type BpfProgram } from '../../libbpf/mod.js';
import { readDevices } from '../../daemon/counters.js';
import { encodeTuple } from '../../sync/wire.js';
import { stayOnOneCpu } from '../exec.js';
import { concat, ip4Bytes, ip6Bytes, mac, type Bytes } from '../packet.js';
import { hook, Loaded } from './loaded.fixture.js';

// ---- What a test says -----------------------------------------------------------------------

/** All numbers of abi.h under their names there. */
export const abi = {
  ...layout.flowWord, ...layout.opCode, ...layout.puntReason, ...layout.dropReason,
  ...layout.tcpState, ...layout.otherState, ...layout.ctMode, ...layout.ctTimeout,
  ...layout.ctStat, ...layout.portKind, ...layout.ifaceRole, ...layout.verdictKind,
  TABLE_EGRESS: layout.TABLE_EGRESS, TABLE_IN_PORT_SEC: layout.TABLE_IN_PORT_SEC,
  MAC_ANY: layout.MAC_ANY, MAC_IP4: layout.MAC_IP4,
} as const;
export const XDP = { aborted: 0, drop: 1, pass: 2, redirect: 4 } as const;
/** What TC says for the same. */
const tcActions: ReadonlyMap<number, number> = new Map(
  [[0xffffffff, XDP.pass], [2, XDP.drop], [7, XDP.redirect]]);
export { hook } from './loaded.fixture.js';

/** word, value, mask (all ones when absent) */
export type Term = readonly [word: number, value: number, mask?: number];
export type TestOp = Pick<layout.Op, 'code'> & Partial<layout.Op>;
export interface TestRule {
  readonly match?: readonly Term[]; readonly priority?: number; readonly flow?: number;
  readonly ops: readonly TestOp[]; readonly args?: readonly number[];
  /** In place of `ops`: a program that is its index. */
  readonly index?: number;
}
export interface Traced extends layout.Trace {
  /** `datapath/table` of each step. */
  readonly tables: readonly string[];
}
/** The tunnel's and, for `tunnel_sources`, the sender's addresses. */
export interface TestTunnel {
  readonly ready?: boolean; readonly csum?: boolean; readonly mtu?: number;
  readonly direct?: number; readonly local: string; readonly remote: string;
  readonly ethDst: string; readonly ethSrc: string;
}

/** ifindex of the device a test run's frame comes from. */
export const INGRESS = 1;
/** ifindex that tunnels send by. */
export const UNDERLAY = 200;
const ALL = 0xffffffff;

// ---- Ops in short ---------------------------------------------------------------------------

export const set = (dst: number, arg: number, mask = ALL): TestOp =>
  ({ code: abi.OP_SET, dst, arg, mask });
export const move = (dst: number, src: number, shift = 0, mask = ALL): TestOp =>
  ({ code: abi.OP_MOVE, dst, src, shift, mask });
export const next = (table: number): TestOp => ({ code: abi.OP_NEXT, imm: table });
export const output: TestOp = { code: abi.OP_OUTPUT };
export const decTtl: TestOp = { code: abi.OP_DEC_TTL };
/** Exchanges `count` words, through a scratch word. */
export const exchange = (a: number, b: number, count: number): readonly TestOp[] =>
  Array.from({ length: count }, (_, i) =>
    [move(abi.FW_TMP, a + i), move(a + i, b + i), move(b + i, abi.FW_TMP)]).flat();
/** outport = `port`; output, as most tests need it. */
export const outputTo = (port: number): Pick<TestRule, 'ops' | 'args'> =>
  ({ ops: [set(abi.FW_OUTPORT, 0), output], args: [port] });

/** A port that leads to `port` of `datapath`. */
export const patch = (datapath: number, port: number): Partial<layout.Port> =>
  ({ kind: abi.PORT_PATCH, peer_datapath: datapath, peer_port: port });

/** A MAC address as the flow vector holds it: high 16 bits, low 32. */
export function macWords(text: string): readonly [number, number] {
  const b = Buffer.from(mac(text));
  return [b.readUInt16BE(0), b.readUInt32BE(2)];
}
export const ip4Word = (text: string): number => Buffer.from(ip4Bytes(text)).readUInt32BE(0);
export function ip6Words(text: string): readonly number[] {
  const b = Buffer.from(ip6Bytes(text));
  return [0, 4, 8, 12].map((at) => b.readUInt32BE(at));
}
const address = (text: string): Bytes => text.includes(':') ? ip6Bytes(text) : ip4Bytes(text);
const padded = (bytes: Bytes, size: number): Bytes =>
  concat(bytes, new Uint8Array(size - bytes.length));

// ---- The kernel's side ----------------------------------------------------------------------

const classes = [
  { map: 'rules_s', words: layout.KEY_WORDS_S, key: layout.ruleKeyS },
  { map: 'rules_m', words: layout.KEY_WORDS_M, key: layout.ruleKeyM },
  { map: 'rules_l', words: layout.KEY_WORDS_L, key: layout.ruleKeyL },
] as const;
const keyClass = (size: number): number => classes.findIndex(({ words }) => size <= words);
/** Small, so that a test loads in milliseconds. */
const sizes: Readonly<Record<string, number>> = {
  cache: 256,
  conns: 1024, foreign: 1024, stages: 256, rules_s: 4096, rules_m: 4096, rules_l: 4096,
  flow_drops: 64, flow_uuids: 64, views: 256, single_rules: 256, rows: 16,
};

export class Dataplane {
  readonly forward: BpfProgram;
  readonly tracer: BpfProgram;
  readonly #shapes = new Map<string, number>();
  readonly #programs = new Map<string, number>();
  #stages = 0;
  /** What the next control() writes; no sets: every frame walks. */
  cacheSets = 0;
  generation = 0;
  #epoch = 0;
  #changes = 0;

  private constructor(private readonly loaded: Loaded) {
    this.forward = loaded.forward;
    this.tracer = loaded.tracer;
  }

  /** `more`: sizes of maps. */
  static load(more: Readonly<Record<string, number>> = {}): Dataplane {
    const plane = new Dataplane(Loaded.take({ ...sizes, ...more }));
    plane.control(1);
    plane.device(INGRESS);
    return plane;
  }

  close(): void { this.loaded.giveBack(); }

  /** Closed with the rest. */
  map(name: string): BpfMap { return this.#map(name); }

  /** Another program of the object; the caller closes it. */
  otherProgram(name: string): BpfProgram { return this.loaded.program(name); }

  #map(name: string): BpfMap { return this.loaded.map(name); }

  // ---- Tables: buffer 0 unless said -----------------------------------------------------------

  control(enabled: number, active = 0): void {
    if (this.cacheSets > 0) stayOnOneCpu();
    this.#map('control').update(u32Bytes(0),
      layout.control.toBytes({ active, generation: this.generation, enabled,
        cache_sets: this.cacheSets, epoch: this.#epoch }));
  }

  /** What sync/ does around every change that cached packets depend on. An agent that dies has
   * begun and not ended. */
  during(change: () => void): void {
    this.begin();
    change();
    this.end();
  }
  get begun(): boolean { return this.#changes > 0; }
  begin(): void { if ((this.#changes += 1) === 1) this.#setEpoch(); }
  end(): void { if ((this.#changes -= 1) === 0) this.#setEpoch(); }

  #setEpoch(): void {
    this.#epoch += 1;
    const control = layout.control.fromBytes(this.#map('control').lookup(u32Bytes(0))!);
    this.#map('control').update(u32Bytes(0),
      layout.control.toBytes({ ...control, epoch: this.#epoch }));
  }

  /** What the ingress device is; without a port an uplink. */
  ingress(datapath?: number, port = 0, buffer = 0, zone = 3): void {
    const role = datapath === undefined ? abi.IFACE_UPLINK : abi.IFACE_VIF;
    this.#map('ifaces').update(layout.ifaceKey.toBytes({ buffer, ifindex: INGRESS }),
      layout.iface.toBytes({ role, datapath: datapath ?? 0, port, mtu: 1500, zone, flags: 0 }));
  }

  datapath(datapath: number, buffer = 0): void {
    this.#map('datapaths').update(layout.datapathKey.toBytes({ buffer, datapath }),
      layout.datapath.toBytes({ flags: 0, dnat_zone: datapath * 10 + 1,
        snat_zone: datapath * 10 + 2, row: 0, generation: 1 }));
  }

  port(datapath: number, port: number, value: Partial<layout.Port>, buffer = 0): void {
    this.#map('ports').update(layout.portKey.toBytes({ buffer, datapath, port }),
      layout.port.toBytes({ kind: abi.PORT_LOCAL, ifindex: 0, tunnel: 0, peer_datapath: 0,
        peer_port: 0, zone: 0, reason: 0, mtu: 0, vlan: 0, mac: [0, 0], hides: 0, ...value }));
  }

  /** A device that can take frames: an alias of lo. */
  device(ifindex: number): void {
    this.#map('devmap').update(u32Bytes(ifindex), u32Bytes(INGRESS));
  }

  /** `told`: as sync/ writes it; else nobody can know. */
  tunnel(index: number, t: TestTunnel, told = true): void {
    const family = t.local.includes(':') ? 6 : 4;
    const local = padded(address(t.local), 16), remote = padded(address(t.remote), 16);
    const write = (): void => this.#map('tunnels').update(u32Bytes(index), layout.tunnel.toBytes({
      ready: t.ready === false ? 0 : 1, ifindex: UNDERLAY, family, csum: t.csum === true ? 1 : 0,
      mtu: t.mtu ?? 1500, local, remote, direct: t.direct ?? 0,
      eth_dst: mac(t.ethDst), eth_src: mac(t.ethSrc) }));
    if (told) this.during(write);
    else write();
    this.#map('tunnel_sources').update(
      layout.tunnelSourceKey.toBytes({ buffer: 0, family, remote, local }), u32Bytes(index));
  }

  macBinding(datapath: number, port: number, ip: readonly number[], to: string): void {
    const [mac_hi, mac_lo] = macWords(to);
    this.#map('mac_bindings').update(layout.macBindingKey.toBytes({ datapath, port, ip }),
      layout.macBinding.toBytes({ mac_hi, mac_lo }));
  }

  /** Writes the rules into a new stage, `perSlot` tuples to a slot, and dispatches to it. */
  table(datapath: number, table: number, rules: readonly TestRule[],
    { buffer = 0, perSlot = layout.STAGE_TUPLES } = {}): void {
    const best = new Map<number, number>();
    for (const rule of rules) {
      const tuple = this.#tuple(rule.match ?? []);
      best.set(tuple, Math.max(best.get(tuple) ?? 0, rule.priority ?? 100));
    }
    const order = [...best].sort((a, b) => b[1] - a[1])
      .map(([tuple, max_priority]) => ({ tuple, max_priority }));
    const first = this.#stages + 1;
    const slots = Math.max(1, Math.ceil(order.length / perSlot));
    this.#stages += slots;
    const slotOf = new Map(order.map(({ tuple }, i) => [tuple, first + Math.floor(i / perSlot)]));
    for (const rule of rules) this.#rule(slotOf.get(this.#tuple(rule.match ?? []))!, rule);
    for (let i = 0; i < slots; i++) {
      const tuples = order.slice(i * perSlot, (i + 1) * perSlot);
      this.#map('stages').update(u32Bytes(first + i), layout.stage.toBytes({
        ntuples: tuples.length, table, sets: 0, datapath_hint: datapath,
        more: i + 1 < slots ? first + i + 1 : 0, tuples }));
    }
    this.#map('dispatch').update(layout.dispatchKey.toBytes({ buffer, datapath, table }),
      u32Bytes(first));
  }

  #tuple(match: readonly Term[]): number {
    const word = match.map(([w]) => w), mask = match.map(([, , m]) => m ?? ALL);
    const name = JSON.stringify([word, mask]);
    const index = this.#shapes.get(name) ?? this.#shapes.size;
    if (this.#shapes.has(name)) return index;
    this.#shapes.set(name, index);
    this.#map('tuples').update(u32Bytes(index), encodeTuple({ words: word, masks: mask }));
    return index;
  }

  #rule(stage: number, rule: TestRule): void {
    const match = rule.match ?? [];
    const { map, key } = classes[keyClass(match.length)]!;
    const words = match.map(([, value, mask]) => (value & (mask ?? ALL)) >>> 0);
    this.#map(map).update(key.toBytes({ stage, tuple: this.#tuple(match), words }),
      layout.rule.toBytes({ priority: rule.priority ?? 100, flow: rule.flow ?? 0,
        program: rule.index ?? this.program(rule.ops), args: rule.args ?? [] }));
  }

  /** The program's index, which is OP_CALL's argument. */
  program(ops: readonly TestOp[]): number {
    const name = JSON.stringify(ops);
    const index = this.#programs.get(name) ?? this.#programs.size;
    if (this.#programs.has(name)) return index;
    this.#programs.set(name, index);
    const none = { dst: 0, src: 0, shift: 0, mask: 0, imm: 0, arg: 0 };
    this.#map('programs').update(u32Bytes(index), layout.program.toBytes({ nops: ops.length,
      ops: ops.map((op) => ({ ...none, ...op })) }));
    return index;
  }

  // ---- Frames and counters --------------------------------------------------------------------

  /** `action` is XDP's, whatever the hook. */
  run(frame: Bytes): { readonly action: number; readonly frame: Bytes } {
    const { retval, dataOut } = this.forward.testRun({ data: frame });
    const action = hook === 'xdp' ? retval : tcActions.get(retval) ?? XDP.aborted;
    return { action, frame: dataOut };
  }

  trace(frame: Bytes): Traced {
    this.tracer.testRun({ data: frame });
    return this.traced();
  }

  /** What the last run of the trace program wrote. */
  traced(): Traced {
    const traced = layout.trace.fromBytes(this.#map('trace_out').lookup(u32Bytes(0))!);
    return { ...traced, tables: traced.steps.slice(0, traced.nsteps)
      .map(({ datapath, table }) => `${datapath}/${table}`) };
  }

  /** Of all CPUs together. */
  counter(name: 'punts' | 'drops' | 'flow_drops', key: number) {
    const map = this.#map(name);
    const cells = map.perCpuValues(map.lookup(u32Bytes(key))!)
      .map((bytes) => layout.counter.fromBytes(bytes));
    return { packets: cells.reduce((sum, { packets }) => sum + Number(packets), 0),
      bytes: cells.reduce((sum, { bytes }) => sum + Number(bytes), 0) };
  }

  /** Frames of the ingress device: forwarded, dropped, punted. */
  ifaceCounters(): readonly number[] {
    const counters = readDevices(this.#map('iface_counters'), this.#map('iface_cells'))
      .get(INGRESS);
    return (['forwarded', 'dropped', 'punted'] as const).map((kind) =>
      Number(counters?.[kind].packets ?? 0n));
  }

  /** Every counted frame by cause: `{ 'punt MTU': 3, forwarded: 1 }`. */
  totals(): Readonly<Record<string, number>> {
    const [forwarded = 0] = this.ifaceCounters();
    const punts = layout.puntReasons.map(({ name }, key): [string, number] =>
      [`punt ${name}`, this.counter('punts', key).packets]);
    const drops = layout.dropReasons.map(({ name }, key): [string, number] =>
      [`drop ${name}`, this.counter('drops', key).packets]);
    return Object.fromEntries([['forwarded', forwarded] as [string, number], ...punts, ...drops]
      .filter(([, packets]) => packets > 0));
  }
}
