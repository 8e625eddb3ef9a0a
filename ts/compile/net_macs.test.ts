/** Routed frames of physical networks: what sources they have there, and gateways reached there. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Chassis, PortBinding } from '../southbound/rows.js';
import { View } from '../southbound/view.js';
import type { LocalChassis } from '../vswitch/local.js';
import type { MacWords } from './model.js';
import { compilePhysical, type Physical } from './physical.js';
import { emptySouthbound, localChassis, type MutableSouthbound } from './testing.js';

const none: ReadonlyMap<string, string> = new Map();
const map = (entries: Record<string, string>): ReadonlyMap<string, string> =>
  new Map(Object.entries(entries));
const port = (name: string, key: number, more: Partial<PortBinding>): PortBinding => ({
  _uuid: name, logical_port: name, type: 'patch', datapath: 'ls', tunnel_key: key,
  chassis: undefined, encap: undefined, gateway_chassis: [], ha_chassis_group: undefined, mac: [],
  nat_addresses: [], port_security: [], options: none, external_ids: none,
  parent_port: undefined, tag: undefined, virtual_parent: undefined, up: undefined,
  additional_chassis: [], requested_chassis: undefined, ...more,
});
const ROUTER = '02:00:00:00:00:01', OTHER = '02:00:00:00:00:02';

/** A router port `name` of router `lr` at switch `ls`, with its peer. */
const joined = (name: string, key: number, mac = `${ROUTER} 10.0.0.1/24`): PortBinding[] => [
  port(name, key, { datapath: 'lr', mac: [mac], options: map({ peer: `to-${name}` }) }),
  port(`to-${name}`, key, { options: map({ peer: name }) })];
/** Key: the chassis, value: its mappings. */
function rows(ports: readonly PortBinding[], mappings: Readonly<Record<string, string>>):
  MutableSouthbound {
  const all = emptySouthbound();
  for (const name of ['me', 'g1', 'g2']) {
    const text = mappings[name];
    all.Chassis.set(name, { _uuid: name, name, hostname: name, encaps: [], external_ids: none,
      other_config: text === undefined ? none : map({ 'ovn-chassis-mac-mappings': text }),
      transport_zones: [] });
  }
  for (const [uuid, key, kind] of [['ls', 7, 'switch'], ['lr', 8, 'router']] as const) {
    all.Datapath_Binding.set(uuid, { _uuid: uuid, tunnel_key: key, load_balancers: [],
      external_ids: map({ name: uuid, [`logical-${kind}`]: 'x' }) });
  }
  const localnet = port('ln', 9, { type: 'localnet', options: map({ network_name: 'phys' }) });
  for (const row of [localnet, ...ports]) all.Port_Binding.set(row._uuid, row);
  return all;
}
const plugged: Partial<LocalChassis> = { bridge_mappings: map({ phys: 'br-ex' }),
  localnets: map({ ln: 'patch-ln' }),
  bridges: new Map([['br-ex', { name: 'br-ex', datapath_type: 'netdev', ports: [] }]]) };

function physical(all: MutableSouthbound, here: Partial<LocalChassis> = plugged): Physical {
  const at = { view: new View(all), chassis: all.Chassis.get('me') as Chassis,
    local: all.Datapath_Binding };
  return compilePhysical(at, { ...localChassis(all, 'me'), ...here });
}
const mac = ([high, low]: MacWords): string => Buffer.from([high >> 8, high & 255,
  low >>> 24, low >> 16 & 255, low >> 8 & 255, low & 255]).toString('hex');
/** What is hidden on the way out, what comes back, and other chassis' addresses; or why not. */
function text(all: MutableSouthbound): string {
  const { ports, netMacs } = physical(all);
  const localnet = ports.get('7/9')!;
  if (localnet.kind !== 'localnet') return `${localnet.kind} ${localnet.detail}`;
  if (!netMacs) return 'as it is';
  const out = (netMacs.hidden.get(7) ?? []).map((pair) => pair.map(mac).join(' as '));
  const back = netMacs.routers.get(7);
  return [`out ${out.join(', ') || 'as it is'}`, `back ${
    back === undefined ? 'as it is' : back === 'several' ? back : mac(back)}`,
  `others ${netMacs.remote.map(mac).join(', ') || 'none'}`].join('; ');
}

const A = 'aa:aa:aa:aa:aa:0a', B = 'aa:aa:aa:aa:aa:0b';
const gateway = (chassis: string): PortBinding => port('cr-r', 5, { type: 'chassisredirect',
  datapath: 'lr', chassis, ha_chassis_group: 'grp', mac: [`${ROUTER} 10.0.0.1/24`],
  options: map({ 'distributed-port': 'r', 'redirect-type': 'bridged' }) });
const cases: readonly (readonly [string, readonly PortBinding[], Record<string, string>,
  string])[] = [
  ['no mappings', joined('r', 1), {}, 'as it is'],
  ['own and others', joined('r', 1), { me: `phys:${A}`, g1: `phys:${B}` },
    'out 020000000001 as aaaaaaaaaa0a; back 020000000001; others aaaaaaaaaa0b'],
  ['own alone', joined('r', 1), { me: `phys:${A}` },
    'out 020000000001 as aaaaaaaaaa0a; back as it is; others none'],
  ['own of another network', joined('r', 1), { me: `x:${A}` },
    'out as it is; back as it is; others none'],
  ['the first of a network', joined('r', 1), { me: `x:${B},phys:${A},phys:${B}` },
    'out 020000000001 as aaaaaaaaaa0a; back as it is; others none'],
  ['others of any network', joined('r', 1), { g1: `x:${A},y:${B}`, g2: `z:${A}` },
    'out as it is; back 020000000001; others aaaaaaaaaa0a, aaaaaaaaaa0b'],
  ['no router', [], { me: `phys:${A}`, g1: `phys:${B}` },
    'out as it is; back as it is; others aaaaaaaaaa0b'],
  ['two routers', [...joined('r', 1), ...joined('q', 2, `${OTHER} 10.0.0.2/24`)],
    { me: `phys:${A}`, g1: `phys:${B}` }, 'out 020000000001 as aaaaaaaaaa0a, '
    + '020000000002 as aaaaaaaaaa0a; back several; others aaaaaaaaaa0b'],
  ['two routers, the other one first', [...joined('q', 2, `${OTHER} 10.0.0.2/24`),
    ...joined('r', 1)], { me: `phys:${A}` }, 'out 020000000001 as aaaaaaaaaa0a, '
    + '020000000002 as aaaaaaaaaa0a; back as it is; others none'],
  ['two ports of one address', [...joined('r', 1), ...joined('q', 2)], { g1: `phys:${B}` },
    'out as it is; back 020000000001; others aaaaaaaaaa0b'],
  ['a router whose gateway is here', [...joined('r', 1), gateway('me')],
    { me: `phys:${A}`, g1: `phys:${B}` },
    'out as it is; back 020000000001; others aaaaaaaaaa0b'],
  ['an address that is none', joined('r', 1), { g1: 'phys:aa:bb' },
    'punt ovn-chassis-mac-mappings that do not parse'],
  ['no address', joined('r', 1), { me: 'phys' }, 'punt ovn-chassis-mac-mappings that do not parse'],
  ['an address that is none, no router', [], { g1: 'phys:aa:bb' }, 'as it is'],
  ['a router port without an address', joined('r', 1, 'dynamic'), { g1: `phys:${B}` },
    'punt ovn-chassis-mac-mappings that do not parse'],
  ['a router port without an address, no mappings', joined('r', 1, 'dynamic'), {}, 'as it is'],
];
for (const [name, ports, mappings, expected] of cases) {
  test(`ovn-chassis-mac-mappings: ${name}: ${expected}`, () => {
    const all = rows(ports, mappings);
    all.HA_Chassis.set('ha', { _uuid: 'ha', chassis: 'me', priority: 1 });
    all.HA_Chassis_Group.set('grp', { _uuid: 'grp', name: 'grp', ha_chassis: ['ha'],
      ref_chassis: [] });
    assert.is(text(all), expected);
  });
}

test('a peer that ovn-controller does not know as one hides nothing', () => {
  const [router, peer] = joined('r', 1) as [PortBinding, PortBinding];
  const far = (row: PortBinding): PortBinding =>
    ({ ...row, options: new Map([...row.options, ['chassis-redirect-port', 'cr-r']]) });
  const cr = { ...gateway('g1'), ha_chassis_group: undefined };
  const always = { ...cr, options: new Map([...cr.options, ['always-redirect', 'true']]) };
  const mappings = { me: `phys:${A}`, g1: `phys:${B}` };
  assert.is(text(rows([far(router), far(peer), cr], mappings)),
    'out 020000000001 as aaaaaaaaaa0a; back 020000000001; others aaaaaaaaaa0b');
  assert.is(text(rows([far(router), far(peer), always], mappings)),
    'out as it is; back as it is; others aaaaaaaaaa0b');
});

test('redirect-type=bridged leaves by the localnet port of the gateway port\'s network', () => {
  const place = (ports: readonly PortBinding[], here = plugged): string => {
    const { kind, detail, peerDatapath, peerPort, mac: from } =
      physical(rows(ports, {}), here).ports.get('8/5')!;
    return [kind, detail, peerDatapath, peerPort, from && mac(from)]
      .filter((each) => each !== undefined).join(' ');
  };
  const refused = 'punt redirect-type=bridged without its network';
  const cr = gateway('g1');
  assert.is(place([...joined('r', 1), cr]), 'bridged 7 9 020000000001');
  assert.is(place([...joined('r', 1), gateway('me')]), 'punt bound here, active elsewhere');
  assert.is(place([...joined('r', 1), cr], { ...plugged, bridge_mappings: none }), refused);
  assert.is(place([cr]), refused, 'no distributed port');
  assert.is(place([joined('r', 1)[0]!, cr]), refused, 'no peer');
  assert.is(place([...joined('r', 1), { ...cr, mac: [] }]), refused, 'no address');
  assert.is(place([...joined('r', 1), { ...cr, options: map({ 'distributed-port': 'r',
    'redirect-type': 'overlay' }) }]), 'punt no plain geneve tunnel to its chassis');
});

test.run();
