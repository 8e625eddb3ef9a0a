import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Chassis, DatapathBinding, Encap, PortBinding } from '../southbound/rows.js';
import { View } from '../southbound/view.js';
import type { LocalChassis } from '../vswitch/local.js';
import { compileMacs } from './macs.js';
import type { Port } from './model.js';
import { compilePhysical, type LocalView } from './physical.js';
import { emptySouthbound, localChassis, type MutableSouthbound } from './testing.js';

const none: ReadonlyMap<string, string> = new Map();
const map = (entries: Record<string, string>): ReadonlyMap<string, string> =>
  new Map(Object.entries(entries));

function chassis(name: string, ip: string, types: readonly string[] = ['geneve']):
  readonly [Chassis, readonly Encap[]] {
  const encaps = types.map((type): Encap => ({ _uuid: `${name}-${type}`, type, ip,
    options: map({ csum: 'true' }), chassis_name: name }));
  return [{ _uuid: name, name, hostname: name, encaps: encaps.map((e) => e._uuid),
    external_ids: none, other_config: none, transport_zones: [] }, encaps];
}
const port = (name: string, key: number, more: Partial<PortBinding> = {}): PortBinding => ({
  _uuid: name, logical_port: name, type: '', datapath: 'ls', tunnel_key: key, chassis: undefined,
  encap: undefined, gateway_chassis: [], ha_chassis_group: undefined, mac: [], nat_addresses: [],
  port_security: [], options: none, external_ids: none, parent_port: undefined, tag: undefined,
  virtual_parent: undefined, up: undefined, additional_chassis: [], requested_chassis: undefined,
  ...more,
});
const switchRow: DatapathBinding = { _uuid: 'ls', tunnel_key: 7, load_balancers: [],
  external_ids: map({ name: 'net', 'logical-switch': 'x' }) };
const routerRow: DatapathBinding = { _uuid: 'lr', tunnel_key: 8, load_balancers: [],
  external_ids: map({ name: 'router', 'logical-router': 'x' }) };

interface Scene { rows: MutableSouthbound; at: LocalView; here: LocalChassis }
function scene(ports: readonly PortBinding[], remoteTypes?: readonly string[]): Scene {
  const rows = emptySouthbound();
  const others = chassis('far', '172.31.0.2', remoteTypes);
  for (const [row, encaps] of [chassis('me', '172.31.0.1'), others]) {
    rows.Chassis.set(row._uuid, row);
    for (const e of encaps) rows.Encap.set(e._uuid, e);
  }
  for (const row of [switchRow, routerRow]) rows.Datapath_Binding.set(row._uuid, row);
  for (const row of ports) rows.Port_Binding.set(row._uuid, row);
  const view = new View(rows);
  const at = { view, chassis: rows.Chassis.get('me'), local: rows.Datapath_Binding };
  return { rows, at, here: localChassis(rows, 'me') };
}
function placed(s: Scene, name: string, here: Partial<LocalChassis> = {}): string {
  const { ports } = compilePhysical(s.at, { ...s.here, ...here });
  const p = [...ports.values()].find((row) => row.logical_port === name) as Port;
  const details = [p.detail, p.device, p.chassis, p.encapIp, p.peerDatapath, p.peerPort,
    p.vlan, p.localport ? 'localport' : undefined];
  return [p.kind, ...details.filter((d) => d !== undefined)].join(' ');
}

const patched = [port('a', 1, { type: 'patch', options: map({ peer: 'b' }) }),
  port('b', 2, { type: 'patch', datapath: 'lr', options: map({ peer: 'a' }) })];
const cases: readonly (readonly [string, readonly PortBinding[], string, string])[] = [
  ['bound here with an interface', [port('a', 1, { chassis: 'me' })], 'a', 'local tapa'],
  ['bound elsewhere', [port('a', 1, { chassis: 'far' })], 'a', 'remote far 172.31.0.2'],
  ['not bound', [port('a', 1)], 'a', 'punt not bound to a chassis'],
  ['bound to a chassis without a row', [port('a', 1, { chassis: 'gone' })], 'a',
    'punt bound to a chassis without a row'],
  ['elsewhere, in a switch whose network is not plugged in here',
    [port('a', 1, { chassis: 'far' }), port('ln', 2, { type: 'localnet' })], 'a',
    'remote far 172.31.0.2'],
  ['here, in a switch with a localnet port',
    [port('a', 1, { chassis: 'me' }), port('ln', 2, { type: 'localnet' })], 'a', 'local tapa'],
  ['migrating', [port('a', 1, { chassis: 'far', additional_chassis: ['me'] })], 'a',
    'punt bound to several chassis'],
  ['patch', patched, 'a', 'patch 8 2'],
  ['the other end', patched, 'b', 'patch 7 1'],
  ['patch without peer', [port('a', 1, { type: 'patch', options: map({ peer: 'b' }) })], 'a',
    'punt no peer in a local datapath'],
  ['patch whose peer has another', [patched[0]!,
    port('b', 2, { type: 'patch', datapath: 'lr', options: map({ peer: 'c' }) })], 'a',
  'punt no peer in a local datapath'],
  ['gateway router port here', patched.map((p) => ({ ...p, type: 'l3gateway', chassis: 'me' })),
    'a', 'patch 8 2'],
  ['gateway router port elsewhere',
    patched.map((p) => ({ ...p, type: 'l3gateway', chassis: 'far' })), 'a',
    'remote far 172.31.0.2'],
  ['gateway router port whose peer is a plain patch port',
    [{ ...patched[0]!, type: 'l3gateway', chassis: 'me' }, patched[1]!], 'a',
    'punt no peer in a local datapath'],
  ...['l2gateway', 'virtual', 'external', 'vtep',
    'remote', 'a type of a newer release'].map((type) =>
    [type, [port('a', 1, { type, chassis: 'me' })], 'a', `punt port type ${type}`] as const),
];
for (const [name, ports, which, expected] of cases) {
  test(`${name}: ${expected}`, () => { assert.is(placed(scene(ports), which), expected); });
}

/** Nested in `vm`, on VLAN 5 unless `more` says. */
const child = (name: string, key: number, more: Partial<PortBinding> = {}): PortBinding =>
  port(name, key, { chassis: 'me', parent_port: 'vm', tag: 5, ...more });
const vm = port('vm', 9, { chassis: 'me', datapath: 'lr' });
const twoTags = [child('a', 1), child('b', 2, { tag: 6 }), vm];
const localnetHere = port('ln', 3, { type: 'localnet', options: map({ network_name: 'phys' }) });
const odd = 'punt nested port without its VIF or tag';
const nested: readonly (readonly [string, readonly PortBinding[], string])[] = [
  ['of a VIF of another switch', [child('a', 1), vm], 'local tapvm 5'],
  ['of a VIF of its own switch', [child('a', 1), { ...vm, datapath: 'ls' }], 'local tapvm 5'],
  ['beside another', twoTags, 'local tapvm 5'],
  ['on another\'s VLAN', [child('a', 1), child('b', 2, { datapath: 'lr' }), vm],
    'punt several ports of one name or key'],
  ['without a tag', [child('a', 1, { tag: undefined }), vm], odd],
  ['with a tag that is no VLAN', [child('a', 1, { tag: 4095 }), vm],
    'punt VLAN tags of another ethertype'],
  ['without its VIF', [child('a', 1)], odd],
  ['bound here, its VIF elsewhere', [child('a', 1), { ...vm, chassis: 'far' }], odd],
  ['bound elsewhere, its VIF here', [child('a', 1, { chassis: 'far' }), vm], odd],
  ['both elsewhere', [child('a', 1, { chassis: 'far' }), { ...vm, chassis: 'far' }],
    'remote far 172.31.0.2'],
  ['both elsewhere, in a provider network',
    [child('a', 1, { chassis: 'far' }), { ...vm, chassis: 'far' }, localnetHere], 'redirect 3'],
  ['in a provider network', [child('a', 1), vm, localnetHere], 'local tapvm 5'],
  ['in a provider network with other tags', [child('a', 1), vm, { ...localnetHere,
    options: map({ network_name: 'phys', ethtype: '802.11AD' }) }],
  'punt VLAN tags of another ethertype'],
  ['migrating', [child('a', 1, { additional_chassis: ['far'] }), vm],
    'punt bound to several chassis'],
  ['of a VIF that migrates', [child('a', 1), { ...vm, additional_chassis: ['far'] }], odd],
  ['of a nested port', [child('a', 1), { ...vm, parent_port: 'x' }], odd],
];
const plugged = { bridge_mappings: map({ phys: 'br-ex' }), localnets: map({ ln: 'patch-ln' }),
  bridges: new Map([['br-ex', { name: 'br-ex', datapath_type: 'netdev', ports: [] }]]) };
for (const [name, ports, expected] of nested) {
  test(`nested port ${name}: ${expected}`, () => {
    assert.is(placed(scene(ports), 'a', plugged), expected);
  });
}

const ifaceOf = (name: string): LocalChassis['interfaces'] =>
  new Map([[name, { name: `tap${name}`, iface_id: name, bridge: 'br-int', ofport: 1, type: '' }]]);
test('a localport is where an interface is for it, an external port on the network', () => {
  const meta = port('a', 1, { type: 'localport' });
  assert.is(placed(scene([meta]), 'a', { interfaces: ifaceOf('a') }), 'local tapa localport');
  assert.is(placed(scene([meta]), 'a'), 'punt no interface on the integration bridge');
  const one = { ...meta, options: map({ 'requested-chassis': 'far' }) };
  assert.is(placed(scene([one]), 'a', { interfaces: ifaceOf('a') }),
    'punt localport for one chassis');
  for (const chassis of ['me', 'far', undefined]) {
    const outside = port('a', 1, { type: 'external', chassis });
    assert.is(placed(scene([outside, localnetHere]), 'a', plugged), 'redirect 3');
    assert.is(placed(scene([outside]), 'a', plugged), 'punt port type external');
  }
});

test('without its interface, or with it on another bridge, a port is not local', () => {
  const s = scene([port('a', 1, { chassis: 'me' })]);
  const absent = 'punt no interface on the integration bridge';
  assert.is(placed(s, 'a', { interfaces: new Map() }), absent);
  const iface = { ...s.here.interfaces.get('a')!, bridge: 'br-ex' };
  assert.is(placed(s, 'a', { interfaces: new Map([['a', iface]]) }), absent);
});

test('geneve alone is spoken: with a choice of types, or with IPsec, tunnels are OVS\'s', () => {
  const far = [port('a', 1, { chassis: 'far' })];
  const refused = 'punt no plain geneve tunnel to its chassis';
  const types = { encap_types: ['geneve', 'vxlan'] };
  assert.is(placed(scene(far), 'a', types), 'remote far 172.31.0.2');
  assert.is(placed(scene(far, ['geneve', 'vxlan']), 'a', types), refused);
  assert.is(placed(scene(far, ['geneve', 'vxlan']), 'a'), 'remote far 172.31.0.2');
  assert.is(placed(scene(far, ['vxlan']), 'a'), refused);
  const s = scene(far);
  const global = { _uuid: 'g', nb_cfg: 0, options: none, external_ids: none };
  s.rows.SB_Global.set('g', { ...global, ipsec: true });
  assert.is(placed(s, 'a'), 'punt tunnels with IPsec');
  assert.is(compilePhysical(s.at, s.here).tunnels.size, 0);
});

test('what makes tunnel packets other than ours leaves remote ports to OVS', () => {
  const far = [port('a', 1, { chassis: 'far' })];
  assert.is(placed(scene(far), 'a', { encap_overrides: ['ovn-encap-tos=inherit', 'b=1'] }),
    'punt tunnels with ovn-encap-tos=inherit, b=1');
  assert.is(placed(scene(far), 'a', { encap_ips: ['172.31.0.1', '172.31.0.9'] }),
    'punt tunnels with several addresses in ovn-encap-ip');
  const refused = 'punt no plain geneve tunnel to its chassis';
  const changes: [Partial<Chassis>, Partial<Chassis>, Record<string, string>, string][] = [
    [{}, {}, { csum: 'true', dst_port: '6082' }, refused],
    [{}, {}, { some_day: 'x' }, refused],
    [{}, {}, { is_default: 'true' }, 'remote far 172.31.0.2'],
    [{}, { other_config: map({ 'is-remote': 'true' }) }, {}, refused],
    [{ other_config: map({ 'is-interconn': 'true' }) },
      { other_config: map({ 'is-remote': 'true' }) }, {}, 'remote far 172.31.0.2'],
    [{ transport_zones: ['x'] }, { transport_zones: ['y'] }, {}, refused],
    [{}, { transport_zones: ['y'] }, {}, refused],
    [{ transport_zones: ['x'] }, {}, {}, refused],
    [{ transport_zones: ['x', 'y'] }, { transport_zones: ['y'] }, {}, 'remote far 172.31.0.2'],
  ];
  for (const [mine, theirs, options, expected] of changes) {
    const s = scene(far);
    const own = { ...s.rows.Chassis.get('me')!, ...mine };
    s.rows.Chassis.set('far', { ...s.rows.Chassis.get('far')!, ...theirs });
    s.rows.Encap.set('far-geneve', { ...s.rows.Encap.get('far-geneve')!, options: map(options) });
    const at = { ...s.at, view: new View(s.rows), chassis: own };
    assert.is(placed({ ...s, at }, 'a'), expected, JSON.stringify([mine, theirs, options]));
  }
});

test('ports of one name or key are OVS\'s; keys that fit nowhere are nobody\'s', () => {
  const here = { chassis: 'me' };
  const one = port('a', 1, here), other = port('b', 1, here);
  assert.is(placed(scene([one, other]), 'b'), 'punt several ports of one name or key');
  const namesake = { ...port('x', 2, { ...here, datapath: 'lr' }), logical_port: 'a' };
  assert.is(placed(scene([one, namesake]), 'a'), 'punt several ports of one name or key');
  for (const key of [0, -1, 0x8000, 2 ** 40 + 1]) {
    const s = scene([port('a', key, here), ...patched.map((p) => ({ ...p, tunnel_key:
      p._uuid === 'b' ? key : p.tunnel_key }))]);
    assert.equal([...compilePhysical(s.at, s.here).ports.values()].map((p) =>
      [p.logical_port, p.kind, p.reason]), [['a', 'punt', 'UNKNOWN_PORT']], `key ${key}`);
  }
});

test('tunnels go to every other chassis, with the checksum that its encap asks for', () => {
  const s = scene([]);
  assert.equal([...compilePhysical(s.at, s.here).tunnels.values()],
    [{ chassis: 'far', remoteIp: '172.31.0.2', localIp: '172.31.0.1', csum: true }]);
});

test('zones are found by the names of 23.03 and of later releases', () => {
  const s = scene([port('a', 1, { chassis: 'me' })]);
  const ct_zones = new Map([['a', 3], ['ls_dnat', 4], ['ls_snat', 5], ['router_dnat', 6]]);
  const { datapaths, ports } = compilePhysical(s.at, { ...s.here, ct_zones });
  assert.is(ports.get('7/1')!.zone, 3);
  const zones = [...datapaths.values()].map((d) => [d.name, d.router, d.dnatZone, d.snatZone]);
  assert.equal(zones, [['net', false, 4, 5], ['router', true, 6, 0]]);
});

test('static MAC bindings stand above or below learned ones as they say', () => {
  const s = scene([...patched]);
  const row = (uuid: string, ip: string, mac: string) =>
    ({ _uuid: uuid, logical_port: 'b', datapath: 'lr', ip, mac });
  const [learned, fixed] = ['0a:00:00:00:00:01', '0A:00:00:00:00:02'] as const;
  for (const ip of ['10.0.0.1', '10.0.0.2', 'FD00:0::1']) {
    s.rows.MAC_Binding.set(ip, row(ip, ip, learned));
  }
  const statics = [['10.0.0.1', true], ['10.0.0.2', false], ['10.0.0.3', false]] as const;
  for (const [ip, override_dynamic_mac] of statics) {
    s.rows.Static_MAC_Binding.set('s' + ip, { ...row('s' + ip, ip, fixed), override_dynamic_mac });
  }
  s.rows.MAC_Binding.set('bad', row('bad', '10.0.0.4', 'no mac'));
  s.rows.MAC_Binding.set('worse', row('worse', '10.0.0', learned));
  const macs = compileMacs({ ...s.at, view: new View(s.rows) });
  assert.equal([...macs].map(([key, { mac }]) => `${key} ${mac}`).sort(), [
    `8/2/10.0.0.1 ${fixed.toLowerCase()}`, `8/2/10.0.0.2 ${learned}`,
    `8/2/10.0.0.3 ${fixed.toLowerCase()}`, `8/2/fd00::1 ${learned}`,
  ]);
});

test.run();
