/**
 * Two VMs on a switch whose tables track connections as OVN's do: a zone for each port,
 * `ct_next`, then new connections are committed and invalid packets dropped. What a test
 * sees of a packet: the verdict and `ct_state` in the sender's and the receiver's zone.
 */
import * as layout from '../../abi/generated.js';
import { defaultPorts } from '../../conntrack/settings.js';
import { u32Bytes } from '../../libbpf/mod.js';
import {
  abi, Dataplane, macWords, move, next, output, set, XDP, type TestOp, type TestRule,
} from './dataplane.fixture.js';
import { eth, fragments, icmp, icmp6, ip4, ip6, tcp, udp, type Bytes, type Layer3, type Layer4 }
  from '../packet.js';

const ALL = 0xffffffff;
export const NEW = layout.CT_STATE_NEW, INV = layout.CT_STATE_INV;

// ---- Ops ------------------------------------------------------------------------------------

export const ctNext = (table: number, zone: number = abi.FW_CT_ZONE, nat = false): TestOp =>
  ({ code: abi.OP_CT_NEXT, src: zone, imm: table, mask: nat ? layout.CT_NAT : 0 });
/** `mark`: the bits of ct_mark that are written; `label`: first argument of the label's masks. */
export const ctCommit = (mark = 0, label?: number, zone: number = abi.FW_CT_ZONE): TestOp => ({
  code: abi.OP_CT_COMMIT, src: zone, mask: mark, arg: label ?? 0,
  imm: layout.CT_NAT | (label === undefined ? 0 : layout.CT_LABEL),
});
export const ctClear: TestOp = { code: abi.OP_CT_CLEAR };

// ---- Packets --------------------------------------------------------------------------------

export const F = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } as const;
export type Side = 'a' | 'b';
const macs = { a: '02:00:00:00:00:0a', b: '02:00:00:00:00:0b' } as const;
const ip4s = { a: '10.0.0.1', b: '10.0.0.2' } as const;
const ip6s = { a: 'fd00::1', b: 'fd00::2' } as const;
const other = (side: Side): Side => (side === 'a' ? 'b' : 'a');

function layer3(from: Side, layer4: Layer4, family: 4 | 6): Layer3 {
  const addresses = family === 4 ? ip4s : ip6s;
  const ip = { src: addresses[from], dst: addresses[other(from)] };
  return family === 4 ? ip4(ip, layer4) : ip6(ip, layer4);
}
/** A packet of one VM to the other. */
export const packet = (from: Side, layer4: Layer4, family: 4 | 6 = 4): Bytes =>
  eth({ src: macs[from], dst: macs[other(from)] }, layer3(from, layer4, family));
/** The same in fragments. */
export const pieces = (from: Side, layer4: Layer4, family: 4 | 6 = 4, id = 1, size = 1240):
Bytes[] => fragments(layer3(from, layer4, family), id, size)
  .map((piece) => eth({ src: macs[from], dst: macs[other(from)] }, piece));
/** VM a speaks from port 1000 to port 2000 of b. */
export const tcpOf = (from: Side, flags: number, port = 1000): Bytes => packet(from, tcp(
  from === 'a' ? { src: port, dst: 2000, flags } : { src: 2000, dst: port, flags }));
export const udpOf = (from: Side, port = 1000): Bytes => packet(from, udp(
  from === 'a' ? { src: port, dst: 2000 } : { src: 2000, dst: port }));
/** `type`: 8 and 0 are asked and answered. */
export const pingOf = (from: Side, type: number, id = 7): Bytes =>
  packet(from, icmp({ type, rest: id << 16 | 1 }));
export const ping6Of = (from: Side, type: number, id = 7): Bytes =>
  packet(from, icmp6({ type, rest: id << 16 | 1 }), 6);
/** An ICMP error of `type` that quotes `frame`'s IP packet, or its first bytes. */
export function errorAbout(frame: Bytes, from: Side, type = 3, length = 1500): Bytes {
  const family = frame[12] === 8 ? 4 : 6;
  const quote = frame.slice(14, 14 + length);
  return packet(from, (family === 4 ? icmp : icmp6)({ type, code: 1, rest: 0 }, quote), family);
}

// ---- The switch -----------------------------------------------------------------------------

export const zones = { a: 11, b: 12 } as const;
export const keys = { a: 1, b: 2 } as const;
const trackedBit = (bit: number): NonNullable<TestRule['match']> => [[abi.FW_CT_STATE, bit, bit]];

/** Seconds, as the kernel's. */
export const timeouts: readonly number[] = [120, 60, 432000, 120, 120, 10, 30, 120, 30, 600];
const verdicts = new Map<number, string>([[XDP.pass, 'punt'], [XDP.drop, 'drop'],
  [XDP.redirect, 'sent']]);

/** `trk new est rel rpl inv snat dnat`, as far as they are set. */
export function stateText(state: number): string {
  const bits = ['new', 'est', 'rel', 'rpl', 'inv', 'trk', 'snat', 'dnat'];
  return bits.filter((_, i) => (state >> i & 1) === 1).filter((name) => name !== 'trk').join(' ');
}

export interface Seen {
  /** `sent`, `drop`, or `punt REASON` as the trace says. */
  readonly verdict: string;
  /** ct_state in the sender's zone and in the receiver's. */
  readonly sender: string; readonly receiver: string;
  /** The flow vector at the end; FW_PKT_MARK: ct_mark in the receiver's zone. */
  readonly words: readonly number[];
}

export class TrackingSwitch {
  readonly plane: Dataplane;
  /** Rules by table of the one datapath. */
  readonly tables = new Map<number, readonly TestRule[]>();

  /** `commit`: ops for new connections, in both zones. */
  constructor(commit: readonly TestOp[] = [ctCommit()], args: readonly number[] = [],
    more: Readonly<Record<string, number>> = {}) {
    const plane = this.plane = Dataplane.load(more);
    plane.datapath(1);
    plane.port(1, 1, { ifindex: 101, zone: zones.a });
    plane.port(1, 2, { ifindex: 102, zone: zones.b });
    plane.device(101);
    plane.device(102);
    const table = (at: number, rules: readonly TestRule[]): void => {
      this.tables.set(at, rules);
      plane.table(1, at, rules);
    };
    const accept = (onward: readonly TestOp[]): TestRule[] => [
      { ops: onward },
      { match: trackedBit(NEW), priority: 200, ops: [...commit, ...onward], args },
      { match: trackedBit(INV), priority: 300, ops: [] },
    ];
    table(0, [{ ops: [ctNext(1)] }]);
    table(1, [{ ops: [move(abi.FW_FLAGS, abi.FW_CT_STATE, 8, 0xff00), next(2)] }]);
    table(2, accept([next(3)]));
    table(3, (['a', 'b'] as const).map((side) => ({
      match: macWords(macs[side]).map((word, i) => [abi.FW_ETH_DST + i, word] as const),
      ops: [set(abi.FW_OUTPORT, 0), output], args: [keys[side]],
    })));
    table(abi.TABLE_EGRESS, [{ ops: [ctNext(abi.TABLE_EGRESS + 1)] }]);
    table(abi.TABLE_EGRESS + 1, [
      { ops: [move(abi.FW_FLAGS, abi.FW_CT_STATE, 16, 0xff0000),
        move(abi.FW_PKT_MARK, abi.FW_CT_MARK, 0, ALL), next(abi.TABLE_EGRESS + 2)] }]);
    table(abi.TABLE_EGRESS + 2, accept([output]));
    this.mode(abi.CT_ON);
  }

  mode(mode: number, watermark = 1000, seconds: readonly number[] = timeouts, kernel = 0): void {
    this.plane.during(() => {
      this.plane.map('ct_control').update(u32Bytes(0), layout.ctControl.toBytes({
        mode, watermark, foreign_age: 600, kernel, timeouts: seconds, ports: defaultPorts }));
    });
  }

  /** Traces the frame, then sends it. */
  send(from: Side, frame: Bytes): Seen {
    this.plane.ingress(1, keys[from], 0, zones[from]);
    const traced = this.plane.trace(frame);
    const { action } = this.plane.run(frame);
    const flags = traced.words[abi.FW_FLAGS]!;
    const verdict = verdicts.get(action) ?? `action ${action}`;
    return {
      verdict: verdict === 'punt' ? `punt ${layout.puntReasons[traced.reason]?.name}` : verdict,
      sender: stateText(flags >> 8 & 0xff), receiver: stateText(flags >> 16 & 0xff),
      words: traced.words,
    };
  }

  /** In short: `new/new`, the states of sender and receiver; or the verdict, if not sent. */
  say(from: Side, frame: Bytes): string {
    const { verdict, sender, receiver } = this.send(from, frame);
    return verdict === 'sent' ? `${sender}/${receiver}` : verdict;
  }

  conns(): { readonly key: layout.ConnKey; readonly conn: layout.Conn }[] {
    return [...this.plane.map('conns').entries()].map(([key, value]) =>
      ({ key: layout.connKey.fromBytes(key), conn: layout.conn.fromBytes(value) }));
  }
  /** `zone orig-state.reply-state`, sorted. */
  states(): string[] {
    return this.conns().map(({ key, conn }) =>
      `${key.zone} ${Number(conn.life & 15n)}.${Number(conn.life >> 4n & 15n)}`).sort();
  }
  foreign(): layout.ConnKey[] {
    return [...this.plane.map('foreign').entries()].map(([key]) => layout.connKey.fromBytes(key));
  }
  /** Writes `change` of an entry's words, as time would. */
  rewrite(zone: number, change: (conn: layout.Conn) => layout.Conn): void {
    for (const { key, conn } of this.conns().filter((entry) => entry.key.zone === zone)) {
      this.plane.map('conns').update(layout.connKey.toBytes(key),
        layout.conn.toBytes(change(conn)));
    }
  }
  /** The entry's time has run out. */
  expire(zone: number): void {
    this.rewrite(zone, (conn) => ({ ...conn, life: conn.life & 0xffffn | 1n << 16n }));
  }
  stat(stat: number): number {
    const map = this.plane.map('ct_stats');
    return map.perCpuValues(map.lookup(u32Bytes(stat))!)
      .reduce((sum, bytes) => sum + Number(Buffer.from(bytes).readBigUInt64LE()), 0);
  }
  count(): number {
    return Number(Buffer.from(this.plane.map('conn_count').lookup(u32Bytes(0))!)
      .readBigUInt64LE());
  }
  /** No connection, ours or OVS's. */
  clear(): void {
    for (const name of ['conns', 'foreign']) {
      const map = this.plane.map(name);
      for (const [key] of [...map.entries()]) map.delete(key);
    }
    this.plane.map('conn_count').update(u32Bytes(0), new Uint8Array(8));
  }
  collect(): layout.CtCollect {
    const program = this.plane.otherProgram('ct_collect');
    try {
      const size = layout.ctCollect.size;
      const { ctxOut } = program.runSyscall(new Uint8Array(size));
      return layout.ctCollect.fromBytes(ctxOut);
    } finally {
      program.close();
    }
  }
  close(): void { this.plane.close(); }
}
