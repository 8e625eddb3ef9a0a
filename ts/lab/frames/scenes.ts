/** The logical networks that frames are compared in. */
import { badFrames } from './corpus.js';
import { generate, tagOf, type Injection, type Scene } from './generator.js';
import type { Bytes } from '../packet.js';
import type { Random } from '../random.js';
import type { Topology, TopologyVm } from '../topology.js';
import { badGeneve, generateUnderlay, poisonousGeneve, type Wiring } from './underlay.js';

const raw = (
  port: string, sw: number, host: number, chassis: string,
  security: TopologyVm['security'] = 'addresses',
): TopologyVm => ({ port, switch: sw, host, chassis, security, raw: true });

const everyPort = ['a1', 'a2', 'a3', 'b1', 'b2'];

/** One switch, port security of every kind, placed on both chassis. */
const flat: Topology = {
  name: 'one switch', switches: 1, routed: false,
  vms: [
    raw('a1', 1, 11, 'c1'), raw('a2', 1, 12, 'c1', 'mac'), raw('a3', 1, 13, 'c2'),
    raw('a4', 1, 14, 'c2', 'none'),
  ],
};

const routed: Topology = {
  name: 'two switches and a router', switches: 2, routed: true,
  vms: [
    raw('a1', 1, 11, 'c1'), raw('a2', 1, 12, 'c1'), raw('a3', 1, 13, 'c2'),
    raw('b1', 2, 11, 'c1', 'none'), raw('b2', 2, 12, 'c2', 'mac'),
  ],
};

const stateless: Topology = {
  ...routed, name: 'stateless ACLs with port groups and address sets',
  portGroups: { pg_all: everyPort, pg_web: ['a1', 'b1', 'b2'] },
  addressSets: {
    as_web4: ['10.0.1.11', '10.0.2.0/24'], as_web6: ['fd00:1::11', 'fd00:2::/64'],
  },
  acls: [
    { on: 'pg_all', direction: 'from-lport', priority: 1001, match: 'inport == @pg_all && ip',
      action: 'allow-stateless' },
    { on: 'pg_all', direction: 'from-lport', priority: 1005, action: 'drop',
      match: 'inport == @pg_all && tcp.dst == {22, 8080} && ip4.dst != $as_web4' },
    { on: 'pg_web', direction: 'to-lport', priority: 1002, action: 'allow-stateless',
      match: 'outport == @pg_web && ip4.src == $as_web4 && tcp' },
    { on: 'pg_web', direction: 'to-lport', priority: 1002, action: 'allow-stateless',
      match: 'outport == @pg_web && ip6.src == $as_web6 && (tcp.dst >= 1024 || udp.dst == 53)' },
    { on: 'pg_all', direction: 'to-lport', priority: 1001, action: 'allow-stateless',
      match: 'outport == @pg_all && (icmp4 || icmp6 || (udp.src > 32768 && udp.dst < 5000))' },
    { on: 'pg_all', direction: 'to-lport', priority: 1000, match: 'outport == @pg_all && ip',
      action: 'drop' },
    { on: 's2', direction: 'to-lport', priority: 2000, match: 'ip.ttl == 2 || tcp.flags == 0x29',
      action: 'drop' },
  ],
};

/** Rejected where it leaves and where it arrives: local, routed and from other chassis. */
const rejecting: Topology = {
  ...routed, name: 'ACLs that reject',
  acls: [
    { on: 's1', direction: 'from-lport', priority: 1001, action: 'reject',
      match: 'tcp.dst < 1024 || udp.dst == 53 || ip.proto == {47, 50, 132}' },
    { on: 's2', direction: 'to-lport', priority: 1001, action: 'reject',
      match: 'ip.ttl < 100 && (tcp || udp.src > 30000 || icmp)' },
  ],
};

const wide: Topology = {
  name: 'three switches and a router', switches: 3, routed: true,
  vms: [
    raw('a1', 1, 11, 'c1'), raw('a2', 1, 12, 'c2', 'none'), raw('b1', 2, 11, 'c1', 'mac'),
    raw('b2', 2, 12, 'c2'), raw('d1', 3, 11, 'c1', 'none'), raw('d2', 3, 12, 'c2'),
  ],
};

export interface Arena {
  readonly topology: Topology;
  readonly encap: { readonly family: 4 | 6; readonly csum: boolean };
}

/** How many frames are sent at once: few enough for OVS's packet sockets. */
export const batchSize = 64;

export const arenas: readonly Arena[] = [
  { topology: flat, encap: { family: 4, csum: true } },
  { topology: routed, encap: { family: 4, csum: false } },
  { topology: stateless, encap: { family: 4, csum: true } },
  { topology: rejecting, encap: { family: 4, csum: true } },
  { topology: wide, encap: { family: 6, csum: true } },
];

/** Every malformed frame once, then generated ones, `count` or some more together. */
export function injectionsFor(
  topology: Topology, random: Random, wiring: Wiring, count: number,
): Injection[] {
  const scene: Scene = { topology, random };
  const injections: Injection[] = [];
  const add = (injection: Injection | undefined): void => {
    if (injection !== undefined) injections.push(injection);
  };
  const next = (): Bytes => tagOf(injections.length);
  for (const make of badFrames) add(make(scene, next()));
  for (const make of badGeneve) add(make(scene, wiring, next()));
  // The last batch is full, so that poison gets batches of its own.
  while (injections.length < count || injections.length % batchSize > 0) {
    const underlay = random.chance(0.15)
      ? generateUnderlay(scene, wiring, next()) : undefined;
    add(underlay ?? generate(scene, next()));
  }
  for (const make of poisonousGeneve) {
    const injection = make(scene, wiring, next());
    if (injection !== undefined) add({ ...injection, poison: true });
  }
  return injections;
}
