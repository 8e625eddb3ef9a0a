/** Clouds in which addresses are translated, drawn by a seeded generator: three tenants each. */
import { addressIn, Cloud, type FloatingIp, type Instance, type Network, type Router }
  from '../neutron.js';
import type { BalancerRow } from '../neutron_rows.js';
import type { Random } from '../random.js';

export const natChassis = ['c1', 'c2', 'g1'];
/** External networks: one untagged, one with a VLAN, on the same wire. */
const external: readonly Network[] = [
  { name: 'pub', external: true, provider: {},
    subnets: ['203.0.113.0/24', '2001:db8:113::/64'] },
  { name: 'pubv', external: true, provider: { vlan: 200 },
    subnets: ['198.51.100.0/24', '2001:db8:100::/64'] },
];
/** Hosts outside: in the external network itself, and behind its router. */
export const onLink = 7;
export const beyond = { 4: '192.0.2.55', 6: '2001:db8:bbbb::55' } as const;

export const service = 80, backendPort = 8080;
/** What a tenant's balancer, if it has one, is asked for. */
export interface Vip { readonly router: string; readonly address: string;
  /** Can be asked for from outside. */
  readonly outside: boolean; readonly backends: readonly string[] }

export interface NatCloud { readonly cloud: Cloud; readonly vips: readonly Vip[];
  readonly title: string }

interface Tenant {
  readonly networks: readonly Network[]; readonly instances: readonly Instance[];
  readonly router: Router; readonly balancers: readonly BalancerRow[];
  readonly vips: readonly Vip[];
}

const range = '30000-30999';

function floatingOf(random: Random, network: Network, k: number, instances: readonly Instance[],
  whole: boolean, families: number): FloatingIp[] {
  return instances.filter((_, i) => random.chance([0.9, 0.2, 0.6][i] ?? 0))
    .flatMap(({ name }, n) => {
      const distributed = !whole && random.chance(0.45);
      const more = random.weighted<Partial<FloatingIp>>([
        [6, {}], [2, { ports: range }], [2, { stateless: true }]]);
      return network.subnets.slice(0, random.chance(0.4) ? families : 1).map((cidr) => ({
        address: addressIn(cidr, 20 + 10 * k + n), instance: name, distributed, ...more }));
    });
}

function balancersOf(random: Random, k: number, network: Network, router: string,
  instances: readonly Instance[]): { rows: BalancerRow[]; vips: Vip[] } {
  const kind = random.weighted<'none' | 'switch' | 'router'>(
    [[4, 'none'], [3, 'switch'], [4, 'router']]);
  if (kind === 'none') return { rows: [], vips: [] };
  const address = kind === 'router' && random.chance(0.7)
    ? addressIn(network.subnets[0] ?? '', 100 + k) : `172.31.${k}.100`;
  const backends = random.chance(0.3) ? instances.slice(1, 2) : instances.slice(1);
  const to = backends.map(({ network: home, host }) =>
    `10.${k}.${home.endsWith('a') ? 1 : 2}.${host}:${backendPort}`);
  const on = kind === 'switch' ? { networks: [`t${k}a`, `t${k}b`] } : { routers: [router] };
  return {
    rows: (['tcp', 'udp'] as const).map((protocol) => ({ name: `lb${k}${protocol}`, protocol,
      vips: { [`${address}:${service}`]: to }, ...on })),
    vips: [{ router, address, outside: kind === 'router' && !address.startsWith('172'),
      backends: backends.map(({ name }) => name) }],
  };
}

function tenant(random: Random, k: number): Tenant {
  const families = random.chance(0.5) ? 2 : 1;
  const networks = ['a', 'b'].map((letter, i): Network => ({ name: `t${k}${letter}`,
    subnets: [`10.${k}.${i + 1}.0/24`, `fd00:${k}:${i + 1}::/64`].slice(0, families) }));
  const groups = random.chance(0.6) ? ['open'] : [];
  const place = (n: number, letter: string, chassis: readonly string[]): Instance =>
    ({ name: `i${k}${n}`, network: `t${k}${letter}`, host: 10 + n, raw: true, groups,
      chassis: random.pick(chassis) });
  const instances = [place(1, 'a', ['c1']), place(2, 'a', ['c2']), place(3, 'b', natChassis)];
  const network = random.pick(external), name = `r${k}`;
  const whole = random.chance(0.25);
  const chassis = random.pick([['g1'], ['g1', 'c2'], ['c2', 'g1'], ['c1', 'g1']]);
  const { rows, vips } = balancersOf(random, k, network, name, instances);
  return { networks, instances, balancers: rows, vips, router: {
    name, networks: networks.map((one) => one.name),
    gateway: { network: network.name, chassis, whole,
      addresses: network.subnets.slice(0, families).map((cidr) => addressIn(cidr, 10 + k)) },
    ...random.chance(0.85) ? { snat: random.chance(0.35) ? { ports: range } : {} } : {},
    floatingIps: floatingOf(random, network, k, instances, whole, families),
  } };
}

function titleOf({ router: { name, gateway, snat, floatingIps = [] }, networks, instances, vips,
  balancers }: Tenant): string {
  return [`${name} on ${gateway?.network} at ${gateway?.chassis.join(', ')}`,
    ...gateway?.whole === true ? ['gateway router'] : [],
    `IPv4${(networks[0]?.subnets.length ?? 0) > 1 ? ' and IPv6' : ''}`,
    `instances on ${instances.map(({ chassis }) => chassis).join()}`,
    ...(instances[0]?.groups.length ?? 0) > 0 ? ['security group'] : [],
    snat === undefined ? 'no SNAT' : `SNAT ${snat.ports ?? ''}`.trim(),
    ...floatingIps.map(({ address, instance, distributed, ports, stateless }) =>
      [`${address}=${instance}`, distributed === true ? 'distributed' : 'central', ports ?? '',
        stateless === true ? 'stateless' : ''].filter((word) => word !== '').join(' ')),
    ...vips.map(({ address, backends }) => `VIP ${address} on ${
      balancers[0]?.routers === undefined ? 'switches' : 'router'}: ${backends.join()}`),
  ].join('; ');
}

export function generateNatCloud(random: Random): NatCloud {
  const tenants = [1, 2, 3].map((k) => tenant(random, k));
  const all = <T>(what: (tenant: Tenant) => readonly T[]): T[] => tenants.flatMap(what);
  return {
    title: tenants.map(titleOf).join('\n'), vips: all(({ vips }) => vips),
    cloud: new Cloud({
      networks: [...external, ...all(({ networks }) => networks)],
      groups: [{ name: 'open', rules: ['ip4', 'ip6'].map((match) =>
        ({ direction: 'to-lport', match })) }],
      instances: all(({ instances }) => instances), routers: all(({ router }) => [router]),
      balancers: all(({ balancers }) => balancers),
    }),
  };
}
