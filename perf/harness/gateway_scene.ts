/**
 * The recorded gateway: chassis c1 has the gateway port of a router with a provider network
 * behind it, chassis c2 a VM. The VM's network shares an address (SNAT); one VM has a floating
 * one (DNAT). Packets come out of the tunnel and leave by the provider's NIC, or the other way.
 */
import { join } from 'node:path';
import { packageRoot } from '#ts/base/package_root.js';
import { Compiler } from '#ts/compile/compiler.js';
import { localChassis, readDatabase, type MutableSouthbound } from '#ts/compile/testing.js';
import { concat, ethernet, ipPacket, PROTO, tcp, typeOf, udp, type Bytes }
  from '#ts/lab/frames/frames.js';
import {
  gatewayCommands, gatewayMac, network, outsideIp, outsideMac, vmIp, type GatewayShape,
} from '#ts/lab/gateway_shape.js';
import type { LocalChassis } from '#ts/vswitch/local.js';
import { View } from '#ts/southbound/view.js';
import { tunnelled, type Compiled, type Packet, type Phase } from './scenes.js';

/** Written by record.ts with the installed ovn-northd. */
export const gatewayFile = join(packageRoot, 'perf/testdata/gateway_sb.db.gz');
export const gatewayShape: GatewayShape = { computes: ['c2'], gateways: ['c1'], raw: true };

/** Of the network of VM number 0, and of that VM when it has a floating one. */
export const shared = (family: 4 | 6): string => family === 4 ? '172.24.4.50' : 'fd00:24::50';
export const floating = (family: 4 | 6): string => family === 4 ? '172.24.4.60' : 'fd00:24::60';
/** Has the floating address; VM 0 has none. Both are in switch s1. */
export const floatingVm = 2;

const families = [4, 6] as const;
type Family = typeof families[number];
/** NAT of the router, beside the network itself. */
export const natCommands: readonly (readonly string[])[] = families.flatMap((family) => [
  ['lr-nat-add', 'r', 'snat', shared(family), family === 4 ? '10.0.1.0/24' : 'fd00:1::/64'],
  ['lr-nat-add', 'r', 'dnat_and_snat', floating(family), vmIp(floatingVm, family)],
]);

/** All that makes the recorded database: the lab's network, a second VM, NAT. */
export const gatewayRecord: readonly (readonly string[])[] = [
  ...gatewayCommands({ ...gatewayShape, computes: ['c2', 'c2', 'c2'] }), ...natCommands,
  ...families.map((family) => ['static-mac-binding-add', 'r-pub', outsideIp(family), outsideMac]),
];
export const gatewayBindings = { v1: 'c2', v3: 'c2', 'cr-r-pub': 'c1' } as const;

export const providerBridge = 'br-ext';
/** As ovn-controller and OVS would show it: the network is plugged in here. */
function gatewayChassis(rows: MutableSouthbound): LocalChassis {
  const zones = ['pub-net', ...[...rows.Datapath_Binding.keys()].flatMap((uuid) =>
    [`${uuid}_dnat`, `${uuid}_snat`])];
  return { ...localChassis(rows, 'c1'), bridge_mappings: new Map([[network, providerBridge]]),
    bridges: new Map([[providerBridge, { name: providerBridge, datapath_type: 'netdev',
      ports: ['nic-ext'], links: [{ name: 'nic-ext', type: '' }] }]]),
    localnets: new Map([['pub-net', 'patch-br-int-to-pub-net']]),
    ct_zones: new Map(zones.map((name, i) => [name, 100 + i])) };
}

export function compileGateway(rows = readDatabase(gatewayFile)): Compiled {
  return { rows, desired: new Compiler().compile(new View(rows), gatewayChassis(rows)) };
}

// ---- Packets ----------------------------------------------------------------------------------

const SYN = 0x02, ACK = 0x10;
type Side = 'uplink' | 'provider';
interface Way {
  readonly family: Family; readonly vm: number;
  /** What the world knows the VM by. */
  readonly address: string;
  readonly begins: Side; readonly vmPort: number; readonly worldPort: number;
}
/** `seen`: by which port the world knows the VM. */
type Frame = (rows: MutableSouthbound, way: Way, flags: number, seen: number) => Bytes;

const padded = (frame: Bytes): Bytes =>
  concat(frame, new Uint8Array(Math.max(0, 60 - frame.length)));
const segment = (macs: { readonly src: string; readonly dst: string }, src: string, dst: string,
  ports: { readonly sport: number; readonly dport: number }, flags: number, ttl: number): Bytes =>
  padded(ethernet({ ...macs, type: typeOf(src) }, ipPacket({ src, dst, proto: PROTO.tcp, ttl },
    tcp({ src, dst }, { ...ports, flags }, new Uint8Array()))));

/** `uplink`: from the VM's chassis, which has routed it already. */
const sent: Readonly<Record<Side, Frame>> = {
  uplink: (rows, { family, vm, vmPort, worldPort }, flags) => tunnelled(rows, 'r-s1', 'cr-r-pub',
    segment({ src: gatewayMac, dst: outsideMac }, vmIp(vm, family), outsideIp(family),
      { sport: vmPort, dport: worldPort }, flags, 63)),
  provider: (_, { family, address, worldPort }, flags, seen) =>
    segment({ src: outsideMac, dst: gatewayMac }, outsideIp(family), address,
      { sport: worldPort, dport: seen }, flags, 64),
};
const sourcePort = (frame: Bytes, family: Family): number =>
  Buffer.from(frame).readUInt16BE(family === 4 ? 34 : 54);

/** `later` comes after the connection is made, the answer's first packet after the SYN. */
function conversation(way: Way, from: Side): Pick<Packet, 'from' | 'frame' | 'before'> {
  const other: Side = way.begins === 'uplink' ? 'provider' : 'uplink';
  const flagsOf = (phase: Phase): number =>
    phase === 'later' ? ACK : from === way.begins ? SYN : SYN | ACK;
  let seen = way.vmPort;
  return {
    from,
    frame: (phase, rows) => sent[from](rows, way, flagsOf(phase), seen),
    before: (phase, rows) => ([[way.begins, SYN], [other, SYN | ACK], [way.begins, ACK],
      [other, ACK]] as const).slice(0, phase === 'later' ? 4 : from === way.begins ? 0 : 1)
      .map(([side, flags]) => ({ from: side, frame: () => sent[side](rows, way, flags, seen),
        left: (frame: Bytes) => {
          if (side === 'uplink') seen = sourcePort(frame, way.family);
        } })),
  };
}

export const gatewayPackets: readonly Packet[] = families.flatMap((family): Packet[] => {
  const snat = { family, vm: 0, address: shared(family), begins: 'uplink', worldPort: 80 } as const;
  const dnat = { family, vm: floatingVm, address: floating(family), begins: 'provider',
    vmPort: 80 } as const;
  return [
    { name: `SNAT, IPv${family}`, verdict: 'output',
      ...conversation({ ...snat, vmPort: 40001 }, 'uplink') },
    { name: `SNAT back, IPv${family}`, verdict: 'tunnel',
      ...conversation({ ...snat, vmPort: 40002 }, 'provider') },
    { name: `DNAT, IPv${family}`, verdict: 'tunnel',
      ...conversation({ ...dnat, worldPort: 40003 }, 'provider') },
    { name: `DNAT back, IPv${family}`, verdict: 'output',
      ...conversation({ ...dnat, worldPort: 40004 }, 'uplink') },
  ];
});

// ---- Datagrams --------------------------------------------------------------------------------

const GENERATED_PORT = 1024;
function generated(macs: { readonly src: string; readonly dst: string }, src: string, dst: string,
  dport: number, ttl: number): Bytes {
  const payload = new Uint8Array(18);
  new DataView(payload.buffer).setUint16(0, ~(2 * GENERATED_PORT) & 0xffff);
  return ethernet({ ...macs, type: typeOf(src) }, ipPacket({ src, dst, proto: PROTO.udp, ttl },
    udp({ src, dst }, { sport: GENERATED_PORT, dport }, payload)));
}

/** As scenes.ts, datagram(): out of the tunnel, to the world; and the world's answer to what has
 * left for it. */
export function natDatagram(rows: MutableSouthbound): { readonly frame: Bytes;
  readonly sportAt: number; readonly answer: (left: Bytes) => Bytes } {
  const inner = generated({ src: gatewayMac, dst: outsideMac }, vmIp(0, 4), outsideIp(4),
    GENERATED_PORT, 63);
  const frame = tunnelled(rows, 'r-s1', 'cr-r-pub', inner);
  return { frame, sportAt: frame.length - inner.length + 34, answer: (left) =>
    generated({ src: outsideMac, dst: gatewayMac }, outsideIp(4), shared(4),
      sourcePort(left, 4), 64) };
}
