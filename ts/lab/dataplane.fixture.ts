/**
 * The loaded dataplane under BPF_PROG_TEST_RUN: hand-written tables in, frames in, verdicts
 * and frames out. Nothing is attached and no device is used: a test run's ingress device is
 * lo (ifindex 1), and every target in `devmap` is an alias of lo.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { packageRoot } from '../base/package_root.js';
import { concat, ip4Bytes, ip6Bytes, mac, type Bytes } from './packet.js';
import * as abi from '../compile/words.js';

// ---- What a test says -----------------------------------------------------------------------

/** word, value, mask (all ones when absent) */
export type Term = readonly [word: number, value: number, mask?: number];
export interface TestOp {
  readonly code: number; readonly dst?: number; readonly src?: number; readonly shift?: number;
  readonly mask?: number; readonly imm?: number; readonly arg?: number;
}
export interface TestRule {
  readonly match?: readonly Term[]; readonly priority?: number; readonly flow?: number;
  readonly ops: readonly TestOp[]; readonly args?: readonly number[];
}
export interface Run { readonly action: number; readonly frame: Bytes }
export interface Counter { readonly packets: number; readonly bytes: number }
export interface Traced {
  readonly verdict: number; readonly reason: number; readonly flow: number;
  readonly ifindex: number; readonly tunnel: number; readonly words: Uint32Array;
  readonly tables: readonly string[];
}
export interface Iface { readonly role: number; readonly datapath?: number; readonly port?: number }
export interface TestPort {
  readonly kind: number; readonly ifindex?: number; readonly tunnel?: number;
  readonly peer?: readonly [datapath: number, port: number]; readonly zone?: number;
  readonly reason?: number; readonly mtu?: number;
}
export interface TestTunnel {
  readonly ready?: boolean; readonly csum?: boolean; readonly mtu?: number;
  readonly local: string; readonly remote: string; readonly ethDst: string;
  readonly ethSrc: string; readonly ifindex?: number;
}

export const VIF = 1, UPLINK = 2;
export const LOCAL = 1, REMOTE = 2, PATCH = 3, PUNT_PORT = 4;
export const XDP = { aborted: 0, drop: 1, pass: 2, tx: 3, redirect: 4 } as const;
export const VERDICT = { output: 1, tunnel: 2, drop: 3, punt: 4 } as const;
/** ifindex of the device a test run's frame comes from. */
export const INGRESS = 1;
const ALL = 0xffffffff;

/** Numbers of abi.h's reasons by name: `PUNT.MTU`. */
function reasons(list: string): Readonly<Record<string, number>> {
  const header = readFileSync(join(packageRoot, 'bpf/abi.h'), 'utf8');
  const body = header.split(`#define ${list}(X)`)[1]?.split('\n\n')[0] ?? '';
  return Object.fromEntries([...body.matchAll(/X\((\w+),/g)].map((match, i) => [match[1], i]));
}
export const PUNT = reasons('PUNT_REASONS');
export const DROP = reasons('DROP_REASONS');

// ---- Ops in short ---------------------------------------------------------------------------

export const set = (dst: number, arg: number, mask = ALL): TestOp =>
  ({ code: abi.OP_SET, dst, arg, mask });
export const move = (dst: number, src: number, shift = 0, mask = ALL): TestOp =>
  ({ code: abi.OP_MOVE, dst, src, shift, mask });
export const next = (table: number): TestOp => ({ code: abi.OP_NEXT, imm: table });
export const output: TestOp = { code: abi.OP_OUTPUT };
export const decTtl: TestOp = { code: abi.OP_DEC_TTL };
/** Exchanges `count` words, through the scratch words. */
export const exchange = (a: number, b: number, count: number): readonly TestOp[] =>
  Array.from({ length: count }, (_, i) =>
    [move(abi.FW_TMP, a + i), move(a + i, b + i), move(b + i, abi.FW_TMP)]).flat();
/** outport = `port`; output, as most tests need it. */
export const outputTo = (port: number): Pick<TestRule, 'ops' | 'args'> =>
  ({ ops: [set(abi.FW_OUTPORT, 0), output], args: [port] });

// ---- The kernel's side ----------------------------------------------------------------------

const words = (...values: readonly number[]): Bytes =>
  new Uint8Array(Uint32Array.from(values).buffer);
const halves = (...values: readonly number[]): Bytes =>
  new Uint8Array(Uint16Array.from(values).buffer);
const padded = (bytes: Bytes, size: number): Bytes =>
  concat(bytes, new Uint8Array(size - bytes.length));
const address = (text: string): Bytes =>
  text.includes(':') ? ip6Bytes(text) : padded(ip4Bytes(text), 16);

interface NativeMap {
  lookup(key: Bytes): Bytes | undefined; update(key: Bytes, value: Bytes): void;
  close(): void;
}
interface NativeProgram { readonly fd: number; close(): void }
interface NativeObject {
  setMap(name: string, changes: object): void; load(): void; close(): void;
  map(name: string): NativeMap; program(name: string): NativeProgram;
}
interface Native {
  Object: new (elf: Bytes, name: string) => NativeObject;
  programTestRun(fd: number, options: object): { retval: number; dataOut: Bytes };
}

const RULE_MAPS = [
  { name: 'rules_s', words: 2 }, { name: 'rules_m', words: 6 }, { name: 'rules_l', words: 16 },
] as const;
const sizes: Readonly<Record<string, number>> = {
  stages: 256, rules_s: 4096, rules_m: 4096, rules_l: 4096, flow_drops: 64, flow_uuids: 64,
};

export class Dataplane {
  private readonly maps = new Map<string, NativeMap>();
  private readonly shapes = new Map<string, number>();
  private readonly programs = new Map<string, number>();
  private stages = 0;

  private constructor(private readonly native: Native, private readonly object: NativeObject,
    private readonly forward: NativeProgram, private readonly tracer: NativeProgram) {}

  /** Loads `build/bpf/<file>.bpf.o`, or the folder OVN_XDP_BPF names, with small tables. */
  static load(file = 'xdp'): Dataplane {
    const native = createRequire(import.meta.url)(
      join(packageRoot, 'build/Release/ovn_xdp_native.node')) as Native;
    const folder = process.env['OVN_XDP_BPF'] ?? join(packageRoot, 'build/bpf');
    const object = new native.Object(readFileSync(join(folder, `${file}.bpf.o`)), file);
    for (const [name, maxEntries] of Object.entries(sizes)) object.setMap(name, { maxEntries });
    object.load();
    const plane = new Dataplane(native, object, object.program(`${file}_forward`),
      object.program(`${file}_trace`));
    plane.control(1);
    return plane;
  }

  close(): void {
    for (const map of this.maps.values()) map.close();
    this.forward.close();
    this.tracer.close();
    this.object.close();
  }

  private map(name: string): NativeMap {
    const map = this.maps.get(name) ?? this.object.map(name);
    this.maps.set(name, map);
    return map;
  }

  // ---- Tables: always buffer 0 unless said ----------------------------------------------------

  control(enabled: number, active = 0): void {
    this.map('control').update(words(0), words(active, 0, enabled));
  }

  iface({ role, datapath = 0, port = 0 }: Iface, buffer = 0): void {
    this.map('ifaces').update(words(buffer, INGRESS), words(role, datapath, port, 1500, 0));
  }

  datapath(key: number, buffer = 0): void {
    this.map('datapaths').update(words(buffer, key), words(0, key * 10 + 1, key * 10 + 2, 1));
  }

  port(datapath: number, key: number, port: TestPort, buffer = 0): void {
    const [peerDatapath, peerPort] = port.peer ?? [0, 0];
    this.map('ports').update(words(buffer, datapath, key), words(port.kind, port.ifindex ?? 0,
      port.tunnel ?? 0, peerDatapath, peerPort, port.zone ?? 0, port.reason ?? 0,
      port.mtu ?? 0));
  }

  /** A device that can take frames: an alias of lo. */
  device(ifindex: number): void {
    this.map('devmap').update(words(ifindex), words(INGRESS));
  }

  tunnel(index: number, t: TestTunnel): void {
    const family = t.local.includes(':') ? 6 : 4;
    this.map('tunnels').update(words(index), concat(
      words(t.ready === false ? 0 : 1, t.ifindex ?? 200, family, t.csum === true ? 1 : 0,
        t.mtu ?? 1500), address(t.local), address(t.remote), mac(t.ethDst), mac(t.ethSrc)));
    this.map('tunnel_sources').update(
      concat(words(0, family), address(t.remote), address(t.local)), words(index));
  }

  macBinding(datapath: number, port: number, ip: readonly number[], address48: string): void {
    const [high = 0, low = 0] = macWords(address48);
    this.map('mac_bindings').update(words(datapath, port, ...ip), words(high, low));
  }

  /** Writes the rules into a new stage and points the dispatch entry at it. */
  table(datapath: number, table: number, rules: readonly TestRule[], buffer = 0): void {
    const slot = this.stage(table, rules);
    this.map('dispatch').update(words(buffer, datapath, table), words(slot));
  }

  private stage(table: number, rules: readonly TestRule[], perSlot = 61): number {
    const slot = ++this.stages;
    const best = new Map<number, number>();
    const placed = rules.map((rule) => {
      const tuple = this.tuple(rule.match ?? []), priority = rule.priority ?? 100;
      best.set(tuple, Math.max(best.get(tuple) ?? 0, priority));
      return { rule, tuple };
    });
    const order = [...best].sort((a, b) => b[1] - a[1]);
    const slots = [slot];
    while (slots.length * perSlot < order.length) slots.push(++this.stages);
    const slotOf = new Map(order.map(([tuple], i) => [tuple, slots[Math.floor(i / perSlot)]!]));
    for (const { rule, tuple } of placed) this.rule(slotOf.get(tuple)!, tuple, rule);
    slots.forEach((at, i) => {
      const mine = order.slice(i * perSlot, (i + 1) * perSlot);
      this.map('stages').update(words(at), padded(concat(halves(mine.length, table),
        words(0, slots[i + 1] ?? 0), halves(...mine.flat())), 12 + 61 * 4));
    });
    return slot;
  }

  /** As table(), but with few tuples to a slot, so that the stage continues. */
  longTable(datapath: number, table: number, rules: readonly TestRule[], perSlot: number): void {
    const slot = this.stage(table, rules, perSlot);
    this.map('dispatch').update(words(0, datapath, table), words(slot));
  }

  private tuple(match: readonly Term[]): number {
    const shape = match.map(([word, , mask]) => [word, mask ?? ALL] as const);
    const known = this.shapes.get(JSON.stringify(shape));
    if (known !== undefined) return known;
    const index = this.shapes.size;
    this.shapes.set(JSON.stringify(shape), index);
    const names = padded(Uint8Array.from(shape.map(([word]) => word)), 16);
    this.map('tuples').update(words(index), concat(
      Uint8Array.of(match.length, keyClass(match.length), 0, 0), names,
      padded(words(...shape.map(([, mask]) => mask)), 64)));
    return index;
  }

  private rule(slot: number, tuple: number, rule: TestRule): void {
    const match = rule.match ?? [];
    const { name, words: size } = RULE_MAPS[keyClass(match.length)]!;
    const key = concat(words(slot, tuple),
      padded(words(...match.map(([, value, mask]) => value & (mask ?? ALL))), size * 4));
    this.map(name).update(key, concat(
      halves(rule.priority ?? 100, this.program(rule.ops)), words(rule.flow ?? 0),
      padded(words(...(rule.args ?? [])), 64)));
  }

  /** The program's index: OP_CALL's continuation is an argument. */
  program(ops: readonly TestOp[]): number {
    const text = JSON.stringify(ops);
    const index = this.programs.get(text) ?? this.programs.size;
    if (this.programs.has(text)) return index;
    this.programs.set(text, index);
    const bytes = ops.map((op) => concat(
      Uint8Array.of(op.code, op.dst ?? 0, op.src ?? 0, op.shift ?? 0),
      words(op.mask ?? 0, op.imm ?? 0), Uint8Array.of(op.arg ?? 0, 0, 0, 0)));
    this.map('programs').update(words(index),
      padded(concat(words(ops.length), ...bytes), 4 + 32 * 16));
    return index;
  }

  // ---- Frames ---------------------------------------------------------------------------------

  run(frame: Bytes): Run {
    const { retval, dataOut } = this.test(this.forward, frame, 1);
    return { action: retval, frame: dataOut };
  }

  /** Nanoseconds a run, averaged. */
  private test(program: NativeProgram, data: Bytes, repeat: number) {
    return this.native.programTestRun(program.fd, {
      data, dataOutSize: data.length + 256, ctxOutSize: 0, repeat, flags: 0, batchSize: 0,
    });
  }

  trace(frame: Bytes): Traced {
    this.test(this.tracer, frame, 1);
    const value = this.map('trace_out').lookup(words(0))!;
    const all = new Uint32Array(value.slice().buffer);
    const [steps = 0, verdict = 0, reason = 0, flow = 0, ifindex = 0, tunnel = 0] = all;
    const tables = Array.from({ length: steps }, (_, i) =>
      `${all[70 + i * 6]}/${all[71 + i * 6]}`);
    return { verdict, reason, flow, ifindex, tunnel, words: all.slice(6, 70), tables };
  }

  // ---- Counters -------------------------------------------------------------------------------

  private counters(map: string, key: number): number[] {
    const value = this.map(map).lookup(words(key));
    if (value === undefined) return [];
    const cells = new BigUint64Array(value.slice().buffer);
    const size = map === 'iface_counters' ? 6 : 2;
    const sums = Array<number>(size).fill(0);
    cells.forEach((cell, i) => { sums[i % size]! += Number(cell); });
    return sums;
  }

  counter(map: 'punts' | 'drops' | 'flow_drops', key: number): Counter {
    const [packets = 0, bytes = 0] = this.counters(map, key);
    return { packets, bytes };
  }

  /** Frames of the ingress device: forwarded, dropped, punted; packets only. */
  ifaceCounters(): readonly [forwarded: number, dropped: number, punted: number] {
    const [forwarded = 0, , dropped = 0, , punted = 0] = this.counters('iface_counters', INGRESS);
    return [forwarded, dropped, punted];
  }

  /** Every counted frame by cause: `punt MTU: 3`. Frames forwarded are `forwarded: n`. */
  totals(): Readonly<Record<string, number>> {
    const list: [string, number][] = [['forwarded', this.ifaceCounters()[0]]];
    for (const [name, key] of Object.entries(PUNT)) {
      list.push([`punt ${name}`, this.counter('punts', key).packets]);
    }
    for (const [name, key] of Object.entries(DROP)) {
      list.push([`drop ${name}`, this.counter('drops', key).packets]);
    }
    return Object.fromEntries(list.filter(([, packets]) => packets > 0));
  }
}

const keyClass = (size: number): 0 | 1 | 2 => size <= 2 ? 0 : size <= 6 ? 1 : 2;
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
