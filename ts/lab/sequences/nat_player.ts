/**
 * Plays sequences across routers that translate. Who answers, and to which address and port, is
 * known only when the first packet has come out: a player answers what it has heard.
 */
import type { Injection } from '../frames/generator.js';
import {
  addressKey, canonical, ipOf, portsOf, quoteOf, tagsOf, viewOf, type Names,
} from './nat_canonical.js';
import { backendPort, service } from './nat_clouds.js';
import { outDevice, outsideMac, type End, type NatWorld } from './nat_world.js';
import { familyOf } from '../neutron.js';
import { arrivalText, type Arrival } from '../frames/outcome.js';
import {
  concat, eth, fragments, hex, icmp, icmp6, ip4, ip4Bytes, ip6, ip6Bytes, raw4, tcp, udp,
  type Bytes, type Layer4,
} from '../packet.js';
import type { Player, Stage } from './sequence_run.js';
import { firstClientPort, fragmentSize, inOrder, type Packet, type Side } from './sequences.js';

type Family = 4 | 6;

export interface NatSequence {
  readonly kind: string;
  readonly client: End;
  /** Who answers; of a balanced service, one of the backends. */
  readonly server: End; readonly backends: readonly string[];
  /** What the client asks for: the server's own address, a floating one, a VIP. */
  readonly asked: string;
  readonly packets: readonly Packet[];
  /** Sequences of the same slot have the same client port: only addresses tell them apart. */
  readonly slot: number;
}

/** The sender of an ICMP error that is neither end. */
const strangerIp = { 4: '192.0.2.99', 6: '2001:db8:bbbb::99' } as const;
const data = (size: number): Bytes => Uint8Array.from({ length: size }, (_, i) => i * 7);

const addressText = (bytes: Bytes): string => bytes.length === 4 ? bytes.join('.')
  : hex(bytes).replace(/(....)(?=.)/g, '$1:');
const addressBytes = (text: string): Bytes =>
  (text.includes(':') ? ip6Bytes : ip4Bytes)(text);

interface Heard { readonly src: string; readonly dst: string;
  readonly ports: readonly [number, number] }

export class NatPlayer implements Player {
  readonly steps: number;
  /** Address key or 'id' to the port or identifier that was chosen there. */
  readonly chosen = new Map<string, number>();
  private readonly family: Family;
  /** IP bytes by packet, as sent and as the other side heard them. */
  private readonly sent: Bytes[] = [];
  private readonly received: Bytes[] = [];
  private heard: Heard | undefined;
  private server: End;
  private readonly names: Names;

  constructor(private readonly world: NatWorld, readonly sequence: NatSequence,
    readonly port: number, readonly key: number) {
    this.steps = sequence.packets.length;
    this.family = familyOf(sequence.asked);
    this.server = sequence.server;
    this.names = this.makeNames();
  }

  send(step: number): readonly Injection[] {
    const packet = this.sequence.packets[step] as Packet;
    const end = packet.side === 'client' ? this.sequence.client : this.server;
    const { src, dst, ports } = this.view(packet.side);
    const from = packet.what === 'error' && packet.from !== undefined
      && !('instance' in end) ? strangerIp[this.family] : src;
    const layer4 = this.layer4(packet, ports);
    const ip = (this.family === 4 ? ip4 : ip6)(
      { src: from, dst, id: this.key, label: this.key }, layer4);
    this.sent[step] = ip.bytes;
    const addresses = { src: this.world.macOf(end), dst: this.world.nextHop(end, dst) };
    const cut = packet.cut !== true ? [ip]
      : inOrder(fragments(ip, this.key, fragmentSize), packet.order ?? 0);
    return cut.map((piece) => ({ kind: this.sequence.kind, at: { vm: this.world.placeOf(end) },
      frame: this.world.onWire(eth(addresses, piece), this.world.vlanOf(end)) }));
  }

  /** On its way a fragment may meet others of its datagram at one place, on their way back. */
  anyOrder(step: number): boolean { return this.sequence.packets[step]?.cut === true; }

  hear(arrival: Arrival, step: number): string | undefined {
    const { where, frame } = arrival;
    const { backends } = this.sequence, packet = this.sequence.packets[step];
    // A switch floods what it does not know yet: only what is for a host outside gets there.
    if (where === outDevice && hex(frame.subarray(0, 6)) !== outsideMac.replaceAll(':', '')) {
      return undefined;
    }
    const balanced = backends.length > 0;
    if (balanced && where.startsWith('underlay:')) return undefined;
    if (packet !== undefined) this.notice(packet, step, where, frame);
    return arrivalText({ where: balanced && backends.includes(where) ? 'backend' : where,
      frame: canonical(frame, this.names) });
  }

  /** Where packets of a side come from and go to, as that side sees it. */
  private view(side: Side): Heard {
    const { client, asked } = this.sequence, { world, family, heard } = this;
    const own = world.ipOf(client, family);
    if (side === 'client') return { src: own, dst: asked, ports: [this.port, service] };
    if (heard !== undefined) {
      return { src: heard.dst, dst: heard.src, ports: [heard.ports[1], heard.ports[0]] };
    }
    return { src: world.ipOf(this.server, family), dst: this.guess(),
      ports: [service, this.port] };
  }

  /** To whom a server speaks that was not spoken to. */
  private guess(): string {
    const { client } = this.sequence, { world, family } = this;
    const own = world.ipOf(client, family);
    if ('instance' in this.server || !('instance' in client)) return own;
    const router = world.routerOf(client.instance);
    const outside = [...router?.floatingIps?.filter(({ instance }) =>
      instance === client.instance).map(({ address }) => address) ?? [],
    ...router?.gateway?.addresses ?? []];
    return outside.find((address) => familyOf(address) === family) ?? own;
  }

  private layer4(packet: Packet, [src, dst]: readonly [number, number]): Layer4 {
    const v4 = this.family === 4, message = v4 ? icmp : icmp6;
    switch (packet.what) {
      case 'tcp': return tcp({ src, dst, ...packet, window: 65535 }, data(packet.size));
      case 'udp': return udp({ src, dst }, data(packet.size));
      case 'echo': {
        const id = packet.side === 'client' ? src : dst;
        return message({ type: v4 ? (packet.reply ? 0 : 8) : (packet.reply ? 129 : 128),
          rest: (id + Number(packet.other)) * 65536 + packet.count }, data(packet.size ?? 24));
      }
      case 'error': return message({ type: v4 ? 3 : 1, code: packet.code, rest: 0 },
        this.quote(packet.of, packet.turned === true));
      case 'other': return raw4(packet.proto, concat(
        Uint8Array.of(this.port >> 8, this.port & 255), data(18)));
    }
  }

  /** A packet as its receiver saw it; when nobody did, as it was sent. */
  private quote(of: number, turned: boolean): Bytes {
    const bytes = Uint8Array.from(this.received[of] ?? this.sent[of] ?? []).subarray(0, 80);
    if (!turned || bytes.length === 0) return bytes;
    const [at, size] = this.family === 4 ? [12, 4] : [8, 16];
    return concat(bytes.subarray(0, at), bytes.subarray(at + size, at + 2 * size),
      bytes.subarray(at, at + size), bytes.subarray(at + 2 * size));
  }

  /** Remembers what the other side of a packet's sender has heard. */
  private notice(packet: Packet, step: number, where: string, frame: Bytes): void {
    const { world, sequence } = this;
    const ip = ipOf(frame), view = viewOf(ip);
    if (view === undefined || view.l4.length === 0) return;
    if (packet.side === 'server') {
      if (where === world.placeOf(sequence.client)) this.received[step] ??= Uint8Array.from(ip);
      return;
    }
    const servers = sequence.backends.length > 0 ? sequence.backends : [world.placeOf(this.server)];
    if (!servers.includes(where)) return;
    this.received[step] ??= Uint8Array.from(ip);
    if (quoteOf(view) !== undefined || this.heard !== undefined) return;
    if ('instance' in this.server) this.server = { instance: where };
    const ports = portsOf(view) ?? [this.port, service];
    this.heard = { src: addressText(view.src), dst: addressText(view.dst),
      ports: packet.what === 'echo' ? [ports[0], ports[0]] : ports };
  }

  private makeNames(): Names {
    const { world, sequence, family, port } = this;
    const { cloud } = world, asked = addressKey(sequence.asked);
    const own = addressKey(world.ipOf(sequence.client, family));
    const servers = sequence.backends.length > 0 ? sequence.backends
      : 'instance' in this.server ? [this.server.instance] : [];
    const keys = servers.map((name) => addressKey(cloud.ipOf(name, family) ?? ''));
    // A backend and the router before it, which has another MAC in each network.
    const macsOf = (name: string): readonly string[] => [cloud.macOf(name), cloud.routerMac(
      world.routerOf(name)?.name ?? '', cloud.instance(name).network)];
    const macs = new Map(sequence.backends.flatMap((name) => macsOf(name).map((one, i) =>
      [one.replaceAll(':', ''), macsOf(sequence.backends[0] ?? '')[i]] as const)));
    return {
      tag: this.key,
      port: (address, value) => {
        if (address === asked && value === service) return value;
        // What an ICMP error quotes need not be what anybody has sent: a port of another place.
        const place = this.chosen.get(address) === value ? undefined
          : [...this.chosen].find(([, chosen]) => chosen === value)?.[0];
        if (place !== undefined) return keys.includes(place) ? service : port;
        if (world.isTranslated(address)) return this.choice(address, value, port);
        if ([service, backendPort, port].includes(value)) return value;
        if (keys.includes(address)) return this.choice(address, value, service);
        // Behind a floating address with a range, a client that is spoken to first.
        return address === own ? this.choice(address, value, port) : value;
      },
      identifier: (value) =>
        value === port || value === port + 1 ? value : this.choice('id', value, port),
      address: (address) => sequence.backends.length > 1 && keys.includes(address)
        ? addressBytes(cloud.ipOf(sequence.backends[0] ?? '', family) ?? '') : undefined,
      mac: (one) => macs.get(one),
    };
  }

  /** `name` stands for the first port seen at a place; another one shows. */
  private choice(place: string, value: number, name: number): number {
    const known = this.chosen.get(place);
    if (known === undefined) this.chosen.set(place, value);
    return (known ?? value) === value ? name : value;
  }
}

const firstTag = 4096, stride = 2;

/** Frames of all stages: OVS knows fragments by their identification for a while. */
let tags = 0;

export class NatStage implements Stage {
  constructor(readonly world: NatWorld, readonly sequences: readonly NatSequence[]) {}
  get count(): number { return this.sequences.length; }
  private get slots(): number { return Math.max(...this.sequences.map(({ slot }) => slot)) + 1; }

  play(index: number, round: number): Player {
    const sequence = this.sequences[index] as NatSequence;
    const ports = 28000 - firstClientPort;
    const port = firstClientPort + (sequence.slot + round * this.slots) * stride % ports;
    const tag = firstTag + tags++ % (65536 - firstTag);
    return new NatPlayer(this.world, sequence, port, tag);
  }

  keysOf(frame: Bytes): readonly number[] { return tagsOf(frame); }
}
