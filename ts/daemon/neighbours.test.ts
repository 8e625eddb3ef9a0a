import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { XdpFeature } from '../libbpf/net.js';
import type { LocalBridge, LocalChassis } from '../vswitch/local.js';
import { datapathTypeOf, planDevice, wireOf, type NetDevice } from './devices.js';
import { nextHop, parseNeighbours, parseRoutes, parseWatched, resolve, throughGeneve,
  type RunIp } from './neighbours.js';
import { parseAddress } from '../sync/addresses.js';

const all = new Set<XdpFeature>(['basic', 'redirect', 'ndoXmit']);
const device = (name: string, ifindex: number, more: Partial<NetDevice> = {}): NetDevice =>
  ({ name, ifindex, mtu: 1500, mac: `02:00:00:00:00:0${ifindex}`, up: true, kind: 'veth',
    xdp: all, ...more });
const devices = new Map([device('eth0', 1, { mtu: 1400 }), device('br-phys', 2), device('tap1', 3)]
  .map((one) => [one.name, one]));
const bridge = (name: string, ...ports: string[]): [string, LocalBridge] =>
  [name, { name, datapath_type: 'netdev', ports }];
const here = {
  integration_bridge: 'br-int',
  bridges: new Map([bridge('br-phys', 'br-phys', 'eth0', 'patch1'), bridge('br-int', 'tap1'),
    bridge('br-two', 'eth0', 'br-phys')]),
  interfaces: new Map([['lp1', { name: 'tap1' }]]),
} as unknown as LocalChassis;
const wire = (name: string) => wireOf(name, devices, here);
const hex = (ip: string): string => parseAddress(ip)?.bytes.toString('hex') ?? '';

const onLink = '[{"dst":"192.0.2.2","dev":"br-phys","prefsrc":"192.0.2.1"}]';
const viaGateway = '[{"dst":"198.51.100.1","gateway":"192.0.2.254","dev":"eth0"}]';
const viaOther = '[{"dst":"198.51.100.2","via":{"family":"inet6","host":"fe80::1"},"dev":"eth0"}]';

test('routes: on link, by gateway, by a gateway of the other family, none', () => {
  const routes = parseRoutes([onLink, viaGateway, viaOther,
    '[{"type":"local","dst":"192.0.2.1","dev":"lo"}]', '[{}]', 'nonsense', ''].join('\n'));
  assert.equal([...routes], [
    [hex('192.0.2.2'), { device: 'br-phys', via: '192.0.2.2' }],
    [hex('198.51.100.1'), { device: 'eth0', via: '192.0.2.254' }],
    [hex('198.51.100.2'), { device: 'eth0', via: 'fe80::1' }],
  ]);
});

test('neighbours that are usable', () => {
  const list = ['REACHABLE', 'STALE', 'FAILED', 'INCOMPLETE', 'PERMANENT'].map((state, i) =>
    ({ dst: `10.0.0.${i}`, dev: 'eth0', lladdr: `02:00:00:00:00:0${i}`, state: [state] }));
  assert.equal([...parseNeighbours(JSON.stringify([...list, { dst: 'x' }])).keys()],
    ['eth0/10.0.0.0', 'eth0/10.0.0.1', 'eth0/10.0.0.4']);
});

test('behind a bridge of OVS the wire is its one physical port', () => {
  assert.is(wire('br-phys')?.name, 'eth0');
  assert.is(wire('eth0')?.name, 'eth0');
  assert.is(wire('br-two'), undefined);
  assert.is(wire('br-int'), undefined);
  const hop = nextHop({ device: 'br-phys', via: '192.0.2.2' },
    new Map([['br-phys/192.0.2.2', '0a:00:00:00:00:01']]), devices.get('br-phys'), wire);
  assert.equal(hop, { ifindex: 1, mtu: 1400, ethDst: Buffer.from('0a0000000001', 'hex'),
    ethSrc: Buffer.from('020000000002', 'hex') });
});

test('nothing is known of a device that is down, a missing route or neighbour', () => {
  const route = { device: 'br-phys', via: '192.0.2.2' };
  const known = new Map([['br-phys/192.0.2.2', '0a:00:00:00:00:01']]);
  assert.is(nextHop(undefined, known, devices.get('br-phys'), wire), undefined);
  assert.is(nextHop(route, new Map(), devices.get('br-phys'), wire), undefined);
  assert.is(nextHop(route, known, device('br-phys', 2, { up: false }), wire), undefined);
  assert.is(nextHop(route, known, devices.get('br-phys'), () => undefined), undefined);
});

test('an unknown neighbour is asked for, and its wire known already', async () => {
  const asked: string[] = [];
  const ip: RunIp = (commands) => {
    asked.push(...commands);
    return Promise.resolve(commands[0]?.startsWith('route') ? `${onLink}\n${viaGateway}` : '');
  };
  const { nextHops, wires } = await resolve(['192.0.2.2', '203.0.113.9'], devices, wire, ip);
  assert.is(nextHops.size, 0);
  assert.equal([...wires.keys()], [1]);
  assert.equal(asked.slice(3), ['neigh replace 192.0.2.2 dev br-phys use',
    'neigh replace 192.0.2.2 dev br-phys managed']);
});

test('through the geneve device: a route is enough, and none is none', async () => {
  const ip: RunIp = () => Promise.resolve(onLink);
  const remotes = ['192.0.2.2', '198.51.100.1'];
  assert.is((await throughGeneve(remotes, devices, wire, ip)).nextHops.size, 0, 'no geneve device');
  const withGeneve = new Map([...devices, ['genev_sys_6081', device('genev_sys_6081', 9,
    { mtu: 65000, kind: 'geneve', xdp: undefined })]]);
  const { nextHops, wires, nics } = await throughGeneve(remotes, withGeneve, wire, ip);
  const { ifindex, mtu, direct } = nextHops.get('192.0.2.2')!;
  assert.equal([ifindex, mtu, direct], [9, devices.get('br-phys')!.mtu, undefined]);
  assert.equal([...nextHops.keys()], ['192.0.2.2']);
  assert.equal([...wires.keys()], [9]);
  assert.equal([...nics.values()].map(({ name }) => name), ['eth0'], 'behind br-phys');
});

test('a neighbour is the kernel\'s to watch once it manages it; written down, nobody\'s', () => {
  const one = { dst: '10.0.0.1', dev: 'eth0', state: ['REACHABLE'] };
  assert.equal([...parseWatched(JSON.stringify([one, { ...one, dst: '10.0.0.2', managed: null },
    { ...one, dst: '10.0.0.3', state: ['PERMANENT'] }, { ...one, dst: '10.0.0.4', state: 'x' }]))],
  ['eth0/10.0.0.2', 'eth0/10.0.0.3']);
});

test('past the geneve device where the next hop is known; else the kernel is asked for it', () =>
  throughGeneveTo('[{"dst":"192.0.2.2","dev":"br-phys","lladdr":"02:00:00:00:00:99",'
    + '"managed":null,"state":["STALE"]}]').then(async ({ hop, asked }) => {
    assert.equal([hop.ifindex, hop.direct], [9, 2]);
    assert.equal([...hop.ethDst], [2, 0, 0, 0, 0, 0x99]);
    assert.equal([...hop.ethSrc], [2, 0, 0, 0, 0, 2]);
    assert.equal(asked, []);
    const { asked: now, hop: without } = await throughGeneveTo('[]');
    assert.is(without.direct, undefined);
    assert.ok(now.some((command) => command.startsWith('neigh replace 192.0.2.2 dev br-phys')));
  }));

async function throughGeneveTo(neighbours: string) {
  const asked: string[] = [];
  const ip: RunIp = (commands) => {
    asked.push(...commands.filter((command) => command.startsWith('neigh replace')));
    return Promise.resolve(commands[0] === 'neigh show' ? neighbours : onLink);
  };
  const geneve = device('genev_sys_6081', 9, { mtu: 65000, kind: 'geneve', xdp: undefined });
  const { nextHops } = await throughGeneve(['192.0.2.2'],
    new Map([...devices, ['genev_sys_6081', geneve]]), wire, ip);
  return { hop: nextHops.get('192.0.2.2')!, asked };
}

test('where a program goes, and why not', () => {
  const plan = (more: Partial<NetDevice>, type = 'netdev', tcx = true) =>
    planDevice('vif', device('tap1', 3, more), type, tcx);
  assert.equal([plan({}).hook, plan({}).target], ['xdp', true]);
  assert.equal([plan({}, '').hook, plan({}, '').target], ['tcx', true]);
  assert.equal(plan({ xdp: new Set() }, 'system', false).hook, 'clsact');
  assert.match(plan({}, 'system', false).reason, /no tcx/);
  assert.equal([plan({}, 'dpdk').hook, plan({}, 'dpdk').target], ['none', false]);
  assert.is(plan({ xdp: new Set() }).hook, 'none');
  assert.is(plan({ xdp: new Set(['basic']) }).hook, 'none');
  const deaf = plan({ xdp: new Set(['basic', 'redirect']) });
  assert.equal([deaf.hook, deaf.target], ['xdp', false]);
  assert.match(deaf.reason, /gro on/);
  assert.ok(plan({ xdp: undefined }).target);
  assert.is(datapathTypeOf('eth0', here), 'netdev');
});

test.run();
