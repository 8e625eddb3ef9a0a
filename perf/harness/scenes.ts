/** The recorded network that packets are measured in, and the packets. */
import { join } from 'node:path';
import { packageRoot } from '#ts/base/package_root.js';
import { Compiler } from '#ts/compile/compiler.js';
import type { Desired } from '#ts/compile/model.js';
import { localChassis, readDatabase, type MutableSouthbound } from '#ts/compile/testing.js';
import {
  arp, concat, ethernet, geneve, ipPacket, mac, nd, PROTO, solicitedNode, tcp, typeOf, udp,
  type Bytes,
} from '#ts/lab/frames/frames.js';
import type { Tables } from '#ts/lab/tables.js';
import { routerMac, vmIp, vmMac, type Topology, type TopologyVm } from '#ts/lab/topology.js';
import { View } from '#ts/southbound/view.js';

/** Written by record.ts with the installed ovn-northd. */
export const sceneFile = join(packageRoot, 'perf/testdata/scene_sb.db.gz');
export const encapIps = { c1: '172.16.0.1', c2: '172.16.0.2' } as const;

const place = (port: string, sw: number, host: number, chassis: string): TopologyVm =>
  ({ port, switch: sw, host, chassis, security: 'addresses' });
const vms = {
  a1: place('a1', 1, 11, 'c1'), a2: place('a2', 1, 12, 'c1'), a3: place('a3', 1, 13, 'c2'),
  b1: place('b1', 2, 11, 'c1'), b2: place('b2', 2, 12, 'c2'),
  t1: place('t1', 3, 11, 'c1'), t2: place('t2', 3, 12, 'c2'),
} as const;
type Name = keyof typeof vms;

/** Switches 1 and 2: stateless rules, as a security group of web servers. Switch 3: the
 * same with connections tracked. All behind one router. */
export const scene: Topology = {
  name: 'perf', switches: 3, routed: true, vms: Object.values(vms),
  portGroups: { web: ['a1', 'a2', 'a3', 'b1', 'b2'], tracked: ['t1', 't2'] },
  addressSets: { as4: ['10.0.1.0/24', '10.0.2.0/24'], as6: ['fd00:1::/64', 'fd00:2::/64'] },
  acls: [
    ...([['web', 'allow-stateless'], ['tracked', 'allow-related']] as const).flatMap(
      ([on, action]) => [
        { on, direction: 'from-lport', priority: 1001, action, match: `inport == @${on} && ip` },
        { on, direction: 'to-lport', priority: 1001, action,
          match: `outport == @${on} && ip4 && tcp && tcp.dst == {80, 443}` },
        { on, direction: 'to-lport', priority: 1001, action,
          match: `outport == @${on} && ip4.src == $as4` },
        { on, direction: 'to-lport', priority: 1001, action,
          match: `outport == @${on} && (ip6.src == $as6 || icmp6)` },
        { on, direction: 'to-lport', priority: 1002, action: 'drop',
          match: `outport == @${on} && tcp.dst == 4444` },
        { on, direction: 'to-lport', priority: 1000, action: 'drop',
          match: `outport == @${on} && ip` },
      ] as const),
  ],
};

export function sceneRows(): MutableSouthbound { return readDatabase(sceneFile); }

export interface Compiled { readonly desired: Desired; readonly rows: MutableSouthbound }
export function compileScene(rows = sceneRows()): Compiled {
  return { rows, desired: new Compiler().compile(new View(rows), localChassis(rows, 'c1')) };
}

// ---- Packets --------------------------------------------------------------------------------

const SYN = 0x02, ACK = 0x10;
/** `first`: a TCP SYN, which walks always. `later`: one that a cache may carry. */
export type Phase = 'first' | 'later';

export type Entrance = Name | 'uplink' | 'provider';
export interface Sent {
  readonly from: Entrance;
  readonly frame: () => Bytes;
  /** Told as what the frame has left. */
  readonly left?: (frame: Bytes) => void;
}
export interface Packet {
  readonly name: string;
  /** Local port of chassis c1, or which NIC. */
  readonly from: Entrance;
  readonly frame: (phase: Phase, rows: MutableSouthbound) => Bytes;
  /** What has to have come before it. */
  readonly before?: (phase: Phase, rows: MutableSouthbound) => readonly Sent[];
  /** What must become of it: a verdict that is another is no measurement of this. */
  readonly verdict: 'output' | 'tunnel' | 'drop' | 'punt';
}

/** Its device in `Tables`. */
export const deviceOf = (from: Entrance): string =>
  from === 'uplink' || from === 'provider' ? from : `tap${from}`;

/** The packet of this phase is the next to come. */
export function comeTo(tables: Tables, { rows }: Compiled, packet: Packet, phase: Phase): void {
  for (const { from, frame, left } of packet.before?.(phase, rows) ?? []) {
    tables.enter(deviceOf(from));
    left?.(tables.forward.testRun({ data: frame() }).dataOut);
  }
  tables.enter(deviceOf(packet.from));
}

function connection(from: Name, to: Name, family: 4 | 6, phase: Phase, dport = 80): Bytes {
  const [src, dst] = [vmIp(vms[from], family), vmIp(vms[to], family)];
  const local = vms[from].switch === vms[to].switch;
  const segment = tcp({ src, dst }, { sport: 40000, dport, flags: phase === 'first' ? SYN : ACK },
    new Uint8Array());
  const frame = ethernet({ src: vmMac(vms[from]), type: typeOf(src),
    dst: local ? vmMac(vms[to]) : routerMac(vms[from].switch) },
  ipPacket({ src, dst, proto: PROTO.tcp }, segment));
  return concat(frame, new Uint8Array(Math.max(0, 60 - frame.length)));
}

/** A datagram as perf/bpf/lab.bpf.c varies its ports and stamps it, within one switch. */
export function datagram(from: Name, to: Name):
  { readonly frame: Bytes; readonly sportAt: number } {
  const [src, dst] = [vmIp(vms[from], 4), vmIp(vms[to], 4)];
  const port = 1024, payload = new Uint8Array(18);
  new DataView(payload.buffer).setUint16(0, ~(2 * port) & 0xffff);
  return { sportAt: 34, frame: ethernet({ src: vmMac(vms[from]), dst: vmMac(vms[to]),
    type: typeOf(src) }, ipPacket({ src, dst, proto: PROTO.udp },
    udp({ src, dst }, { sport: port, dport: port }, payload))) };
}

/** A tracked one to the other chassis. */
export const firstDatagram = (): ReturnType<typeof datagram> => datagram('t1', 't2');

function keyOf(rows: MutableSouthbound, port: string): { datapath: number; port: number } {
  const row = [...rows.Port_Binding.values()].find(({ logical_port }) => logical_port === port);
  const datapath = row && rows.Datapath_Binding.get(row.datapath);
  if (!row || !datapath) throw new Error(`the recorded database has no port ${port}`);
  return { datapath: datapath.tunnel_key, port: row.tunnel_key };
}

/** As chassis c2 sends it to c1. */
export function tunnelled(rows: MutableSouthbound, from: string, to: string, inner: Bytes): Bytes {
  const outer = { src: encapIps.c2, dst: encapIps.c1 };
  const ports = { ingress: keyOf(rows, from).port, egress: keyOf(rows, to).port };
  return ethernet({ dst: '02:00:00:00:09:01', src: '02:00:00:00:09:02', type: typeOf(outer.src) },
    ipPacket({ ...outer, proto: PROTO.udp, ttl: 64 }, udp(outer, { sport: 33000, dport: 6081 },
      geneve({ vni: keyOf(rows, to).datapath, ports }, inner))));
}

const between = (name: string, from: Name, to: Name, verdict: Packet['verdict'],
  { dport = 80, families = [4, 6] as readonly (4 | 6)[] } = {}): Packet[] =>
  families.map((family) => ({ name: `${name}, IPv${family}`, from, verdict,
    frame: (phase) => connection(from, to, family, phase, dport) }));

function arpRequest(): Bytes {
  return ethernet({ dst: 'ff:ff:ff:ff:ff:ff', src: vmMac(vms.a1), type: 0x0806 },
    arp({ op: 1, sha: vmMac(vms.a1), spa: vmIp(vms.a1, 4), tha: '00:00:00:00:00:00',
      tpa: vmIp(vms.a2, 4) }));
}

function neighbourSolicitation(): Bytes {
  const src = vmIp(vms.a1, 6), target = vmIp(vms.a2, 6), to = solicitedNode(target);
  return ethernet({ dst: to.mac, src: vmMac(vms.a1), type: 0x86dd },
    ipPacket({ src, dst: to.ip, proto: PROTO.icmp6, ttl: 255 },
      nd({ src, dst: to.ip }, { type: 135, target, lla: vmMac(vms.a1) })));
}

/** A VLAN tag ends the walk before it begins; a broadcast after a whole pipeline. */
const tagged = (): Bytes => {
  const frame = connection('a1', 'a2', 4, 'later');
  return Uint8Array.of(...frame.slice(0, 12), 0x81, 0, 0, 5, ...frame.slice(12));
};
const broadcast = (phase: Phase): Bytes => {
  const frame = connection('a1', 'a2', 4, phase);
  frame.set(mac('ff:ff:ff:ff:ff:ff'));
  return frame;
};

export const packets: readonly Packet[] = [
  ...between('switch', 'a1', 'a2', 'output', { families: [4, 6] }),
  ...between('routed', 'a1', 'b1', 'output', { families: [4] }),
  ...between('switch, encap', 'a1', 'a3', 'tunnel'),
  ...between('routed, encap', 'a1', 'b2', 'tunnel', { families: [4] }),
  { name: 'decap, IPv4', from: 'uplink', verdict: 'output',
    frame: (phase, rows) => tunnelled(rows, 'a3', 'a1', connection('a3', 'a1', 4, phase)) },
  { name: 'decap, IPv6', from: 'uplink', verdict: 'output', frame: (phase, rows) =>
    tunnelled(rows, 'a3', 'a1', connection('a3', 'a1', 6, phase, 443)) },
  ...between('drop by ACL', 'a1', 'a2', 'drop', { dport: 4444, families: [4] }),
  { name: 'ARP answer', from: 'a1', verdict: 'output', frame: arpRequest },
  { name: 'ND answer', from: 'a1', verdict: 'output', frame: neighbourSolicitation },
  { name: 'punt, VLAN tag', from: 'a1', verdict: 'punt', frame: tagged },
  { name: 'punt, broadcast', from: 'a1', verdict: 'punt', frame: broadcast },
  ...between('tracked, encap', 't1', 't2', 'tunnel', { families: [4] }),
];
