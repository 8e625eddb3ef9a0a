/**
 * ovn-controller's own answers against those of the dataplane: the same frames sent one by one
 * with Open vSwitch alone and with ovn-xdp, and what comes out compared byte for byte.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startAgents, type Agent } from './agent.js';
import { Lab } from './lab.js';
import { arrivalText, type Outcome } from './frames/outcome.js';
import { describe, eth, fromHex, icmp, icmp6, ip4, ip6, raw4, tcp, udp, type Bytes, type Ip,
  type Layer4 } from './packet.js';
import { applyTopology, routerIp, routerMac, vmIp, vmMac, type Topology, type TopologyVm }
  from './topology.js';
import { Wire } from './frames/wire.js';

const vm = (port: string, sw: number, host: number, chassis: string): TopologyVm =>
  ({ port, switch: sw, host, chassis, security: 'none', raw: true });
const a1 = vm('a1', 1, 11, 'c1'), a2 = vm('a2', 1, 12, 'c1'), a3 = vm('a3', 1, 13, 'c2');
const b1 = vm('b1', 2, 11, 'c1'), b2 = vm('b2', 2, 12, 'c2');
/** Port 81 is rejected where it leaves a1, port 82 and echo of code 9 where it reaches a VM. */
const topology: Topology = {
  name: 'answers', switches: 2, routed: true, vms: [a1, a2, a3, b1, b2],
  acls: [
    { on: 's1', direction: 'from-lport', priority: 1001, action: 'reject',
      match: 'inport == "a1" && (tcp.dst == 81 || udp.dst == 81 || ip.proto == 132)' },
    ...['s1', 's2'].map((on) => ({ on, direction: 'to-lport', priority: 1001, action: 'reject',
      match: 'tcp.dst == 82 || udp.dst == 82 || icmp4.code == 9 || icmp6.code == 9' } as const)),
  ],
};

interface Sent { readonly name: string; readonly from: TopologyVm; readonly frame: Bytes }
type Family = 4 | 6;

/** From VM to VM, over the router when they are in different subnets. */
function sent(name: string, from: TopologyVm, to: TopologyVm | 'router', family: Family,
  l4: Layer4, ip: Partial<Ip> & { readonly ethDst?: string; readonly padTo?: number } = {},
): Sent {
  const dst = to === 'router' ? routerIp(from.switch, family) : vmIp(to, family);
  const direct = to !== 'router' && to.switch === from.switch;
  const header = { src: vmIp(from, family), dst, id: 4711, tos: 0x28, ...ip };
  const layer3 = family === 4 ? ip4(header, l4) : ip6(header, l4);
  const ethDst = ip.ethDst ?? (direct ? vmMac(to) : routerMac(from.switch));
  const place = to === 'router' ? to : to.port;
  return { name: `${name} IPv${family} ${from.port} > ${place}`, from,
    frame: eth({ src: vmMac(from), dst: ethDst, padTo: ip.padTo ?? 0 }, layer3) };
}

const data = (size: number): Bytes => Uint8Array.from({ length: size }, (_, i) => i * 11);
const segments = (dst: number): [string, Layer4][] => [
  ['SYN', tcp({ src: 4000, dst, flags: 2, seq: 0x12345678, ack: 0 })],
  ['TCP data', tcp({ src: 4000, dst, flags: 0x18, seq: 0xffffffff }, data(700))],
  ['RST', tcp({ src: 4000, dst, flags: 4 })],
  ['FIN', tcp({ src: 4000, dst, flags: 0x11, seq: 7 })],
  ['UDP', udp({ src: 4000, dst }, data(21))],
  ['UDP without checksum', udp({ src: 4000, dst, csum: false }, data(100))],
  ['large UDP', udp({ src: 4000, dst }, data(1301))],
];
const echo = (family: Family, code: number, size = 56): Layer4 =>
  (family === 4 ? icmp : icmp6)({ type: family === 4 ? 8 : 128, code }, data(size));
const error = (family: Family, type: number, code: number): Layer4 =>
  (family === 4 ? icmp : icmp6)({ type, code, rest: 0 }, data(56));

function frames(family: Family): Sent[] {
  const ways: [TopologyVm, TopologyVm][] = [[a2, a1], [a3, a1], [a1, a3], [b1, a1], [b2, a1],
    [a1, b2]];
  return [
    ...segments(81).flatMap(([name, l4]) => [a2, a3, b1, b2].map((to) =>
      sent(`${name} at from-lport`, a1, to, family, l4))),
    ...segments(82).flatMap(([name, l4]) => ways.map(([from, to]) =>
      sent(`${name} at to-lport`, from, to, family, l4))),
    ...ways.flatMap(([from, to]) => [
      sent('echo at to-lport', from, to, family, echo(family, 9)),
      sent('large echo at to-lport', from, to, family, echo(family, 9, 1400)),
      sent('unreachable at to-lport', from, to, family, error(family, family === 4 ? 3 : 1, 9)),
      sent('another error at to-lport', from, to, family, error(family, family === 4 ? 12 : 4, 9)),
    ]),
    sent('SCTP', a1, a2, family, raw4(132, fromHex('0fa00050 00000000 00000000'.padEnd(99, '0')))),
    ...[0, 1].flatMap((ttl) => segments(80).flatMap(([name, l4]) => [
      sent(`${name} with TTL ${ttl}`, a1, b1, family, l4, { ttl }),
      sent(`${name} with TTL ${ttl}`, a3, b2, family, l4, { ttl }),
    ])),
    sent('echo with TTL 1', a1, b2, family, echo(family, 0), { ttl: 1 }),
    sent('error with TTL 1', a1, b2, family, error(family, 3, 1), { ttl: 1 }),
    ...segments(80).map(([name, l4]) => sent(name, a1, 'router', family, l4)),
    ...[947, 956, 957, 958, 1300].flatMap((size) => [0, 0x4000].map((frag) =>
      sent(`UDP of ${size} over a narrow port, fragment word ${frag}`, a1, b1, family,
        udp({ src: 1, dst: 2 }, data(size)), { frag }))),
    // Nobody in OVN asks who sent it or to whom: pinctrl answers from and to what it was.
    ...[81, 82].flatMap((port) => [
      sent(`broadcast of ${port}`, a1, a2, family, udp({ src: 5, dst: port }, data(9)),
        { ethDst: 'ff:ff:ff:ff:ff:ff', dst: family === 4 ? '255.255.255.255' : 'ff02::1' }),
      sent(`multicast of ${port}`, a1, a2, family, tcp({ src: 5, dst: port }), family === 4
        ? { ethDst: '01:00:5e:01:02:03', dst: '224.1.2.3' }
        : { ethDst: '33:33:00:00:00:01', dst: 'ff02::1' }),
      sent(`from nowhere, ${port}`, a1, a2, family, udp({ src: 5, dst: port }),
        { src: family === 4 ? '0.0.0.0' : '::' }),
      sent(`padded, ${port}`, a1, a2, family, udp({ src: 5, dst: port }, data(3)),
        { padTo: 90 }),
    ]),
    sent('multicast with TTL 1', a1, b1, family, udp({ src: 5, dst: 6 }, data(9)),
      { ttl: 1, dst: family === 4 ? '224.1.2.3' : 'ff0e::1' }),
    sent('large TCP from a narrow port', b1, a2, family, tcp({ src: 1, dst: 2 }, data(1200))),
    sent('large TCP to a narrow port', a3, b2, family, tcp({ src: 1, dst: 2 }, data(1200))),
    ...family === 6 ? [] : [
      sent('first fragment', a2, a1, 4, udp({ src: 1, dst: 82 }, data(99)), { frag: 0x2000 }),
      sent('later fragment', a2, a1, 4, udp({ src: 1, dst: 82 }, data(99)), { frag: 9 }),
      sent('fragment with TTL 1', a2, b1, 4, udp({ src: 1, dst: 2 }), { frag: 0x2000, ttl: 1 }),
    ],
  ];
}

/** What comes of one frame; `patientMs` without anything is the end. */
async function outcome(wire: Wire, { from, frame }: Sent, patientMs: number): Promise<Outcome> {
  wire.send([{ at: { vm: from.port }, frame, kind: '' }]);
  return (await wire.collect(patientMs)).map(arrivalText).sort();
}
async function outcomes(
  wire: Wire, list: readonly Sent[], patientMs: number,
): Promise<Map<Sent, Outcome>> {
  const all = new Map<Sent, Outcome>();
  for (const one of list) all.set(one, await outcome(wire, one, patientMs));
  return all;
}
const readable = (list: Outcome): string => list.map((text) => {
  const [where = '', hex = ''] = text.split(' ');
  return [where, ...describe(fromHex(hex))].join('\n  ');
}).join('\n');

const forwardedBy = (agents: readonly Agent[]): number =>
  agents.reduce((sum, agent) => sum + (agent.status()?.counters.forwarded ?? 0), 0);

test('answers are those of ovn-controller', async () => {
  const lab = await Lab.start({ chassis: ['c1', 'c2'] });
  let wire: Wire | undefined;
  try {
    applyTopology(lab, topology);
    lab.nb([['lrp-set-options', 'r-s2', 'gateway_mtu=1000']]);
    lab.sync();
    wire = new Wire(lab);
    const all = [...frames(4), ...frames(6)];
    for (const one of all.slice(0, 40)) await outcome(wire, one, 20);
    const alone = await outcomes(wire, all, 60);
    const agents = await startAgents(lab);
    await wire.collect(100);
    const ours = await outcomes(wire, all, 60);
    const forwarded = forwardedBy(agents);
    // What differs may have come late: again, with patience, from both.
    const suspects = all.filter((one) => ours.get(one)!.join() !== alone.get(one)!.join());
    const oursAgain = await outcomes(wire, suspects, 300);
    const reasons = agents.map((agent) => JSON.stringify(agent.status()?.punted_by_reason));
    for (const agent of agents) await agent.remove();
    await wire.collect(100);
    const aloneAgain = await outcomes(wire, suspects, 300);
    const differences = suspects.filter((one) =>
      oursAgain.get(one)!.join() !== aloneAgain.get(one)!.join());
    const arrived = all.filter((one) => alone.get(one)!.length > 0).length;
    const answered = all.filter((one) =>
      alone.get(one)!.some((text) => text.startsWith(`${one.from.port} `))).length;
    console.log(`# ${all.length} frames, ${answered} answered, ${forwarded} forwarded by `
      + `ovn-xdp, ${suspects.length} sent again, ${differences.length} differences; left to OVS: `
      + reasons.join(' '));
    assert.is(differences.slice(0, 6).map((one) => `${one.name}\n- OVS:\n`
      + `${readable(aloneAgain.get(one)!)}\n- ovn-xdp:\n${readable(oursAgain.get(one)!)}`)
      .join('\n'), '');
    assert.ok(answered > all.length / 2, 'most frames are answered');
    assert.ok(forwarded > arrived * 0.9, `only ${forwarded} of ${arrived} by ovn-xdp`);
  } finally {
    wire?.close();
    lab.close();
  }
});

test.run();
