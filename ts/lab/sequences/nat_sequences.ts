/** Which sequences there are across routers that translate, and what is wrong with one. */
import { beyond, onLink, type Vip } from './nat_clouds.js';
import { NatPlayer, type NatSequence, type NatStage } from './nat_player.js';
import type { End, NatWorld } from './nat_world.js';
import { addressIn, familyOf } from '../neutron.js';
import type { Random } from '../random.js';
import { outcomeLines, type Player, type SequenceDifference } from './sequence_run.js';
import { groupSize } from './sequence_trial.js';
import { F, pickScript, type Packet } from './sequences.js';
import type { TopologyVm } from '../topology.js';

type Family = 4 | 6;

/** Floating addresses of an instance. */
const floatingsOf = (world: NatWorld, instance: string) =>
  (world.routerOf(instance)?.floatingIps ?? []).filter((one) => one.instance === instance);

/** Whether a TCP connection was over when another that was sent so much later began. */
const isOver = ({ packets }: NatSequence, later: number): boolean => later >= groupSize
  && packets.some((packet) => packet.what === 'tcp' && (packet.flags & (F.rst | F.fin)) !== 0);

/**
 * What a translator may not do although it chooses: give a port outside the range it was given,
 * or give two connections that are alive at once the same port towards the same service.
 */
export function violations(stage: NatStage, players: ReadonlyMap<number, Player>): string[] {
  const { world } = stage, owners = new Map<string, number>();
  return [...players].flatMap(([index, player]) => {
    const sequence = stage.sequences[index] as NatSequence, { client, packets } = sequence;
    if (!(player instanceof NatPlayer) || !('instance' in client)) return [];
    // What a server there sends of itself leaves with the server's port.
    if (sequence.kind.startsWith('east-west')) return [];
    const [{ what } = { what: 'other' }] = packets;
    if (what !== 'tcp' && what !== 'udp') return [];
    const { snat } = world.routerOf(client.instance) ?? {};
    const shared = floatingsOf(world, client.instance).length === 0;
    return [...player.chosen].filter(([place]) => world.isTranslated(place))
      .flatMap(([place, port]) => {
        const [first = 0, last = 65535] = shared ? snat?.ports?.split('-').map(Number) ?? [] : [];
        const key = `${what} ${place}:${port} to ${sequence.asked}`, had = owners.get(key);
        const other = had === undefined
          || isOver(stage.sequences[had] as NatSequence, index - had) ? undefined : had;
        owners.set(key, index);
        return [...port < first || port > last
          ? [`sequence ${index} (${sequence.kind}): port ${port} is not in ${first}-${last}`] : [],
        ...other === undefined ? []
          : [`sequences ${other} and ${index} (${sequence.kind}) are both ${key}`]];
      });
  });
}

const endText = (end: End): string => 'instance' in end ? end.instance : end.outside;

export function explainNat(sequence: NatSequence, difference: SequenceDifference): string {
  const { client, server, asked, kind, packets, backends } = sequence;
  const { index, step } = difference;
  return [`sequence ${index} (${kind}), ${endText(client)} asks ${asked}, which is ${
    backends.length > 0 ? backends.join(' or ') : endText(server)}; differs at packet ${step}:`,
  ...packets.slice(0, step + 1).map((packet, i) => `  ${i}: ${JSON.stringify(packet)}`),
  ...outcomeLines(difference)].join('\n');
}

// ---- What sequences there are ---------------------------------------------------------------

/** A client, and a server by an address. */
type Meeting = Pick<NatSequence, 'client' | 'server' | 'asked' | 'backends'>;
type Draw = (random: Random, world: NatWorld, family: Family) => Meeting | undefined;

const instances = (world: NatWorld, family: Family): string[] =>
  world.cloud.spec.instances.filter(({ name }) => world.cloud.ipOf(name, family) !== undefined)
    .map(({ name }) => name);

function outsideOf(random: Random, world: NatWorld, network: string, family: Family): End {
  const cidr = world.cloud.network(network).subnets.find((one) => familyOf(one) === family) ?? '';
  return { network, outside: random.chance(0.6) ? addressIn(cidr, onLink) : beyond[family] };
}

const outward: Draw = (random, world, family) => {
  const instance = random.pick(instances(world, family));
  const network = world.routerOf(instance)?.gateway?.network;
  if (network === undefined) return undefined;
  const server = outsideOf(random, world, network, family);
  return { client: { instance }, server, backends: [], asked: world.ipOf(server, family) };
};

interface Floating { readonly address: string; readonly instance: string;
  readonly network: string; readonly router: string }
const floatings = (world: NatWorld, family: Family): Floating[] =>
  world.cloud.spec.routers.flatMap(({ name, gateway, floatingIps = [] }) => floatingIps
    .filter(({ address }) => familyOf(address) === family)
    .map(({ address, instance }) =>
      ({ address, instance, network: gateway?.network ?? '', router: name })));

const inward: Draw = (random, world, family) => {
  const all = floatings(world, family);
  if (all.length === 0) return undefined;
  const { address, instance, network } = random.pick(all);
  return { client: outsideOf(random, world, network, family), server: { instance },
    backends: [], asked: address };
};

/** Where packets of an instance are translated. */
function translatorOf(world: NatWorld, instance: string): string | undefined {
  const { gateway } = world.routerOf(instance) ?? {};
  const [own] = floatingsOf(world, instance);
  return own?.distributed === true ? world.cloud.instance(instance).chassis
    : gateway?.chassis[0];
}

/**
 * From an instance to a floating address, of its own router's or of another's. Not through two
 * routers that translate on one chassis: userspace OVS gives a packet up that is recirculated
 * for the seventh time (MAX_RECIRC_DEPTH, counted as datapath_drop_recirc_error).
 */
const hairpin: Draw = (random, world, family) => {
  const all = floatings(world, family);
  if (all.length === 0) return undefined;
  const { address, instance, router } = random.pick(all);
  const near = instances(world, family).filter((name) => name !== instance
    && (world.routerOf(name)?.name === router || (random.chance(0.3)
      && translatorOf(world, name) !== translatorOf(world, instance))));
  return near.length === 0 ? undefined : { client: { instance: random.pick(near) },
    server: { instance }, backends: [], asked: address };
};

const eastWest: Draw = (random, world, family) => {
  const client = random.pick(instances(world, family));
  const near = instances(world, family).filter((name) => name !== client
    && world.routerOf(name) === world.routerOf(client));
  const server = random.pick(near);
  return { client: { instance: client }, server: { instance: server }, backends: [],
    asked: world.ipOf({ instance: server }, family) };
};

function askVip(random: Random, world: NatWorld, vip: Vip): Meeting | undefined {
  const { backends, address, router } = vip;
  const server = { instance: backends[0] ?? '' };
  const { network: gateway, chassis: [active] = [] } = world.cloud.router(router).gateway ?? {};
  // What answers is to hang on no choice: if some have a distributed floating address, theirs leave
  // their own chassis with its MAC, and as they are unless the gateway is there, which knows the
  // connection.
  const leaves = (name: string): string =>
    floatingsOf(world, name).some(({ distributed }) => distributed === true)
      ? `at ${world.cloud.instance(name).chassis === active}` : 'by the gateway';
  if (new Set(backends.map(leaves)).size > 1) return undefined;
  if (vip.outside && gateway !== undefined && random.chance(0.6)) {
    return { client: outsideOf(random, world, gateway, 4), server, backends, asked: address };
  }
  // Nor is the way: of backends in its own network and in another, each would come by another.
  const alike = (network: string): boolean => new Set(backends.map((name) =>
    world.cloud.instance(name).network === network)).size === 1;
  const near = world.cloud.spec.instances.filter(({ name, network }) =>
    world.routerOf(name)?.name === router && !backends.includes(name) && alike(network));
  if (near.length === 0) return undefined;
  return { client: { instance: random.pick(near).name }, server, backends, asked: address };
}

const balanced: Draw = (random, world, family) =>
  world.ground.vips.length === 0 || family === 6 ? undefined
    : askVip(random, world, random.pick(world.ground.vips));

const draws: readonly (readonly [number, readonly [string, Draw]])[] = [
  [6, ['out', outward]], [5, ['in', inward]], [3, ['hairpin', hairpin]],
  [1, ['east-west', eastWest]], [4, ['balanced', balanced]],
];

/** Only the names count: who is meant by `from` of a packet is decided by the player. */
const nobody = (port: string): TopologyVm =>
  ({ port, switch: 1, host: 1, chassis: '', security: 'none' });

/**
 * A protocol without ports has room for one host behind an address and before a server. What
 * becomes of a second one hangs on how long the first is remembered, which differs from OVS.
 */
const hasRoom = (world: NatWorld, { client }: Meeting): boolean => !('instance' in client)
  || world.cloud.spec.instances.find(({ name }) =>
    world.routerOf(name) === world.routerOf(client.instance))?.name === client.instance;

/**
 * An ICMPv6 error that quotes TCP, from behind a translated address: where OVS 3.1 translates the
 * quoted destination back it writes the quoted checksum, which it looks for behind the outer
 * header, over the quoted source (lib/packets.c, packet_update_csum128()).
 */
function isSpoilt({ client, server, packets }: NatSequence, packet: Packet): boolean {
  return packet.what === 'error' && packets[packet.of]?.what === 'tcp'
    && 'instance' in (packet.side === 'client' ? client : server);
}

/** Without those of them that OVS would spoil. */
function unspoilt(sequence: NatSequence): NatSequence {
  const at = sequence.packets.findLastIndex((packet) => isSpoilt(sequence, packet));
  const next = at < 0 ? undefined : without(sequence, at);
  return next === undefined ? sequence : unspoilt(next);
}

/** OVS 3.1 mends a checksum in later fragments that it rewrites untracked; they have none. */
const isStateless = (world: NatWorld, { client, server, backends }: Meeting): boolean =>
  [client, server, ...backends.map((instance) => ({ instance }))].some((end) => 'instance' in end
    && floatingsOf(world, end.instance).some(({ stateless }) => stateless === true));

/**
 * To a connection that nobody translates a stranger's error gets another source in OVS's userspace
 * tracker, and keeps its own in the kernel's and in ours (docs/nat.md, Differences).
 */
function isStrange(world: NatWorld, { client, asked, packets }: NatSequence): boolean {
  if (!('instance' in client)) return false;
  return world.routerOf(client.instance)?.snat === undefined
    && !floatingsOf(world, client.instance).some(({ address }) =>
      familyOf(address) === familyOf(asked))
    && packets.some((packet) => packet.what === 'error' && packet.from !== undefined);
}

function generateOne(random: Random, world: NatWorld, slot: number, kinds: RegExp): NatSequence {
  for (;;) {
    const family: Family = random.chance(0.25) ? 6 : 4;
    const [what, draw] = random.weighted(draws);
    if (family === 6 && instances(world, 6).length < 4) continue;
    const meeting = draw(random, world, family);
    if (meeting === undefined) continue;
    const ends = [nobody('client'), nobody('server')] as const;
    const [kind, script] = pickScript(random, kinds);
    const packets = script({ random, vms: [...ends, nobody('stranger')], ends });
    // What OVS 3.1 does with fragments of ICMPv6 depends on the flows it has cached.
    if (family === 6 && packets.some(({ what, cut }) => what === 'echo' && cut)) continue;
    if (packets.some(({ cut }) => cut) && isStateless(world, meeting)) continue;
    const portless = packets.some((packet) => ['echo', 'other'].includes(packet.what));
    if (meeting.backends.length > 0 && portless) continue;
    if (packets.some((packet) => packet.what === 'other') && !hasRoom(world, meeting)) continue;
    const sequence = { ...meeting, kind: `${what}: ${kind}`, packets, slot };
    if (isStrange(world, sequence)) continue;
    return family === 6 ? unspoilt(sequence) : sequence;
  }
}

/** Some have a twin: another client of the same server, with the same port. */
function twinOf(random: Random, world: NatWorld, one: NatSequence): NatSequence | undefined {
  const { client, asked } = one;
  if (!('instance' in client) || 'instance' in one.server
    || one.packets.some(({ what }) => what === 'other')) return undefined;
  const cut = one.packets.some((packet) => packet.cut);
  const others = instances(world, familyOf(asked)).filter((name) => name !== client.instance
    && world.routerOf(name) === world.routerOf(client.instance)
    && !(cut && isStateless(world, { ...one, client: { instance: name } })));
  return others.length === 0 ? undefined
    : { ...one, client: { instance: random.pick(others) }, kind: `${one.kind} (twin)` };
}

/** `kinds`: of which scripts. */
export function generateNatSequences(random: Random, world: NatWorld, count: number,
  kinds = /./): NatSequence[] {
  const all: NatSequence[] = [];
  for (let slot = 0; all.length < count; slot++) {
    const one = generateOne(random, world, slot, kinds);
    const twin = random.chance(0.25) ? twinOf(random, world, one) : undefined;
    all.push(one, ...twin === undefined ? [] : [twin]);
  }
  return all.slice(0, count);
}

/** The sequence without one of its packets; undefined when another one quotes that. */
function without(sequence: NatSequence, removed: number): NatSequence | undefined {
  const packets = sequence.packets.filter((_, i) => i !== removed);
  if (packets.some((packet) => packet.what === 'error' && packet.of === removed)) return undefined;
  return { ...sequence, packets: packets.map((packet): Packet =>
    packet.what === 'error' && packet.of > removed ? { ...packet, of: packet.of - 1 } : packet) };
}

/** Shorter sequences that may show what this one shows at `step`: shortest first. */
export function shorter(sequence: NatSequence, step: number): NatSequence[] {
  const whole = { ...sequence, packets: sequence.packets.slice(0, step + 1) };
  const most: NatSequence[] = [whole];
  for (let i = step - 1; i > 0; i--) {
    const next = without(most[0]!, i);
    if (next !== undefined) most.unshift(next);
  }
  const single = Array.from({ length: step }, (_, i) => without(whole, i))
    .filter((one) => one !== undefined);
  return [...most, ...single]
    .sort((a, b) => a.packets.length - b.packets.length)
    .map((one, slot) => ({ ...one, slot }));
}
