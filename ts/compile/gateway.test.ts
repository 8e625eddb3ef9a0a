/** Who serves a port that several chassis may serve, and ports on physical networks. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Chassis, PortBinding } from '../southbound/rows.js';
import { View } from '../southbound/view.js';
import type { LocalChassis, TunnelBfd } from '../vswitch/local.js';
import { compilePhysical } from './physical.js';
import { isResident } from './residency.js';
import { emptySouthbound, localChassis, type MutableSouthbound } from './testing.js';

const none: ReadonlyMap<string, string> = new Map();
const map = (entries: Record<string, string>): ReadonlyMap<string, string> =>
  new Map(Object.entries(entries));
const port = (name: string, key: number, more: Partial<PortBinding>): PortBinding => ({
  _uuid: name, logical_port: name, type: '', datapath: 'ls', tunnel_key: key, chassis: undefined,
  encap: undefined, gateway_chassis: [], ha_chassis_group: undefined, mac: [], nat_addresses: [],
  port_security: [], options: none, external_ids: none, parent_port: undefined, tag: undefined,
  virtual_parent: undefined, up: undefined, additional_chassis: [], requested_chassis: undefined,
  ...more,
});

/** Chassis me, g1, g2, g3 and c1; `group`: those of cr by priority; `ref`: who sends to it. */
function rows(group: Readonly<Record<string, number>>, ref: readonly string[] = ['c1']):
  MutableSouthbound {
  const all = emptySouthbound();
  for (const [i, name] of ['me', 'g1', 'g2', 'g3', 'c1'].entries()) {
    const encap = { _uuid: `e-${name}`, type: 'geneve', ip: `172.31.0.${i + 1}`,
      options: none, chassis_name: name };
    all.Encap.set(encap._uuid, encap);
    all.Chassis.set(name, { _uuid: name, name, hostname: name, encaps: [encap._uuid],
      external_ids: none, other_config: none, transport_zones: [] });
  }
  for (const [name, priority] of Object.entries(group)) {
    all.HA_Chassis.set(`ha-${name}`, { _uuid: `ha-${name}`, priority,
      chassis: all.Chassis.has(name) ? name : undefined });
  }
  all.HA_Chassis_Group.set('grp', { _uuid: 'grp', name: 'grp', ref_chassis: ref,
    ha_chassis: Object.keys(group).map((name) => `ha-${name}`) });
  for (const [uuid, key, kind] of [['ls', 7, 'switch'], ['lr', 8, 'router']] as const) {
    all.Datapath_Binding.set(uuid, { _uuid: uuid, tunnel_key: key, load_balancers: [],
      external_ids: map({ name: uuid, [`logical-${kind}`]: 'x' }) });
  }
  for (const row of [port('lrp', 3, { type: 'patch', datapath: 'lr' }),
    port('cr', 4, { type: 'chassisredirect', datapath: 'lr', ha_chassis_group: 'grp',
      options: map({ 'distributed-port': 'lrp' }) })]) all.Port_Binding.set(row._uuid, row);
  return all;
}
const up: TunnelBfd = { up: true, forwarding: true };
const down: TunnelBfd = { up: false, forwarding: false };
const bfdOf = (names: readonly string[]): LocalChassis['bfd'] =>
  new Map(['g1', 'g2', 'g3', 'c1'].map((name) => [name, names.includes(name) ? up : down]));

/** group, chassis with BFD up, whether the port is resident on me. */
const decisions: readonly (readonly [string, Record<string, number>, string[], boolean])[] = [
  ['no group', {}, ['c1'], false],
  ['me alone, without any tunnel', { me: 1 }, [], true],
  ['another alone', { g1: 1 }, ['g1'], false],
  ['me alone of two that have a row', { me: 1, gone: 9 }, [], true],
  ['another alone of two that have a row', { g1: 1, gone: 9 }, ['g1', 'c1'], false],
  ['the first', { me: 20, g1: 10 }, ['g1', 'c1'], true],
  ['the second', { me: 10, g1: 20 }, ['g1', 'c1'], false],
  ['the second when the first is gone', { me: 10, g1: 20 }, ['c1'], true],
  ['the second when nobody else sees it', { me: 10, g1: 20 }, ['g2'], false],
  ['cut off from all', { me: 20, g1: 10 }, [], false],
  ['the third when two are gone', { me: 5, g1: 20, g2: 10 }, ['g3', 'c1'], true],
  ['the third when one is gone', { me: 5, g1: 20, g2: 10 }, ['g2', 'c1'], false],
  ['of equal ones the later name', { me: 5, g1: 5 }, ['g1', 'c1'], true],
  ['not a member', { g1: 5, g2: 4 }, ['g1', 'g2', 'c1'], false],
];
for (const [name, group, living, expected] of decisions) {
  test(`is_chassis_resident(cr): ${name}: ${expected}`, () => {
    const view = new View(rows(group));
    assert.is(isResident(view, 'cr', 'me', bfdOf(living)), expected);
    assert.is(isResident(view, 'cr', undefined, bfdOf(living)), false);
  });
}

test('other ports are resident where they are bound', () => {
  const all = rows({});
  all.Port_Binding.set('vif', port('vif', 9, { chassis: 'me' }));
  const view = new View(all);
  assert.is(isResident(view, 'vif', 'me', new Map()), true);
  assert.is(isResident(view, 'vif', 'g1', new Map()), false);
  assert.is(isResident(view, 'nobody', 'me', new Map()), false);
});

function placed(all: MutableSouthbound, name: string, here: Partial<LocalChassis>): string {
  const view = new View(all);
  const at = { view, chassis: all.Chassis.get('me') as Chassis, local: all.Datapath_Binding };
  const { ports } = compilePhysical(at, { ...localChassis(all, 'me'), ...here });
  const p = [...ports.values()].find((each) => each.logical_port === name)!;
  const details = [p.detail, p.device, p.chassis, p.encapIp, p.bridge, p.vlan, p.peerPort];
  return [p.kind, ...details.filter((each) => each !== undefined)].join(' ');
}

/** group, Port_Binding.chassis, tunnels that OVS sends to, where packets to cr go. */
const redirects: readonly (readonly [
  string, Record<string, number>, string | undefined, string[], string])[] = [
  ['active here', { me: 20, g1: 10 }, 'me', ['g1', 'c1'], 'redirect 3'],
  ['active here, not yet bound here', { me: 20, g1: 10 }, 'g1', ['g1', 'c1'], 'redirect 3'],
  ['still bound here', { me: 20, g1: 30 }, 'me', ['g1', 'c1'],
    'punt bound here, active elsewhere'],
  ['the first choice', { g1: 20, g2: 10 }, 'g1', ['g1', 'g2'], 'remote g1 172.31.0.2'],
  ['the first living one', { g1: 20, g2: 10 }, 'g1', ['g2'], 'remote g2 172.31.0.3'],
  ['whatever the database says', { g1: 20, g2: 10 }, 'g2', ['g1', 'g2'], 'remote g1 172.31.0.2'],
  ['none lives', { g1: 20, g2: 10 }, 'g1', [], 'punt no plain geneve tunnel to its chassis'],
  ['a member on stand-by', { me: 10, g1: 20 }, 'g1', ['g1', 'c1'], 'remote g1 172.31.0.2'],
  ['one alone, without BFD', { g1: 20 }, 'g1', [], 'remote g1 172.31.0.2'],
  ['one alone, unbound', { g1: 20 }, undefined, [], 'punt not bound to a chassis'],
];
for (const [name, group, chassis, living, expected] of redirects) {
  test(`output to cr: ${name}: ${expected}`, () => {
    const all = rows(group);
    all.Port_Binding.set('cr', { ...all.Port_Binding.get('cr')!, chassis });
    assert.is(placed(all, 'cr', { bfd: bfdOf(living) }), expected);
  });
}

test('a chassisredirect port that is not plain is OVS\'s', () => {
  const change = (options: Record<string, string>): string => {
    const all = rows({ me: 20 });
    all.Port_Binding.set('cr', { ...all.Port_Binding.get('cr')!, chassis: 'me',
      options: map(options) });
    return placed(all, 'cr', {});
  };
  assert.is(change({ 'distributed-port': 'lrp' }), 'redirect 3');
  assert.is(change({ 'distributed-port': 'gone' }), 'punt no distributed port behind it');
  assert.is(change({}), 'punt no distributed port behind it');
});

const localnet = (name: string, key: number, more: Partial<PortBinding> = {}): PortBinding =>
  port(name, key, { type: 'localnet', options: map({ network_name: 'phys' }), ...more });
const plugged: Partial<LocalChassis> = {
  bridge_mappings: map({ phys: 'br-ex', other: 'br-other' }),
  bridges: new Map(['br-ex', 'br-other'].map((name) =>
    [name, { name, datapath_type: 'netdev', ports: [] }])),
  localnets: map({ ln: 'patch-ln', ln2: 'patch-ln2', lnr: 'patch-lnr' }),
};
type Case = readonly [string, readonly PortBinding[], string, string, Partial<LocalChassis>?];
const vlanOf = (tag: number, options: Record<string, string> = {}): Partial<PortBinding> =>
  ({ tag, options: map({ network_name: 'phys', ...options }) });
const localnets: readonly Case[] = [
  ['untagged', [localnet('ln', 2)], 'ln', 'localnet br-ex 0'],
  ['tagged', [localnet('ln', 2, vlanOf(42))], 'ln', 'localnet br-ex 42'],
  ['tagged by 802.1ad', [localnet('ln', 2, vlanOf(42, { ethtype: '802.11ad' }))], 'ln',
    'punt VLAN tags of another ethertype'],
  ['network without a bridge', [localnet('ln', 2, { options: map({ network_name: 'x' }) })], 'ln',
    'punt no provider bridge for its network'],
  ['without the patch port', [localnet('ln', 2)], 'ln', 'punt no provider bridge for its network',
    { localnets: none }],
  ['bridge that is not there', [localnet('ln', 2)], 'ln',
    'punt no provider bridge for its network', { bridges: new Map() }],
  ['two of one switch', [localnet('ln', 2), localnet('ln2', 5, { tag: 7 })], 'ln',
    'punt several ways to provider networks'],
  ['two switches on one VLAN', [localnet('ln', 2), localnet('lnr', 5, { datapath: 'lr' })], 'ln',
    'punt several ways to provider networks'],
  ['two switches on two VLANs',
    [localnet('ln', 2), localnet('lnr', 5, { datapath: 'lr', tag: 7 })], 'ln', 'localnet br-ex 0'],
  ['VIF elsewhere', [localnet('ln', 2), port('a', 1, { chassis: 'g1' })], 'a', 'redirect 2'],
  ['VIF that is bound nowhere', [localnet('ln', 2), port('a', 1, {})], 'a', 'redirect 2'],
  ['VIF here', [localnet('ln', 2), port('a', 1, { chassis: 'me' })], 'a', 'local tapa'],
  ['VIF elsewhere, two ways',
    [localnet('ln', 2), localnet('ln2', 5, { tag: 7 }), port('a', 1, { chassis: 'g1' })], 'a',
    'punt several ways to provider networks'],
  ['VIF elsewhere, network not plugged in',
    [localnet('ln', 2), port('a', 1, { chassis: 'g1' })], 'a', 'remote g1 172.31.0.2',
    { bridge_mappings: none }],
];
for (const [name, ports, which, expected, here = {}] of localnets) {
  test(`provider network: ${name}: ${expected}`, () => {
    const all = rows({});
    for (const row of ports) all.Port_Binding.set(row._uuid, row);
    assert.is(placed(all, which, { ...plugged, ...here }), expected);
  });
}

test('always_tunnel leaves provider networks to OVS', () => {
  const all = rows({});
  all.Port_Binding.set('ln', localnet('ln', 2));
  all.SB_Global.set('g', { _uuid: 'g', nb_cfg: 0, external_ids: none,
    options: map({ always_tunnel: 'true' }) });
  assert.is(placed(all, 'ln', plugged), 'punt several ways to provider networks');
});

const group = (name: string, key: number, ports: readonly string[]): [string, object] =>
  [name, { _uuid: name, name, datapath: 'ls', tunnel_key: key, ports }];
/** ports of the group, what is placed under its key; a zone for each port unless `zones` says. */
const groups: readonly (readonly [string, readonly string[], string, Partial<LocalChassis>?])[] = [
  ['the way out alone', ['ln'], 'redirect 2'],
  ['the way out and VIFs behind it', ['ln', 'far', 'nowhere'], 'redirect 2'],
  ['one VIF here', ['here', 'far'], 'redirect 1'],
  ['the way out and a VIF here', ['ln', 'here'], ''],
  ['a router', ['rtr'], ''],
  ['nobody here', ['far'], ''],
  ['a port that is gone', ['ln', 'gone'], ''],
  ['a metadata port', ['ln', 'meta'], ''],
  ['a VIF on its way to another chassis', ['ln', 'moving'], ''],
  ['without a zone', ['ln'], '', { ct_zones: new Map() }],
  ['a VIF elsewhere, over tunnels', ['here', 'far'], '', { bridge_mappings: none }],
];
for (const [name, members, expected, here = {}] of groups) {
  test(`multicast group of ${name}: ${expected || 'left to OVS'}`, () => {
    const all = rows({});
    for (const row of [localnet('ln', 2), port('here', 1, { chassis: 'me' }),
      port('far', 5, { chassis: 'g1' }), port('nowhere', 6, {}),
      port('rtr', 7, { type: 'patch' }), port('meta', 8, { type: 'localport' }),
      port('moving', 9, { chassis: 'g1', additional_chassis: ['me'] })]) {
      all.Port_Binding.set(row._uuid, row);
    }
    all.Multicast_Group.set(...group('g', 0x8001, members) as [string, never]);
    all.Multicast_Group.set(...group('other', 0x8002, ['here']) as [string, never]);
    const ct_zones = new Map([...all.Port_Binding.keys()].map((key, i) => [key, i + 1]));
    const view = new View(all);
    const at = { view, chassis: all.Chassis.get('me') as Chassis, local: all.Datapath_Binding };
    const { ports } = compilePhysical(at,
      { ...localChassis(all, 'me'), ...plugged, ct_zones, ...here });
    const found = ports.get(`7/${0x8001}`);
    assert.is(found ? `${found.kind} ${found.peerPort}` : '', expected);
  });
}

test.run();
