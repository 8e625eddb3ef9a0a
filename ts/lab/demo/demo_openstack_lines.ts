/** What users of the cloud do, one line each of the demo's report. */
import type { Agent } from '../agent.js';
import type { Scene } from './demo_openstack.js';
import { python3, sleep, until } from '../exec.js';
import { untilGateway } from '../failover.js';
import type { Host } from '../host.js';
import { metadataAddress, type Cloud } from '../neutron.js';
import { portName, routerPortName } from '../neutron_rows.js';

export interface Line {
  readonly what: string;
  /** Through a gateway: counted apart. */
  readonly northSouth?: boolean;
  /** Changes the cloud before anything is counted. */
  readonly prepare?: (scene: Scene, agents: readonly Agent[]) => Promise<void>;
  /** Undefined, or what went wrong. */
  readonly run: (scene: Scene) => Promise<string | undefined>;
}

const routerAddress = '203.0.113.10';
const floating = { a1: '203.0.113.51', b2: '203.0.113.52' } as const;

/** Names of the attempts that failed. */
async function failures(attempts: Readonly<Record<string, () => Promise<boolean>>>):
Promise<string | undefined> {
  const failed: string[] = [];
  for (const [name, attempt] of Object.entries(attempts)) {
    if (!await attempt()) failed.push(name);
  }
  return failed.length === 0 ? undefined : `failed: ${failed.join(', ')}`;
}

/** Pings and TCP to port 80 between instances of the web group, over all common families. */
const between = (what: string, from: string, to: string, bytes = 200_000): Line => ({
  what: `${what} (${from} to ${to})`,
  run: ({ lab, cloud }) => {
    const [a, b] = [lab.vm(from), lab.vm(to)];
    const known = ([4, 6] as const).filter((family) => cloud.ipOf(from, family) !== undefined);
    return failures(Object.fromEntries(known.flatMap((family) => [
      [`ping IPv${family}`, () => a.ping(b.ip(family), 5)],
      [`TCP IPv${family}`, async () =>
        (await a.reach(b, { protocol: 'tcp', bytes, family, ...family === 4 ? { port: 80 } : {} }))
          .ok],
    ])));
  },
});

/** TCP and UDP to a host that must see them come from `source`. */
const outward = (from: Host, to: Host, source: string) => failures({
  ping: () => from.ping(to.ip(4), 10),
  ...Object.fromEntries((['tcp', 'udp'] as const).map((protocol) => [protocol, async () => {
    const { ok, peer } = await from.reach(to,
      { protocol, bytes: protocol === 'tcp' ? 300_000 : 1000 });
    return ok && peer === source;
  }])) });

const inward = (from: Host, to: Host, address: string) => failures({
  ping: () => from.ping(address, 10),
  TCP: async () => (await from.reach(to, { protocol: 'tcp', bytes: 300_000, port: 80, address }))
    .ok });

/** argv: message type 1. Asks for an address and prints what is offered, and by whom. */
const dhcpClient = `
import random, socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth0')
s.bind(('', 68))
s.settimeout(3)
mac = bytes.fromhex(open('/sys/class/net/eth0/address').read().strip().replace(':', '')) \\
    if len(sys.argv) < 2 else bytes.fromhex(sys.argv[1].replace(':', ''))
head = struct.pack('!BBBBIHH', 1, 1, 6, 0, random.getrandbits(32), 0, 0x8000)
s.sendto(head + bytes(16) + mac + bytes(202) + bytes.fromhex('63825363350101370103ff'),
    ('255.255.255.255', 67))
reply = s.recv(2048)
print(socket.inet_ntoa(reply[16:20]))
`;

/** argv: name. Asks a name server on the Internet for its address. */
const dnsClient = `
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
name = b''.join(bytes([len(part)]) + part.encode() for part in sys.argv[1].split('.'))
s.sendto(struct.pack('!HHHHHH', 7, 0x100, 1, 0, 0, 0) + name + b'\\0' + struct.pack('!HH', 1, 1),
    ('9.9.9.9', 53))
print(socket.inet_ntoa(s.recv(2048)[-4:]))
`;

const says = async (host: Host, script: string, argument: string, answer: string) =>
  (await host.run(python3, '-c', script, argument)).stdout.trim() === answer;

async function fetchesMetadata(host: Host): Promise<boolean> {
  const { stdout } = await host.run('curl', '-s', '-m', '5', `http://${metadataAddress}/`);
  return stdout === `instance at ${host.ip(4)}`;
}

/** As Neutron does when distributed floating addresses are enabled, or no longer. */
export function placeFloating({ lab, cloud }: Pick<Scene, 'lab' | 'cloud'>,
  distributed: boolean): void {
  for (const [instance, address] of Object.entries(floating)) {
    const row = lab.nb([['--bare', '--columns=_uuid', 'find', 'NAT', `external_ip=${address}`]]);
    lab.nb([distributed ? ['set', 'NAT', row, `logical_port=${portName(instance)}`,
      `external_mac="${cloud.floatingMac(instance)}"`]
      : ['clear', 'NAT', row, 'external_mac']], '--wait=hv');
  }
}

export const gatewayPort = (cloud: Cloud): string => {
  const router = cloud.router('r1');
  return routerPortName(router.name, router.gateway?.network ?? '');
};

/** Until the outside has heard where the addresses are now, and the agents too. */
async function settled({ outside }: Scene, agents: readonly Agent[]): Promise<void> {
  await sleep(agents.length > 0 ? 2000 : 300);
  await until('floating addresses that answer', 15_000, async () =>
    await outside.ping(floating.a1, 1) && outside.ping(floating.b2, 1));
}

export const lines: readonly Line[] = [
  between('same network, same chassis', 'a1', 'a3'),
  between('same network, other chassis', 'a1', 'a2'),
  between('other network, same chassis', 'a1', 'b1'),
  between('other network, other chassis', 'a1', 'b2'),
  between('VLAN provider network, other chassis', 'v1', 'v2'),
  { what: 'SNAT: instances reach the host outside from the router\'s address (a2, b1)',
    northSouth: true,
    prepare: ({ lab, cloud }) => untilGateway(lab, gatewayPort(cloud), 'g1').then(() => {}),
    run: async ({ lab, outside }) => await outward(lab.vm('a2'), outside, routerAddress)
      ?? await outward(lab.vm('b1'), outside, routerAddress) },
  { what: 'centralised floating IP, in and out (a1)', northSouth: true,
    run: async ({ lab, outside }) => await inward(outside, lab.vm('a1'), floating.a1)
      ?? await outward(lab.vm('a1'), outside, floating.a1) },
  { what: 'an instance asks for another\'s floating IP (a2 to a1)', northSouth: true,
    run: ({ lab }) => inward(lab.vm('a2'), lab.vm('a1'), floating.a1) },
  { what: 'distributed floating IPs, switched over live, in and out (a1, b2)', northSouth: true,
    prepare: async (scene, agents) => {
      placeFloating(scene, true);
      await settled(scene, agents);
    },
    run: async ({ lab, outside }) => await inward(outside, lab.vm('a1'), floating.a1)
      ?? await outward(lab.vm('a1'), outside, floating.a1)
      ?? await inward(outside, lab.vm('b2'), floating.b2) },
  { what: 'centralised again (b2)', northSouth: true,
    prepare: async (scene, agents) => {
      placeFloating(scene, false);
      await settled(scene, agents);
    },
    run: ({ lab, outside }) => inward(outside, lab.vm('b2'), floating.b2) },
  { what: 'security groups let in what they name and nothing else (d1)',
    run: ({ lab, outside }) => {
      const d1 = lab.vm('d1').ip(4);
      const meets = (from: Host, to: string, port: number, answer: string) =>
        async () => await from.connect(to, port) === answer;
      return failures({
        'web to db, 5432': meets(lab.vm('a1'), d1, 5432, 'refused'),
        'web to db, 22': meets(lab.vm('a1'), d1, 22, 'silent'),
        'web of the other network to db, 5432': meets(lab.vm('b1'), d1, 5432, 'silent'),
        'outside to a floating IP, 80': meets(outside, floating.a1, 80, 'refused'),
        'outside to a floating IP, 22': meets(outside, floating.a1, 22, 'silent'),
      });
    } },
  { what: 'metadata at 169.254.169.254 on either chassis (a1, b2)',
    run: ({ lab }) => failures(Object.fromEntries(['a1', 'b2'].map((name) =>
      [name, () => fetchesMetadata(lab.vm(name))]))) },
  { what: 'DHCP offers and DNS answers come from OVN (a1, b2)',
    run: ({ lab, cloud }) => failures({
      DHCP: () => says(lab.vm('a1'), dhcpClient, cloud.macOf('a1'), '10.10.1.11'),
      DNS: () => says(lab.vm('b2'), dnsClient, 'b1.lab.example', '10.10.2.11'),
    }) },
  { what: 'the gateway node\'s own address on its provider bridge answers', run: ({ outside }) =>
    failures({ ping: () => outside.ping('203.0.113.201', 5) }) },
];
