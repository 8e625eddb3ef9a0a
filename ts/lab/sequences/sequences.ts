/**
 * Sequences of frames between two VMs, drawn by a seeded generator: what one connection, or an
 * attempt at one, looks like on the wire. A sequence is data; `framesOf` makes its frames for
 * one client port, so that it can be sent again as another connection.
 *
 * TCP numbers are those of hosts that saw what was sent, because OVS's tracker checks windows.
 */
import type { Injection } from '../frames/generator.js';
import {
  concat, eth, fragments, icmp, icmp6, ip4, ip6, PROTO, raw4, tcp, udp,
  type Bytes, type Layer3, type Layer4,
} from '../packet.js';
import type { Random } from '../random.js';
import { routerMac, vmIp, vmMac, type TopologyVm } from '../topology.js';

/** The end that opens the connection, as a rule, and the other. */
export type Side = 'client' | 'server';
export const F = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const;

/** `wrong`: with a wrong checksum of layer 4. `cut`: in fragments, in this order of `inOrder`. */
export type Packet = { readonly side: Side; readonly wrong?: boolean; readonly cut?: boolean;
  readonly order?: number } & (
  | { readonly what: 'tcp'; readonly flags: number; readonly seq: number; readonly ack: number;
    readonly size: number }
  | { readonly what: 'udp'; readonly size: number }
  /** `other`: not the identifier of the sequence, but the next. */
  | { readonly what: 'echo'; readonly reply: boolean; readonly count: number;
    readonly other: boolean; readonly size?: number }
  /** Quotes packet `of` of this sequence, or as if it had gone the other way; `from`: a VM
   * that is neither end. */
  | { readonly what: 'error'; readonly of: number; readonly code: number;
    readonly from?: TopologyVm; readonly turned?: boolean }
  | { readonly what: 'other'; readonly proto: number });

export interface Sequence {
  readonly kind: string;
  readonly client: TopologyVm; readonly server: TopologyVm;
  readonly family: 4 | 6;
  /** Port of the server. */
  readonly service: number;
  readonly packets: readonly Packet[];
}

/** Client ports and ICMP identifiers are from here on; services are below. */
export const firstClientPort = 16384;

const data = (size: number): Bytes => Uint8Array.from({ length: size }, (_, i) => i * 7);
/** OVS has all fragments and sends them as they belong; ours go on as they come. */
export const isDisordered = (packet: Packet | undefined): boolean =>
  packet?.cut === true && (packet.order ?? 0) > 0;

/** All orders there are have a number each; 0 is as it was. */
export function inOrder<T>(pieces: readonly T[], order: number): T[] {
  if (pieces.length < 2) return [...pieces];
  const at = order % pieces.length;
  return [pieces[at] as T, ...inOrder(pieces.filter((_, i) => i !== at),
    Math.floor(order / pieces.length))];
}

/** Bytes of layer 4: OVS wants fragments of 1200 and 1280 bytes at least, but for the last. */
export const fragmentSize = 1240;
const another = (side: Side): Side => side === 'client' ? 'server' : 'client';

/** Where its checksum is. */
const sumAt: ReadonlyMap<number, number> = new Map(
  [[PROTO.tcp, 16], [PROTO.udp, 6], [PROTO.icmp, 2], [PROTO.icmp6, 2]]);
export const withWrongSum = ({ proto, build }: Layer4): Layer4 => ({ proto, build: (pseudo) => {
  const bytes = build(pseudo), at = sumAt.get(proto);
  // Neither the same nor, of UDP, zero for none.
  if (at !== undefined) bytes[at] = (bytes[at] ?? 0) === 0x55 ? 0x56 : (bytes[at] ?? 0) ^ 0x55;
  return bytes;
} });

class Frames {
  private readonly layers: Layer3[] = [];
  constructor(private readonly sequence: Sequence, private readonly port: number) {}

  add(packet: Packet): Injection[] {
    const { client, server, family, service, kind } = this.sequence;
    const third = packet.what === 'error' ? packet.from : undefined;
    const from = third ?? (packet.side === 'client' ? client : server);
    const to = packet.side === 'client' ? server : client;
    const ports = packet.side === 'client' ? { src: this.port, dst: service }
      : { src: service, dst: this.port };
    const header = { src: vmIp(from, family), dst: vmIp(to, family), id: this.layers.length + 1 };
    const right = this.layer4(packet, ports);
    const layer3 = (family === 4 ? ip4 : ip6)(header,
      packet.wrong === true ? withWrongSum(right) : right);
    this.layers.push(layer3);
    const ethDst = from.switch === to.switch ? vmMac(to) : routerMac(from.switch);
    // The identification says whose fragments without ports are, too.
    const cut = packet.cut !== true ? [layer3]
      : inOrder(fragments(layer3, this.port + this.layers.length % 2, fragmentSize),
        packet.order ?? 0);
    return cut.map((piece) => ({ kind, at: { vm: from.port },
      frame: eth({ src: vmMac(from), dst: ethDst }, piece) }));
  }

  private layer4(packet: Packet, ports: { readonly src: number; readonly dst: number }): Layer4 {
    const { family } = this.sequence;
    const message = family === 4 ? icmp : icmp6;
    switch (packet.what) {
      case 'tcp': return tcp({ ...ports, ...packet, window: 65535 }, data(packet.size));
      case 'udp': return udp(ports, data(packet.size));
      case 'echo': return message({
        type: family === 4 ? (packet.reply ? 0 : 8) : (packet.reply ? 129 : 128),
        rest: (this.port + Number(packet.other)) * 65536 + packet.count },
      data(packet.size ?? 24));
      case 'error': return message({ type: family === 4 ? 3 : 1,
        code: packet.code, rest: 0 }, this.quote(packet.of, packet.turned === true));
      case 'other': return raw4(packet.proto, concat(
        Uint8Array.of(this.port >> 8, this.port & 255), data(18)));
    }
  }

  private quote(of: number, turned: boolean): Bytes {
    const { family } = this.sequence;
    const quoted = Uint8Array.from(this.layers[of]?.bytes ?? []).subarray(0, 80);
    if (!turned) return quoted;
    const [at, size] = family === 4 ? [12, 4] : [8, 16];
    return concat(quoted.subarray(0, at), quoted.subarray(at + size, at + 2 * size),
      quoted.subarray(at, at + size), quoted.subarray(at + 2 * size));
  }
}

/** The frames of each packet. `port`: the client's, or the ICMP identifier. */
export function framesOf(sequence: Sequence, port: number): Injection[][] {
  const frames = new Frames(sequence, port);
  return sequence.packets.map((packet) => frames.add(packet));
}

/** Both ends of a TCP connection, each of which has seen all that the other sent. */
class Talk {
  readonly packets: Packet[] = [];
  private readonly first: Record<Side, number>;
  private readonly next: Record<Side, number>;

  constructor(random: Random) {
    // Well apart from 2^32, and some around it: numbers wrap.
    const isn = (): number => random.chance(0.1) ? 0xffffff00 : random.bits();
    this.first = { client: isn(), server: isn() };
    this.next = { ...this.first };
  }

  send(side: Side, flags: number, size = 0): this {
    const { [side]: expected } = this.next;
    // A SYN is the same SYN, however often it is sent.
    const seq = flags & F.syn ? this.first[side] : expected;
    const ack = flags & F.ack ? this.next[another(side)] : 0;
    this.packets.push({ what: 'tcp', side, flags, seq, ack, size });
    const length = size + Number((flags & (F.syn | F.fin)) !== 0);
    if (seq === expected) this.next[side] = (seq + length) % 2 ** 32;
    return this;
  }

  /** The last packet again. */
  again(): this {
    this.packets.push(this.packets[this.packets.length - 1] as Packet);
    return this;
  }

  add(packet: Packet): this { this.packets.push(packet); return this; }
  handshake(): this {
    return this.send('client', F.syn).send('server', F.syn | F.ack).send('client', F.ack);
  }
  /** Some data from one side, acknowledged by the other. */
  exchange(side: Side, size = 100): this {
    return this.send(side, F.ack | F.psh, size).send(another(side), F.ack);
  }
  close(first: Side): this {
    return this.send(first, F.fin | F.ack).send(another(first), F.ack)
      .send(another(first), F.fin | F.ack).send(first, F.ack);
  }
}

export interface Ground {
  readonly random: Random; readonly vms: readonly TopologyVm[];
  readonly ends: readonly [TopologyVm, TopologyVm];
}
export type Script = (ground: Ground) => readonly Packet[];
const sides: readonly Side[] = ['client', 'server'];

const tcpScript = (write: (talk: Talk, random: Random, side: Side, ground: Ground) => Talk):
Script => (ground) => write(
  new Talk(ground.random), ground.random, ground.random.pick(sides), ground).packets;

const error = (side: Side, of: number, more: object = {}): Packet =>
  ({ what: 'error', side, of, code: 1, ...more });
const datagram = (side: Side, size = 40): Packet => ({ what: 'udp', side, size });
const pieces = (random: Random, side: Side, order = 0): Packet =>
  ({ ...datagram(side, 1300 + random.below(2600)), cut: true, order });
const ping = (side: Side, count: number, reply = false, other = false): Packet =>
  ({ what: 'echo', side, count, reply, other });

const third = ({ random, vms, ends }: Ground): TopologyVm =>
  random.pick(vms.filter((vm) => !ends.includes(vm)));

/**
 * Any packets in any order: most are nobody's connection, and what they do to one counts. No
 * SYN after a FIN or RST: OVS 3.1 ends in an assertion when a connection that was committed
 * with nat(src), as OVN does, is opened again (conntrack.c, conn_update_state()). No reset and
 * no second opener: there OVS goes by sequence numbers, which ours does not look at.
 */
const chaos: Script = tcpScript((talk, random) => {
  const opening = [F.syn | F.ack, F.ack];
  const flags = [F.syn | F.ack, F.ack, F.ack, F.ack | F.psh, F.fin | F.ack, 0, F.fin,
    F.syn | F.fin];
  talk.send('client', F.syn);
  for (let i = 0; i < 2; i++) talk.send(random.pick(sides), random.pick(opening));
  for (let i = 0; i < 6; i++) talk.send(random.pick(sides), random.pick(flags));
  return talk;
});

const udpChaos: Script = ({ random }) => [datagram('client'),
  ...Array.from({ length: 5 }, (_, i): Packet => random.chance(0.3)
    ? error(random.pick(sides), random.below(i + 1), { turned: random.chance(0.3) })
    : datagram(random.pick(sides), random.below(500)))];

/** Weight, what it is, script. */
export const scripts: readonly (readonly [number, string, Script])[] = [
  [8, 'TCP whole', tcpScript((t, _, side) =>
    t.handshake().exchange('client').exchange('server', 900).close(side))],
  [4, 'TCP long', tcpScript((t, r, side) => {
    t.handshake();
    for (let i = 0; i < 4; i++) t.exchange(r.pick(sides), 1 + r.below(1200));
    return t.close(side);
  })],
  [3, 'TCP retransmissions', tcpScript((t, _, side) => t.send('client', F.syn).again()
    .send('server', F.syn | F.ack).again().send('client', F.ack).exchange(side)
    .send(side, F.ack | F.psh, 50).again().send(another(side), F.ack).close(side))],
  [2, 'TCP reset', tcpScript((t, _, side) =>
    t.handshake().exchange('client').send(side, F.rst | F.ack).again().exchange('client'))],
  [2, 'TCP refused', tcpScript((t) =>
    t.send('client', F.syn).send('server', F.rst | F.ack).send('client', F.ack))],
  [2, 'TCP half closed', tcpScript((t, _, side) => t.handshake().send(side, F.fin | F.ack)
    .send(another(side), F.ack).exchange(another(side), 200).exchange(another(side), 300)
    .send(another(side), F.fin | F.ack).send(side, F.ack))],
  [2, 'TCP closed together', tcpScript((t) => t.handshake().send('client', F.fin | F.ack)
    .send('server', F.fin | F.ack).send('client', F.ack).send('server', F.ack))],
  [1, 'TCP from the middle', tcpScript((t, _, side) => t.exchange(side).exchange('server'))],
  [1, 'TCP wrong side first', tcpScript((t) => t.send('server', F.syn | F.ack)
    .send('client', F.rst).send('server', F.ack))],
  [1, 'TCP anything', chaos],
  [2, 'TCP with errors', tcpScript((t, r, side, ground) => t.handshake().exchange('client')
    .add(error('server', r.pick([0, 2, 3]), { code: r.pick([0, 1, 4]) }))
    .add(error('client', 1)).add(error(side, 3, { turned: true }))
    .add(error('server', 3, { from: third(ground) })).exchange('server'))],
  [5, 'UDP both ways', ({ random }) => [datagram('client'), datagram('server', 500),
    ...Array.from({ length: 4 }, () => datagram(random.pick(sides), random.below(900)))]],
  [2, 'UDP one way', () => [1, 2, 3].map((n) => datagram('client', n * 30))],
  [1, 'UDP wrong side first', () =>
    [datagram('server'), datagram('client'), datagram('server'), datagram('client')]],
  [2, 'UDP with errors', (ground) => [datagram('client'), error('server', 0, { code: 3 }),
    datagram('client'), datagram('server'), error('client', 3),
    error('server', 0, { from: third(ground) }), datagram('client')]],
  [1, 'UDP anything', udpChaos],
  [3, 'echo', () => [1, 2, 3].flatMap((n) => [ping('client', n), ping('server', n, true)])],
  [1, 'echo, wrong identifier', () => [ping('client', 1), ping('server', 1, true, true),
    ping('server', 1, true), ping('client', 2), ping('server', 2, true, true)]],
  [1, 'echo both ways', () => [ping('client', 1), ping('server', 1), ping('server', 1, true),
    ping('client', 1, true), error('server', 0)]],
  [1, 'echo reply first', () => [ping('server', 1, true), ping('client', 1),
    ping('server', 1, true)]],
  [2, 'UDP in fragments', ({ random }) => [datagram('client'), datagram('server'),
    ...Array.from({ length: 4 }, () => pieces(random, random.pick(sides)))]],
  [2, 'UDP in fragments from the first', ({ random }) => [
    ...Array.from({ length: 4 }, (_, i) => pieces(random, i === 0 ? 'client'
      : random.pick(sides))), datagram('server')]],
  [2, 'UDP in fragments in any order', ({ random }) => Array.from({ length: 6 }, (_, i) =>
    pieces(random, i === 0 ? 'client' : random.pick(sides), random.below(24)))],
  [2, 'echo in fragments', ({ random }) => [1, 2].flatMap((n): Packet[] =>
    [false, true].map((reply) => ({ what: 'echo', side: reply ? 'server' : 'client', count: n,
      reply, other: false, size: 1000 + n * 800, cut: true,
      order: random.chance(0.3) ? random.below(6) : 0 })))],
  [1, 'another protocol', () => (['client', 'server', 'client'] as const)
    .map((side): Packet => ({ what: 'other', side, proto: 47 }))],
  [1, 'SCTP', () => (['client', 'server', 'client', 'server'] as const)
    .map((side): Packet => ({ what: 'other', side, proto: PROTO.sctp }))],
];

/** Any of the scripts whose name is such a one, with its name. */
export const pickScript = (random: Random, kinds: RegExp): readonly [string, Script] =>
  random.weighted(scripts.filter(([, name]) => kinds.test(name)).map(([weight, name, write]) =>
    [weight, [name, write] as const] as const));

const isSyn = (packet: Packet): boolean =>
  packet.what === 'tcp' && (packet.flags & (F.syn | F.ack)) === F.syn;

/** One of the first two packets of an end: later ones of an established connection are not
 * verified, because the cache knows them. */
function damaged(packets: readonly Packet[], random: Random): readonly Packet[] {
  const early = packets.map((_, i) => i).filter((i) => packets.slice(0, i)
    .filter(({ side }) => side === packets[i]?.side).length < 2);
  const at = random.pick(early);
  return packets.map((packet, i) => i === at ? { ...packet, wrong: true } : packet);
}

/**
 * `services`: ports that the policy says something about; `rejected` are among them, and get no
 * second SYN, which would open again what the rejection has reset (see `chaos`). `kinds`: which
 * scripts.
 */
export function generateSequence(
  vms: readonly TopologyVm[], services: readonly number[], random: Random,
  rejected: readonly number[] = [], kinds = /./,
): Sequence {
  const client = random.pick(vms);
  const server = random.pick(vms.filter((vm) => vm !== client));
  const [kind, script] = pickScript(random, kinds);
  const right = script({ random, vms, ends: [client, server] });
  const whole = !right.some(({ cut }) => cut);
  const packets = whole && random.chance(0.06) ? damaged(right, random) : right;
  // What OVS 3.1 does with fragments of ICMPv6 depends on the flows it has cached.
  const onlyIp4 = packets.some(({ what, cut }) => what === 'echo' && cut);
  const family = onlyIp4 || random.chance(0.5) ? 4 : 6;
  const possible = packets.filter(isSyn).length > 1
    ? services.filter((service) => !rejected.includes(service)) : services;
  return { kind, client, server, family, service: random.pick(possible), packets };
}

/**
 * A TCP sequence without the packets of an end that has heard nothing when it is its turn: no
 * host answers a SYN that policy has dropped. `heard`: whether an end got anything before a
 * step.
 */
export function answering(sequence: Sequence, heard: (side: Side, step: number) => boolean):
Sequence {
  const { packets } = sequence;
  if (packets[0]?.what !== 'tcp') return sequence;
  const speaking = sides.filter((one) => {
    const turn = packets.findIndex(({ side }) => side === one);
    return turn === 0 || heard(one, turn);
  });
  return { ...sequence, packets: packets.filter(({ side }) => speaking.includes(side)) };
}

/** A sequence that goes on for as long as it takes to see two changes of policy. */
export function generateLasting(
  vms: readonly TopologyVm[], services: readonly number[], random: Random,
): Sequence {
  const client = random.pick(vms);
  const server = random.pick(vms.filter((vm) => vm !== client));
  const isTcp = random.chance(0.6);
  const talk = new Talk(random);
  if (isTcp) {
    talk.handshake();
    for (let i = 0; i < 5; i++) talk.exchange(random.pick(sides), 1 + random.below(500));
  }
  const packets = isTcp ? talk.packets : [datagram('client'), datagram('server'),
    ...Array.from({ length: 10 }, () => datagram(random.pick(sides), random.below(500)))];
  return { kind: `${isTcp ? 'TCP' : 'UDP'} while policy changes`, client, server,
    family: random.chance(0.5) ? 4 : 6, service: random.pick(services), packets };
}
