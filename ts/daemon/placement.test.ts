/** What is attached to which device of a chassis, and why not. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Desired, Port } from '../compile/model.js';
import type { LocalChassis, LocalInterface } from '../vswitch/local.js';
import { leave, planDevice, planReceive, type NetDevice } from './devices.js';
import { place, type Machine } from './placement.js';
import { Placer } from './placer.js';

const mac = '02:00:00:00:00:01';
const device = (name: string, ifindex: number, more: Partial<NetDevice> = {}): NetDevice => ({
  name, ifindex, mtu: 1500, mac, up: true, kind: 'veth', hidesTags: false,
  xdp: new Set(['basic', 'redirect', 'ndoXmit'] as const), ...more });
const iface = (name: string, more: Partial<LocalInterface> = {}): [string, LocalInterface] =>
  [name, { name, iface_id: name, bridge: 'br-int', ofport: 1, type: '', ...more }];
const port = (kind: Port['kind'], key: number, more: Partial<Port>): [string, Port] => [`1/${key}`,
  { datapath: 1, port: key, kind, logical_port: `p${key}`, zone: 1, ...more }];

const ports = new Map([port('local', 1, { device: 'tap1' }), port('local', 2, { device: 'tap2' }),
  port('localnet', 3, { bridge: 'br-ex', vlan: 0 })]);
const desired: Desired = { ports, datapaths: new Map(), dispatch: new Map(), tunnels: new Map(),
  macBindings: new Map(), hairpins: new Map(), unsupported: [],
  localnets: [...ports.values()].filter(({ kind }) => kind === 'localnet') };

function here(datapath_type: string, limit?: string): LocalChassis {
  const links = [{ name: 'nic', type: '' }, { name: 'pe', type: 'patch', peer: 'pi' }];
  return {
    system_id: 'me', ovn_remote: '', encap_types: ['geneve'], encap_ips: [],
    integration_bridge: 'br-int', bridge_mappings: new Map(), cms_options: [], monitor_all: false,
    bridges: new Map([
      ['br-int', { name: 'br-int', datapath_type, ports: ['tap1', 'tap2', 'pi'] }],
      ['br-ex', { name: 'br-ex', datapath_type, ports: ['nic', 'pe'], links }]]),
    interfaces: new Map([iface('tap1'), iface('tap2', limit === undefined ? {}
      : { shaped: limit })]),
    ct_zones: new Map(), localnets: new Map(), bfd: new Map(), settings: new Map(),
  };
}
const machine = (nic: Partial<NetDevice> = {}, more: Partial<Machine> = {}): Machine => ({
  devices: () => new Map([device('tap1', 11), device('tap2', 12), device('nic', 20, nic),
    device('br-ex', 21)].map((each) => [each.name, each])),
  ip: () => Promise.resolve(''), tcx: () => true,
  bridge: () => Promise.resolve({ flows: ['priority=0,actions=NORMAL'], fdb: [] }), ...more });

async function plans(chassis: LocalChassis, at: Machine): Promise<Record<string, string>> {
  const placed = await place(desired, chassis, at);
  return Object.fromEntries(placed.plans.map(({ device: { name }, hook, role, reason }) =>
    [name, hook === 'none' ? `left: ${reason}` : `${role} ${hook}`]));
}

test('the NIC of a provider bridge gets a program, and frames may go there', async () => {
  for (const [type, hook] of [['netdev', 'xdp'], ['system', 'tcx'], ['', 'tcx']] as const) {
    assert.equal(await plans(here(type), machine()),
      { tap1: `vif ${hook}`, tap2: `vif ${hook}`, nic: `provider ${hook}` });
  }
  const { placement } = await place(desired, here('netdev'), machine());
  assert.equal([...placement.providers], [['br-ex',
    { ifindex: 20, mtu: 1500, target: true, bridgeMac: [0x0200, 1] }]]);
});

test('a VIF that OVS limits is left to it, with the reason', async () => {
  for (const limit of ['ingress policing', 'QoS']) {
    const chassis = here('netdev', limit);
    assert.is((await plans(chassis, machine()))['tap2'],
      `left: ${limit}: the fast path would pass it by`);
    const { placement } = await place(desired, chassis, machine());
    assert.equal([...placement.devices.keys()], ['tap1']);
  }
});

test('a NIC that hides tags is no place for XDP, but for TC', async () => {
  for (const hidesTags of [true, undefined]) {
    const found = await plans(here('netdev'), machine({ hidesTags }));
    assert.match(found['nic']!, /^left: XDP would not see VLAN tags/);
    assert.is((await plans(here('system'), machine({ hidesTags })))['nic'], 'provider tcx');
  }
});

test('a bridge that is not plain, or that nobody can be asked about, is left', async () => {
  const flows = { flows: ['priority=5,in_port=1,actions=drop'], fdb: [] };
  const found = await plans(here('netdev'), machine({}, { bridge: () => Promise.resolve(flows) }));
  assert.is(found['nic'], 'left: br-ex: flows beside NORMAL');
  const { bridge: _bridge, ...silent } = machine();
  assert.is((await plans(here('netdev'), silent))['nic'], 'left: br-ex: nobody to ask');
  const { placement } = await place(desired, here('netdev'), silent);
  assert.is(placement.providers.size, 0);
});

test('a provider bridge without one NIC says so: several, a bond of OVS\'s, or none', async () => {
  const chassis = here('netdev'), bridge = chassis.bridges.get('br-ex')!;
  const patch = bridge.links!.find(({ type }) => type === 'patch')!;
  const nic = { name: 'nic', type: '' };
  for (const [links, expected] of [
    [[nic, { name: 'tap2', type: '' }, patch], ['nic', 'left: br-ex: several devices: nic,tap2']],
    [[{ name: 'bond0', type: '', odd: 'a bond' }, patch], ['br-ex', 'left: br-ex: bond0: a bond']],
    [[{ ...nic, odd: 'VLAN settings' }, patch], ['nic', 'left: br-ex: nic: VLAN settings']],
    [[patch], ['br-ex', 'left: br-ex: no NIC']]] as const) {
    const bridges = new Map([...chassis.bridges, ['br-ex', { ...bridge, links }]]);
    const found = await plans({ ...chassis, bridges }, machine());
    assert.is(found[expected[0]], expected[1]);
  }
});

/** Another chassis behind `nic`, under OVS's kernel datapath. */
async function receiving(receive: string | undefined, nic: Partial<NetDevice> = {},
  tap2: Partial<NetDevice> = {}) {
  const geneve = device('genev_sys_6081', 30, { kind: 'geneve', xdp: new Set() });
  const { devices } = machine(nic);
  const at = machine(nic, {
    devices: (wanted) => new Map([...devices(wanted), ['tap2', device('tap2', 12, tap2)],
      ['genev_sys_6081', geneve]]),
    ip: ([command]) => Promise.resolve(command === 'neigh show' ? ''
      : '[{"dst":"192.0.2.2","dev":"nic"}]') });
  const chassis = { ...here('system'), settings: new Map(receive === undefined ? []
    : [['receive', receive]]) };
  const tunnel = { remoteIp: '192.0.2.2', localIp: '192.0.2.1', csum: true, chassis: 'c2' };
  return place({ ...desired, localnets: [], tunnels: new Map([['192.0.2.2', tunnel]]) },
    chassis, at);
}

test('the NIC that geneve comes by gets XDP where that is wanted, before TC', async () => {
  for (const receive of [undefined, 'tunnel', 'NIC']) {
    const { plans, placement } = await receiving(receive);
    assert.equal(plans.map(({ device: { name }, hook }) => [name, hook]),
      [['tap1', 'tcx'], ['tap2', 'tcx'], ['genev_sys_6081', 'tcx']]);
    assert.equal(placement.uplinks.map(({ ifindex }) => ifindex), [30]);
  }
  const { plans, placement } = await receiving('nic');
  assert.equal(plans.slice(2).map(({ device: { name }, role, hook, target }) =>
    [name, role, hook, target]), [['genev_sys_6081', 'uplink', 'tcx', true],
    ['nic', 'receive', 'xdp', false]]);
  assert.equal(placement.uplinks, [
    { ifindex: 30, mtu: 1500, target: true, tcOnly: true },
    { ifindex: 20, mtu: 1500, target: false, beforeTc: true }]);
  assert.is(placement.nextHops.get('192.0.2.2')?.ifindex, 30, 'out as before');
  assert.equal([...placement.devices.values()].map(({ tcOnly }) => tcOnly),
    [undefined, undefined]);
});

test('a NIC without native XDP stays at TC, in words; so do devices that take no frames of XDP',
  async () => {
    const { plans, placement } = await receiving('nic', { xdp: new Set() },
      { xdp: new Set(['basic', 'redirect']) });
    assert.equal([plans[3]?.hook, plans[3]?.reason], ['none',
      'geneve is received at genev_sys_6081 only: the driver has no native XDP']);
    assert.equal(placement.uplinks.map(({ ifindex }) => ifindex), [30]);
    assert.match(plans[1]!.reason, /gro on.*, so XDP leaves frames to it to TC$/);
    assert.equal(placement.devices.get('tap2'),
      { ifindex: 12, mtu: 1500, target: true, tcOnly: true });
    const untold = await receiving('nic', {}, { xdp: undefined });
    assert.match(untold.plans[1]!.reason, /does not say/);
    assert.ok(untold.placement.devices.get('tap2')?.tcOnly);
    const tap = await receiving('nic', {}, { xdp: undefined, kind: 'tun' });
    assert.not(tap.placement.devices.get('tap2')?.tcOnly, 'a tap takes them');
  });

test('a device has one program: a NIC of a provider bridge keeps that of TC', async () => {
  const nic = device('nic', 20);
  const provider = planDevice('provider', nic, 'system', true);
  assert.match(planReceive(nic, [provider]).reason, /is a provider at TC$/);
  assert.is(planReceive(nic, [leave('provider', nic, 'no')]).hook, 'xdp');
  assert.is(planReceive(nic, [planDevice('vif', device('tap1', 11), '', true)]).hook, 'xdp');
});

test('a look is taken again only when something that it saw may have changed', async () => {
  let looks = 0;
  const at = machine();
  const placer = new Placer({ ...at, devices: (wanted) => {
    looks += 1;
    return at.devices(wanted);
  } });
  const after = async (state: Desired, chassis: LocalChassis): Promise<number> => {
    await placer.place(state, chassis);
    return looks;
  };
  const chassis = here('netdev');
  assert.is(await after(desired, chassis), 1);
  assert.is(await after(desired, chassis), 1);
  const up = new Map([['g1', { up: true, forwarding: true }]]);
  assert.is(await after({ ...desired }, { ...here('netdev'), bfd: up }), 1, 'BFD');
  assert.is(await after(desired, here('netdev', 'QoS')), 2, 'a limit');
  assert.is(await after(desired, here('system', 'QoS')), 3, 'another datapath');
  placer.look();
  assert.is(await after(desired, here('system', 'QoS')), 4);
  const without = new Map([...ports].filter(([, { kind }]) => kind !== 'localnet'));
  assert.is(await after({ ...desired, ports: without, localnets: [] },
    here('system', 'QoS')), 5, 'no localnet port');
  const byNic = { ...here('system', 'QoS'), settings: new Map([['receive', 'nic']]) };
  assert.is(await after({ ...desired, ports: without, localnets: [] }, byNic), 6, 'a setting');
});

test.run();
