/** Frames for the differential run, drawn by a seeded generator from one topology. */
import {
  ETH_TYPE, PROTO, arp, concat, ethernet, icmp, icmp6, ipPacket, nd, solicitedNode, tcp,
  typeOf, udp, type Bytes, type Checksum, type Ip, type Pseudo,
} from './frames.js';
import type { Random } from '../random.js';
import { routerIp, routerMac, vmIp, vmMac, type Topology, type TopologyVm } from '../topology.js';

/** A frame, and the place where it enters: a VM's port, or a chassis' side of the underlay. */
export interface Injection {
  readonly at: { readonly vm: string } | { readonly underlay: string };
  readonly frame: Bytes;
  readonly kind: string;
  /** Open vSwitch 3.1 drops good frames for a while after this one: see underlay.ts. */
  readonly poison?: boolean;
}

export const tagBytes = 8;
const tagMagic = Uint8Array.of(0xf0, 0x9f, 0x90, 0xa7);

/** Marks every frame that comes of injection `index`, as long as its payload survives. */
export const tagOf = (index: number): Bytes => {
  const tag = Buffer.alloc(tagBytes);
  tag.set(tagMagic);
  tag.writeUInt32BE(index, 4);
  return tag;
};

/** The index of the injection a frame came of, if it still carries the tag. */
export function readTag(frame: Bytes): number | undefined {
  const buffer = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  const at = buffer.lastIndexOf(tagMagic);
  return at < 0 || at + tagBytes > frame.length ? undefined : buffer.readUInt32BE(at + 4);
}

export interface Scene { readonly topology: Topology; readonly random: Random }

type Family = 4 | 6;
/** What a frame is made of, before it is made wrong. */
export interface Draft {
  readonly from: TopologyVm;
  readonly ethSrc: string; readonly ethDst: string;
  readonly src: string; readonly dst: string;
  readonly ip: Partial<Ip>;
  readonly vlans?: readonly number[];
}
type Recipe = (scene: Scene, tag: Bytes) => Omit<Injection, 'kind'>;

export const pickVm = ({ topology, random }: Scene): TopologyVm => random.pick(topology.vms);
const pickFamily = ({ random }: Scene): Family => random.chance(0.5) ? 4 : 6;
const strangerMac = ({ random }: Scene): string => `02:00:00:00:99:${10 + random.below(9)}`;

/** Well-known ports that the topologies' ACLs name, and others. */
const ports = [22, 53, 80, 443, 1000, 4789, 5353, 6081, 8080, 33434, 65535] as const;

/** From one VM to another: directly within a switch, else through the router. */
export function unicast(scene: Scene, family = pickFamily(scene)): Draft {
  const { random, topology } = scene;
  const from = pickVm(scene);
  const reachable = topology.vms.filter((vm) =>
    vm !== from && (topology.routed || vm.switch === from.switch));
  const to = random.pick(reachable.length > 0 ? reachable : topology.vms);
  return {
    from, ethSrc: vmMac(from), src: vmIp(from, family), dst: vmIp(to, family),
    ethDst: to.switch === from.switch ? vmMac(to) : routerMac(from.switch),
    ip: {
      ttl: random.pick([64, 255, 128, 3]), tos: random.pick([0, 0, 0x28, 0xb8, 1, 2]),
      id: random.below(65536),
    },
  };
}

/** A layer 4 segment of any kind, with the tag as its last bytes. */
export function segment(scene: Pick<Scene, 'random'>, pseudo: Pseudo, tag: Bytes): [number, Bytes] {
  const { random } = scene;
  const data = concat(random.bytes(random.pick([0, 0, 1, 10, 100, 1000])), tag);
  const sport = random.chance(0.3) ? random.pick(ports) : 1024 + random.below(64000);
  const dport = random.chance(0.7) ? random.pick(ports) : 1 + random.below(65535);
  const checksum: Checksum = random.chance(0.03) ? 'bad' : 'good';
  const isV6 = pseudo.src.includes(':');
  const echo = { type: isV6 ? random.pick([128, 129]) : random.pick([8, 0, 13]), checksum };
  return random.weighted<() => [number, Bytes]>([
    [4, () => [PROTO.udp, udp(pseudo, {
      sport, dport, checksum: !isV6 && random.chance(0.1) ? 'zero' : checksum,
    }, data)]],
    [4, () => [PROTO.tcp, tcp(pseudo, {
      sport, dport, checksum, flags: random.pick([2, 18, 16, 24, 17, 4, 20, 0, 41, 511]),
      options: random.chance(0.3) ? Uint8Array.of(2, 4, 5, 180, 1, 1, 1, 0) : new Uint8Array(0),
    }, data)]],
    [2, () => isV6 ? [PROTO.icmp6, icmp6(pseudo, echo, concat(random.bytes(4), data))]
      : [PROTO.icmp, icmp(echo, concat(random.bytes(4), data))]],
    [1, () => [random.pick([132, 47, 50, 89, 255, 0xfd]), data]],
  ])();
}

export function build(scene: Scene, draft: Draft, tag: Bytes): Omit<Injection, 'kind'> {
  const [proto, payload] = segment(scene, draft, tag);
  return wrap(draft, proto, payload);
}

export function wrap(draft: Draft, proto: number, payload: Bytes): Omit<Injection, 'kind'> {
  const packet = ipPacket({ src: draft.src, dst: draft.dst, proto, ...draft.ip }, payload);
  return {
    at: { vm: draft.from.port },
    frame: ethernet({
      dst: draft.ethDst, src: draft.ethSrc, type: typeOf(draft.src), vlans: draft.vlans ?? [],
    }, packet),
  };
}

const changed = (change: (scene: Scene, draft: Draft) => Partial<Draft>): Recipe =>
  (scene, tag) => {
    const draft = unicast(scene);
    return build(scene, { ...draft, ...change(scene, draft) }, tag);
  };

/**
 * Every ARP and ND that a router could learn from tells the truth or is stopped by port
 * security, so that what was learned does not depend on the order of frames.
 */
const liars = (topology: Topology): TopologyVm[] =>
  topology.vms.filter((vm) => vm.security === 'addresses');

const arpRequest: Recipe = (scene, tag) => {
  const { random, topology } = scene;
  const from = pickVm(scene);
  const target = random.weighted<string>([
    [3, vmIp(pickVm(scene), 4)], [2, routerIp(from.switch, 4)],
    [1, `10.0.${from.switch}.${200 + random.below(5)}`], [1, vmIp(from, 4)],
  ]);
  const lies = liars(topology).includes(from) && random.chance(0.2);
  const spa = lies ? `10.0.${from.switch}.${100 + random.below(5)}` : vmIp(from, 4);
  const sha = lies && random.chance(0.5) ? strangerMac(scene) : vmMac(from);
  return {
    at: { vm: from.port },
    frame: ethernet({
      dst: random.chance(0.8) ? 'ff:ff:ff:ff:ff:ff' : routerMac(from.switch), src: sha,
      type: ETH_TYPE.arp,
    }, concat(arp({
      op: random.weighted([[8, 1], [2, 2], [1, random.below(30)]]),
      sha, spa, tha: '00:00:00:00:00:00', tpa: target,
    }), new Uint8Array(10), tag)),
  };
};

const neighbour: Recipe = (scene) => {
  const { random, topology } = scene;
  const from = pickVm(scene);
  const target = random.weighted<string>([
    [3, vmIp(pickVm(scene), 6)], [2, routerIp(from.switch, 6)], [1, `fd00:${from.switch}::999`],
  ]);
  const node = solicitedNode(target);
  const lies = liars(topology).includes(from) && random.chance(0.2);
  const src = lies ? `fd00:${from.switch}::${100 + random.below(5)}` : vmIp(from, 6);
  const lla = lies && random.chance(0.5) ? strangerMac(scene) : vmMac(from);
  const solicit = random.chance(0.8);
  const dst = solicit ? node.ip : random.pick(['ff02::1', vmIp(pickVm(scene), 6)]);
  const body = solicit
    ? nd({ src, dst }, { type: 135, target, ...random.chance(0.9) ? { lla } : {} })
    : nd({ src, dst }, { type: 136, target: src, flags: 0x60000000, lla });
  const ttl = random.chance(0.95) ? 255 : 64;
  const ethDst = solicit ? node.mac : '33:33:00:00:00:01';
  return wrap({ from, ethSrc: vmMac(from), ethDst, src, dst, ip: { ttl } }, PROTO.icmp6, body);
};

const toRouter: Recipe = (scene, tag) => {
  const draft = unicast(scene);
  const family: Family = draft.src.includes(':') ? 6 : 4;
  const { switch: own } = draft.from;
  const which = scene.random.chance(0.7) ? own : 1 + scene.random.below(scene.topology.switches);
  return build(scene, { ...draft, ethDst: routerMac(own), dst: routerIp(which, family) }, tag);
};

const spoofed = changed((scene, draft) => scene.random.weighted<Partial<Draft>>([
  [2, { ethSrc: strangerMac(scene) }],
  [2, { ethSrc: vmMac(pickVm(scene)) }],
  [2, { src: vmIp(pickVm(scene), draft.src.includes(':') ? 6 : 4) }],
  [1, { src: draft.src.includes(':') ? 'fe80::1' : '192.0.2.1' }],
  [1, { src: draft.src.includes(':') ? '::' : '0.0.0.0' }],
  [1, { ethSrc: routerMac(draft.from.switch) }],
  [1, { ethSrc: '01:00:5e:00:00:01' }],
]));

const unknown = changed((scene, draft) => {
  const isV6 = draft.src.includes(':');
  const { switch: own } = draft.from;
  return scene.random.weighted<Partial<Draft>>([
    [2, { ethDst: strangerMac(scene) }],
    [2, { ethDst: routerMac(own), dst: isV6 ? 'fd00:77::1' : '198.51.100.7' }],
    [1, { ethDst: routerMac(own), dst: isV6 ? `fd00:${own}::999` : `10.0.${own}.250` }],
    [1, { ethDst: routerMac(own % 2 + 1) }],
  ]);
});

const ttlEdge = changed((scene, draft) => ({
  ip: { ...draft.ip, ttl: scene.random.pick([0, 1, 2]) },
  ...scene.random.chance(0.5) ? { ethDst: routerMac(draft.from.switch) } : {},
}));

const group = changed((scene, draft) => {
  const isV6 = draft.src.includes(':');
  return scene.random.weighted<Partial<Draft>>([
    [2, { ethDst: 'ff:ff:ff:ff:ff:ff', ...isV6 ? {} : { dst: '255.255.255.255' } }],
    [2, isV6 ? { ethDst: '33:33:00:00:00:01', dst: 'ff02::1' }
      : { ethDst: '01:00:5e:01:02:03', dst: '224.1.2.3' }],
    [1, { dst: isV6 ? 'ff02::1' : '224.1.2.3' }],
    [1, { ethDst: isV6 ? '33:33:00:00:00:01' : '01:00:5e:01:02:03' }],
    [1, isV6 ? {} : { ethDst: 'ff:ff:ff:ff:ff:ff', dst: `10.0.${draft.from.switch}.255` }],
  ]);
});

const tagged = changed(({ random }) => ({
  vlans: random.pick([[1], [0], [100, 200], [0x2000 | 5], [4095]]),
}));

/** Fragments and options of IPv4; extension headers are in the corpus. */
const optioned = changed(({ random }, draft) => draft.src.includes(':') ? {} : {
  ip: {
    ...draft.ip,
    ...random.pick<Partial<Ip>>([
      { fragment: 0x2000 }, { fragment: 0x2010 }, { fragment: 0x0020 }, { fragment: 0 },
      { fragment: 0x8000 }, { options: Uint8Array.of(1, 1, 1, 0) },
      { options: Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0) }, { checksum: 'bad' },
    ]),
  },
});

const dhcp: Recipe = (scene, tag) => {
  const from = pickVm(scene);
  const src = '0.0.0.0';
  const dst = '255.255.255.255';
  const body = udp({ src, dst }, { sport: 68, dport: 67 }, concat(scene.random.bytes(240), tag));
  return wrap({ from, ethSrc: vmMac(from), ethDst: 'ff:ff:ff:ff:ff:ff', src, dst, ip: {} },
    PROTO.udp, body);
};

const recipes: readonly (readonly [number, readonly [string, Recipe]])[] = [
  [50, ['unicast', (scene, tag) => build(scene, unicast(scene), tag)]],
  [8, ['to the router', toRouter]],
  [8, ['ARP', arpRequest]],
  [6, ['ND', neighbour]],
  [10, ['spoofed source', spoofed]],
  [5, ['unknown destination', unknown]],
  [6, ['TTL edge', ttlEdge]],
  [4, ['broadcast or multicast', group]],
  [2, ['VLAN tag', tagged]],
  [5, ['IPv4 fragment or option', optioned]],
  [1, ['DHCP', dhcp]],
];

/** One frame that enters at a VM's port. */
export function generate(scene: Scene, tag: Bytes): Injection {
  const [kind, recipe] = scene.random.weighted(recipes);
  return { kind, ...recipe(scene, tag) };
}
