/** Geneve as it reaches a chassis: right, from strangers, and wrong. */
import {
  PROTO, ethernet, geneve, ipPacket, mac, typeOf, udp, type Bytes, type Checksum, type Geneve,
} from './frames.js';
import { build, unicast, type Injection, type Scene } from './generator.js';
import type { Lab } from '../lab.js';
import type { TopologyVm } from '../topology.js';
import { uplink } from '../chassis.js';

interface Tep { readonly name: string; readonly mac: string; readonly ip: string }

/** What a frame on the wire needs to know of the lab. */
export interface Wiring {
  readonly chassis: readonly Tep[];
  readonly csum: boolean;
  /** Tunnel keys: of switch number n, and of a port within its switch. */
  readonly datapathKey: (sw: number) => number;
  readonly portKey: (port: string) => number;
}

function table(lab: Lab, name: string, columns: string): readonly (readonly unknown[])[] {
  const text = lab.sb('--format=json', `--columns=${columns}`, 'list', name);
  return (JSON.parse(text) as { data: unknown[][] }).data;
}

export function readWiring(lab: Lab): Wiring {
  const named = (rows: readonly (readonly unknown[])[]) =>
    new Map(rows.map(([name, key]) => [name as string, key as number]));
  const ports = named(table(lab, 'Port_Binding', 'logical_port,tunnel_key'));
  const datapaths = new Map(table(lab, 'Datapath_Binding', 'external_ids,tunnel_key')
    .map(([ids, key]) => {
      const pairs = (ids as [string, [string, string][]])[1];
      return [pairs.find(([name]) => name === 'name')?.[1] ?? '', key as number];
    }));
  const must = (keys: ReadonlyMap<string, number>, name: string): number => {
    const key = keys.get(name);
    if (key === undefined) throw new Error(`the Southbound database has no ${name}`);
    return key;
  };
  const chassis = [...lab.chassis.values()].map((each) => ({
    name: each.name, ip: each.encapIp, mac: each.link(uplink).address,
  }));
  const [first] = lab.chassis.values();
  return {
    chassis, csum: first?.place.encap.csum ?? true,
    datapathKey: (sw) => must(datapaths, `s${sw}`), portKey: (port) => must(ports, port),
  };
}

interface Outer {
  readonly from: Tep; readonly to: Tep; readonly header: Geneve; readonly checksum: Checksum;
  readonly ip?: { readonly ttl?: number; readonly tos?: number; readonly fragment?: number };
  readonly dport?: number;
  /** Bytes to leave of the whole frame. */
  readonly cut?: number;
}

function onTheWire(outer: Outer, inner: Bytes): Bytes {
  const pseudo = { src: outer.from.ip, dst: outer.to.ip };
  const packet = ipPacket({ ...pseudo, proto: PROTO.udp, ttl: 64, ...outer.ip },
    udp(pseudo, { sport: 33000, dport: outer.dport ?? 6081, checksum: outer.checksum },
      geneve(outer.header, inner)));
  const frame = ethernet({ dst: outer.to.mac, src: outer.from.mac, type: typeOf(pseudo.src) },
    packet);
  return outer.cut === undefined ? frame : frame.slice(0, outer.cut);
}

type Change = (outer: Outer, scene: Scene) => Partial<Outer>;
const header = (change: (header: Geneve) => Partial<Geneve>): Change =>
  (outer) => ({ header: { ...outer.header, ...change(outer.header) } });
const portsOf = (change: Partial<{ ingress: number; egress: number }>): Change =>
  header(({ ports }) => ({ ports: { ingress: 1, egress: 1, ...ports, ...change } }));
const without = (h: Geneve): Geneve => {
  const { ports: _ports, ...rest } = h;
  return rest;
};

/**
 * Options that Open vSwitch cannot take apart. OVS 3.1 then installs a drop whose match is so
 * wide that good frames from the same chassis fall into it until the flow expires ("Invalid
 * Geneve tunnel metadata"). ovn-xdp forwards those good frames, so they must be kept apart.
 */
const poisonous: readonly (readonly [string, Change])[] = [
  ['no option', ({ header: h }) => ({ header: without(h) })],
  ['option of another class', header(() => ({ optionClass: 0x0103 }))],
  ['option of another type', header(() => ({ optionType: 0x81 }))],
  ['option that is not critical', header(() => ({ optionType: 0x00, flags: 0 }))],
  ['option length zero', header(() => ({ optionLength: 0 }))],
  ['option length beyond the options (CVE-2023-3966)', header(() => ({ optionLength: 5 }))],
  ['option length 31 (CVE-2025-22055)', header(() => ({ optionLength: 31 }))],
  ['options longer than the packet', header(() => ({ optionWords: 63 }))],
  ['a critical option more', header(() => ({ more: Uint8Array.of(1, 2, 0x83, 1, 9, 9, 9, 9) }))],
];

const wrong: readonly (readonly [string, Change])[] = [
  ['from a host that is no chassis', ({ from }) =>
    ({ from: { ...from, ip: from.ip.includes(':') ? 'fd00:172:16::99' : '172.16.0.99' } })],
  ['unknown VNI', header(() => ({ vni: 0xabcdef }))],
  ['VNI zero', header(() => ({ vni: 0 }))],
  ['unknown egress key', portsOf({ egress: 0x7abc })],
  ['egress key zero', portsOf({ egress: 0 })],
  ['multicast egress key', portsOf({ egress: 0x8000 })],
  ['unknown multicast group', portsOf({ egress: 0xfffe })],
  ['unknown ingress key', portsOf({ ingress: 0x1234 })],
  ['reserved bit of the option set', portsOf({ ingress: 0x8001 })],
  ['an option more', header(() => ({ more: Uint8Array.of(1, 2, 3, 1, 9, 9, 9, 9) }))],
  ['version 1', header(() => ({ version: 1 }))],
  ['control packet', header(() => ({ flags: 0xc0 }))],
  ['no critical flag', header(() => ({ flags: 0 }))],
  ['reserved flags', header(() => ({ flags: 0x7f }))],
  ['inner protocol IPv4', header(() => ({ protocol: 0x0800 }))],
  ['wrong UDP checksum', () => ({ checksum: 'bad' })],
  ['the other kind of UDP checksum', ({ checksum }) =>
    ({ checksum: checksum === 'good' ? 'zero' : 'good' })],
  ['outer ECN CE', () => ({ ip: { tos: 3 } })],
  ['outer TTL 1', () => ({ ip: { ttl: 1 } })],
  ['outer fragment', () => ({ ip: { fragment: 0x2000 } })],
  ['port 6082', () => ({ dport: 6082 })],
  ['cut in the geneve header', ({ from }) => ({ cut: from.ip.includes(':') ? 66 : 46 })],
  ['cut in the option', ({ from }) => ({ cut: from.ip.includes(':') ? 74 : 54 })],
  ['cut in the inner frame', ({ from }) => ({ cut: from.ip.includes(':') ? 84 : 64 })],
];

function rightOuter(scene: Scene, wiring: Wiring, to: TopologyVm): Outer | undefined {
  const here = wiring.chassis.find(({ name }) => name === to.chassis);
  const others = wiring.chassis.filter(({ name }) => name !== to.chassis);
  if (here === undefined || others.length === 0) return undefined;
  const senders = scene.topology.vms.filter((vm) => vm !== to && vm.switch === to.switch);
  const ingress = senders.length > 0 ? scene.random.pick(senders).port : to.port;
  return {
    from: scene.random.pick(others), to: here,
    checksum: wiring.csum || here.ip.includes(':') ? 'good' : 'zero',
    header: {
      vni: wiring.datapathKey(to.switch),
      ports: { ingress: wiring.portKey(ingress), egress: wiring.portKey(to.port) },
    },
  };
}

function tunnelled(
  scene: Scene, wiring: Wiring, tag: Bytes, name: string, change: Change,
): Injection | undefined {
  const to = scene.random.pick(scene.topology.vms);
  const outer = rightOuter(scene, wiring, to);
  if (outer === undefined) return undefined;
  const draft = unicast(scene);
  const { frame } = build(scene, draft, tag);
  frame.set(mac(scene.random.chance(0.9) ? `02:00:00:00:0${to.switch}:${to.host}` : draft.ethDst));
  return {
    kind: `geneve: ${name}`, at: { underlay: to.chassis },
    frame: onTheWire({ ...outer, ...change(outer, scene) }, frame),
  };
}

/** One frame that enters from the underlay; undefined in a lab of one chassis. */
export function generateUnderlay(scene: Scene, wiring: Wiring, tag: Bytes): Injection | undefined {
  const [name, change] = scene.random.chance(0.6)
    ? ['good', () => ({})] as const : scene.random.pick(wrong);
  return tunnelled(scene, wiring, tag, name, change);
}

const each = (kinds: readonly (readonly [string, Change])[]) => kinds.map(([name, change]) =>
  (scene: Scene, wiring: Wiring, tag: Bytes) => tunnelled(scene, wiring, tag, name, change));

/** Every wrong kind of geneve; those of the second list disturb what comes after them. */
export const badGeneve = each(wrong);
export const poisonousGeneve = each(poisonous);
