/**
 * A router with NAT as OVN's gateway routers have it, of one datapath: hosts inside at port 1,
 * the world at port 2. Both families: `pool` stands for all hosts inside, `float` for host a.
 */
import * as assert from 'uvu/assert';
import * as layout from '../../abi/generated.js';
import { defaultPorts } from '../../conntrack/settings.js';
import { u32Bytes } from '../../libbpf/mod.js';
import {
  abi, Dataplane, ip4Word, ip6Words, next, output, set, XDP, type Term, type TestOp, type TestRule,
} from './dataplane.fixture.js';
import { ctCommit, NEW, stateText, timeouts } from './conntrack.fixture.js';
import {
  concat, eth, icmp, icmp6, ip4, ip6, PROTO, sum16, type Bytes, type Layer4,
} from '../packet.js';

export type Family = 4 | 6;
export const hosts = {
  4: { a: '10.0.0.1', b: '10.0.0.2', pool: '192.0.2.1', float: '192.0.2.9', world: '203.0.113.5',
    far: '203.0.113.99' },
  6: { a: 'fd00::1', b: 'fd00::2', pool: '2001:db8::1', float: '2001:db8::9',
    world: '2001:db8:5::5', far: '2001:db8:5::99' },
} as const;
export type Host = keyof typeof hosts[4];

export const words = (family: Family, host: Host): readonly number[] =>
  family === 6 ? ip6Words(hosts[6][host]) : [0, 0, 0, ip4Word(hosts[4][host])];
const at = (word: number, family: Family, host: Host): Term[] =>
  words(family, host).map((value, i) => [word + i, value]);

// ---- Ops --------------------------------------------------------------------------------------

/** As the compiler makes ct_snat(address, ports) and ct_dnat(...). */
export const natOps = (then: number, zone: number, flags: number): readonly TestOp[] => [
  ...[0, 1, 2, 3, 4].map((i) => set(abi.FW_NAT_ADDRESS + i, i)),
  { code: abi.OP_CT_NAT, src: zone, imm: then, mask: flags },
];
export const natArgs = (address: readonly number[], low = 0, high = low): readonly number[] =>
  [...address, low * 0x10000 + high];
const back = (then: number, zone: number, more = 0): TestOp =>
  ({ code: abi.OP_CT_NEXT, src: zone, imm: then, mask: layout.CT_NAT | more });

// ---- The router -------------------------------------------------------------------------------

export const inside = 1, outside = 2;
const E = abi.TABLE_EGRESS;
const DNAT = abi.FW_DNAT_ZONE, SNAT = abi.FW_SNAT_ZONE;

export interface Result {
  /** sent, drop, or punt REASON. */
  readonly verdict: string; readonly frame: Bytes; readonly words: readonly number[];
}

export class NatRouter {
  readonly plane: Dataplane;
  readonly tables = new Map<number, readonly TestRule[]>();

  /** `ports`: range of the pool's source translation; `block`: what every pool begins with. */
  constructor(more: Readonly<Record<string, number>> = {},
    ports: readonly [number, number] = [0, 0], block = defaultPorts) {
    const plane = this.plane = Dataplane.load({ conns: 4096, ...more });
    plane.datapath(1);
    plane.port(1, inside, { ifindex: 101 });
    plane.port(1, outside, { ifindex: 102 });
    plane.device(101);
    plane.device(102);
    const families = [4, 6] as const;
    this.table(0, [
      ...families.flatMap((f): TestRule[] => (['pool', 'float'] as const).map((host) =>
        ({ match: at(abi.FW_IP_DST, f, host), priority: 200,
          ops: [back(1, SNAT, layout.CT_UNSNAT)] }))),
      { ops: [next(1)] }]);
    this.table(1, [
      ...families.map((f): TestRule => ({ match: at(abi.FW_IP_DST, f, 'float'), priority: 200,
        ops: natOps(2, DNAT, layout.CT_NAT_DST), args: natArgs(words(f, 'a')) })),
      { ops: [back(2, DNAT)] }]);
    this.table(2, [
      { match: [[abi.FW_IP_DST, 0xfd000000]], priority: 200, ...this.out(inside) },
      { match: [[abi.FW_IP_DST + 3, 0x0a000000, 0xff000000], [abi.FW_IP_DST, 0]], priority: 200,
        ...this.out(inside) },
      ...families.map((f): TestRule => ({ match: at(abi.FW_IP_DST, f, 'pool'), priority: 300,
        ops: [] })),
      ...families.map((f): TestRule => ({ match: at(abi.FW_IP_DST, f, 'float'), priority: 300,
        ops: [] })),
      this.out(outside)]);
    this.table(E, [{ match: [[abi.FW_CT_STATE, NEW, NEW]], priority: 200,
      ops: [ctCommit(0, undefined, DNAT), next(E + 1)] }, { ops: [next(E + 1)] }]);
    this.table(E + 1, [
      ...families.map((f): TestRule => ({ match: [...at(abi.FW_IP_SRC, f, 'a'),
        [abi.FW_OUTPORT, outside]], priority: 300,
      ops: natOps(E + 2, SNAT, layout.CT_NAT_SRC | layout.CT_NAT_KEEP),
      args: natArgs(words(f, 'float')) })),
      { match: [[abi.FW_IP_SRC, 0xfd000000], [abi.FW_OUTPORT, outside]], priority: 200,
        ops: natOps(E + 2, SNAT, layout.CT_NAT_SRC), args: natArgs(words(6, 'pool'), ...ports) },
      { match: [[abi.FW_IP_SRC, 0], [abi.FW_IP_SRC + 3, 0x0a000000, 0xff000000],
        [abi.FW_OUTPORT, outside]], priority: 200, ops: natOps(E + 2, SNAT, layout.CT_NAT_SRC),
      args: natArgs(words(4, 'pool'), ...ports) },
      { ops: [next(E + 2)] }]);
    this.table(E + 2, [{ ops: [output] }]);
    this.mode(abi.CT_ON, block);
  }

  private out(port: number): Pick<TestRule, 'ops' | 'args'> {
    return { ops: [set(abi.FW_OUTPORT, 0), output], args: [port] };
  }
  table(number: number, rules: readonly TestRule[]): void {
    this.tables.set(number, rules);
    this.plane.table(1, number, rules);
  }
  mode(mode: number, ports = defaultPorts): void {
    this.plane.during(() => {
      this.plane.map('ct_control').update(u32Bytes(0), layout.ctControl.toBytes({
        mode, watermark: 1 << 20, foreign_age: 600, kernel: 0, timeouts, ports }));
    });
  }

  /** Sends the frame into a port; what comes out has right checksums, unless it has not all that
   * they are of. */
  send(port: number, frame: Bytes, { sums = true } = {}): Result {
    this.plane.ingress(1, port, 0, 0);
    const traced = this.plane.trace(frame);
    const { action, frame: out } = this.plane.run(frame);
    const punted = `punt ${layout.puntReasons[traced.reason]?.name}`;
    const verdict = action === XDP.redirect ? 'sent' : action === XDP.drop ? 'drop' : punted;
    if (verdict === 'sent' && sums) checkSums(out);
    return { verdict, frame: out, words: traced.words };
  }
  /** `src>dst`, or the verdict if nothing was sent. */
  say(port: number, frame: Bytes): string {
    const { verdict, frame: out } = this.send(port, frame);
    return verdict === 'sent' ? show(out) : verdict;
  }
  state(port: number, frame: Bytes): string {
    return stateText(this.send(port, frame).words[abi.FW_CT_STATE]!);
  }

  conns(): { readonly key: layout.ConnKey; readonly conn: layout.Conn }[] {
    return [...this.plane.map('conns').entries()].map(([key, value]) =>
      ({ key: layout.connKey.fromBytes(key), conn: layout.conn.fromBytes(value) }));
  }
  foreign(): layout.ConnKey[] {
    return [...this.plane.map('foreign').entries()].map(([key]) => layout.connKey.fromBytes(key));
  }
  pools(): ReadonlyMap<string, layout.NatPool> {
    return new Map([...this.plane.map('nat_pools').entries()].map(([key, value]) =>
      [layout.natPoolKey.fromBytes(key).address.join('.'), layout.natPool.fromBytes(value)]));
  }
  count(): number {
    return Number(Buffer.from(this.plane.map('conn_count').lookup(u32Bytes(0))!)
      .readBigUInt64LE());
  }
  collect(): layout.CtCollect {
    const program = this.plane.otherProgram('ct_collect');
    try {
      const { ctxOut } = program.runSyscall(new Uint8Array(layout.ctCollect.size));
      return layout.ctCollect.fromBytes(ctxOut);
    } finally {
      program.close();
    }
  }
  /** No connection, ours or OVS's, and no pool. */
  clear(): void {
    for (const name of ['conns', 'foreign', 'nat_pools']) {
      const map = this.plane.map(name);
      for (const [key] of [...map.entries()]) map.delete(key);
    }
    this.plane.map('conn_count').update(u32Bytes(0), new Uint8Array(8));
  }
  /** All connections expire, `ms` milliseconds ago. */
  expire(ms: number): void {
    const then = BigInt(Math.max(1, Number(process.hrtime.bigint() / 1_000_000n) - ms));
    for (const [key, value] of [...this.plane.map('conns').entries()]) {
      const conn = layout.conn.fromBytes(value);
      if ((conn.life & BigInt(layout.CONN_ALIAS)) !== 0n) continue;
      this.plane.map('conns').update(key, layout.conn.toBytes({ ...conn,
        life: (conn.life & 0xffffn) | then << 16n }));
    }
  }
  close(): void { this.plane.close(); }
}

// ---- Packets ------------------------------------------------------------------------------------

const macs = { src: '02:00:00:00:00:0a', dst: '02:00:00:00:00:0b' };
export function packet(family: Family, src: string, dst: string, layer4: Layer4): Bytes {
  return eth(macs, family === 4 ? ip4({ src, dst }, layer4) : ip6({ src, dst }, layer4));
}
export const of = (family: Family, src: Host, dst: Host, layer4: Layer4): Bytes =>
  packet(family, hosts[family][src], hosts[family][dst], layer4);
const familyOf = (frame: Bytes): Family => frame[12] === 8 ? 4 : 6;
const get16 = (b: Bytes, i: number): number => (b[i]! << 8) | b[i + 1]!;

export interface Parsed {
  readonly family: Family; readonly src: string; readonly dst: string; readonly proto: number;
  /** Ports, or 0; ICMP: identifier. */
  readonly sport: number; readonly dport: number; readonly id: number;
  readonly layer4: Bytes; readonly layer3: Bytes;
}
function address(bytes: Bytes): string {
  if (bytes.length === 4) return bytes.join('.');
  const wanted = Buffer.from(bytes).toString('hex');
  for (const host of Object.values(hosts[6])) {
    if (ip6Words(host).map((w) => w.toString(16).padStart(8, '0')).join('') === wanted) return host;
  }
  return wanted;
}
export function parseIp(layer3: Bytes, family: Family): Parsed {
  const [from, header, proto] = family === 4 ? [12, 20, layer3[9]!] : [8, 40, layer3[6]!];
  const size = family === 4 ? 4 : 16, layer4 = layer3.slice(header);
  const ports = proto === PROTO.tcp || proto === PROTO.udp;
  return { family, proto, layer3, layer4, src: address(layer3.slice(from, from + size)),
    dst: address(layer3.slice(from + size, from + 2 * size)),
    sport: ports ? get16(layer4, 0) : 0, dport: ports ? get16(layer4, 2) : 0,
    id: ports ? 0 : get16(layer4, 4) };
}
export const parse = (frame: Bytes): Parsed => parseIp(frame.slice(14), familyOf(frame));
export const isError = ({ family, proto, layer4 }: Parsed): boolean => family === 4
  ? proto === PROTO.icmp && [3, 4, 5, 11, 12].includes(layer4[0]!)
  : proto === PROTO.icmp6 && layer4[0]! < 128;

function showParsed(p: Parsed): string {
  const port = (n: number): string => (n === 0 ? '' : `:${n}`);
  const text = `${p.src}${port(p.sport)}>${p.dst}${port(p.dport)}`;
  return isError(p) ? `${text} (${showParsed(parseIp(p.layer4.slice(8), p.family))})` : text;
}
/** `src:port>dst:port`, of an error with what it quotes. */
export const show = (frame: Bytes): string => showParsed(parse(frame));

/** Those of IP and layer 4, and of what an error quotes as far as all of it is quoted. */
export function checkSums(frame: Bytes): void { checkIp(parse(frame), 'packet'); }
function checkIp(p: Parsed, what: string): void {
  const { family, layer3, layer4, proto } = p;
  if (family === 4) assert.is(sum16(layer3.slice(0, 20)), 0xffff, `${what}: IP checksum`);
  const length = family === 4 ? get16(layer3, 2) - 20 : get16(layer3, 4);
  if (layer4.length < length) return;
  const body = layer4.slice(0, length);
  const addresses = family === 4 ? layer3.slice(12, 20) : layer3.slice(8, 40);
  const pseudo = proto === PROTO.icmp ? 0 : sum16(addresses, proto + length);
  const none = proto === PROTO.udp && get16(body, 6) === 0;
  const summed = proto === PROTO.tcp || proto === PROTO.udp || proto === PROTO.icmp
    || proto === PROTO.icmp6;
  if (summed && !none) assert.is(sum16(body, pseudo), 0xffff, `${what}: checksum of ${proto}`);
  if (isError(p)) checkIp(parseIp(body.slice(8), family), `${what}'s quote`);
}

/** The packet whose fragments, in order, these are; each header is checked. */
export function reassembled(frames: readonly Bytes[]): Bytes {
  const family = familyOf(frames[0]!), at = 14, header = family === 4 ? 20 : 40;
  const body = frames.map((frame) => {
    if (family === 4) assert.is(sum16(frame.slice(at, at + 20)), 0xffff, 'IP checksum');
    assert.equal([...frame.slice(at + header - 8, at + header)],
      [...frames[0]!.slice(at + header - 8, at + header)], 'the same destination');
    return frame.slice(at + header + (family === 4 ? 0 : 8));
  });
  const whole = concat(frames[0]!.slice(0, at + header), ...body), length = whole.length - at;
  if (family === 6) {
    whole[at + 6] = frames[0]![at + 40]!;
    whole.set([(length - 40) >> 8, (length - 40) & 255], at + 4);
    return whole;
  }
  whole.set([length >> 8, length & 255], at + 2);
  whole.set([0, 0, whole[at + 8]!, whole[at + 9]!, 0, 0], at + 6);
  const sum = 0xffff - sum16(whole.slice(at, at + 20));
  whole.set([sum >> 8, sum & 255], at + 10);
  return whole;
}

/** An ICMP error from `src` about the packet of `frame`, to its sender. */
export function errorAbout(frame: Bytes, src: string, length = 1500): Bytes {
  const family = familyOf(frame), quote = frame.slice(14, 14 + length), { src: dst } = parse(frame);
  return packet(family, src, dst, family === 4 ? icmp({ type: 3, code: 1, rest: 0 }, quote)
    : icmp6({ type: 1, code: 0, rest: 0 }, quote));
}
/** The same packet the other way. */
export function answer(frame: Bytes, make: (p: Parsed) => Layer4): Bytes {
  const p = parse(frame);
  return packet(p.family, p.dst, p.src, make(p));
}
