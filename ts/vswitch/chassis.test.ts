import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readChassis } from './chassis.js';
import { tables, type Vswitch } from './tables.js';

const test = suite('chassis');
type Ids = Record<string, string>;
type Tables = Record<string, Record<string, object>>;

function vswitch(ids: Ids, rows: Tables = {}): Vswitch {
  const all: Tables = { Open_vSwitch: { root: { external_ids: map(ids), bridges: ['b', 'x'] } },
    ...rows };
  return Object.fromEntries(Object.entries(tables).map(([table, columns]) => [table,
    new Map(Object.entries(all[table] ?? {}).map(([uuid, row]) => [uuid, {
      ...Object.fromEntries(Object.entries(columns).map(([c, shape]) => [c,
        shape === 'map' ? new Map() : shape.endsWith('*') ? []
          : shape.endsWith('?') ? undefined : shape === 'integer' ? 0 : ''])),
      _uuid: uuid, ...row,
    }]))])) as unknown as Vswitch;
}
const map = (pairs: Ids): Map<string, string> => new Map(Object.entries(pairs));

test('a key for this chassis beats the common one; -n beats the database', () => {
  const ids = {
    'system-id': 'hv1', 'ovn-remote': 'tcp:1.1.1.1:6642', 'ovn-remote-hv1': 'ssl:[fd00::1]:6642',
    'ovn-remote-hv2': 'tcp:2.2.2.2:6642', 'ovn-encap-type': 'geneve,vxlan',
    'ovn-encap-ip': '10.0.0.1, 10.0.0.2', 'ovn-monitor-all': 'True', 'ovn-bridge-hv2': 'br-two',
    'ovn-bridge-mappings': 'physnet1:br-ex,physnet2:br-p',
    'ovn-cms-options': 'enable-chassis-as-gw',
    'ovn-xdp-mode': 'tc', 'ovn-xdp-mode-hv1': 'xdp', 'ovn-xdp-other': '1',
    'ovn-remote-probe-interval': '60000',
  };
  const { value } = readChassis(vswitch(ids));
  assert.is(value?.system_id, 'hv1');
  assert.is(value?.ovn_remote, 'ssl:[fd00::1]:6642');
  assert.equal(value?.encap_types, ['geneve', 'vxlan']);
  assert.equal(value?.encap_ips, ['10.0.0.1', '10.0.0.2']);
  assert.is(value?.monitor_all, true);
  assert.is(value?.integration_bridge, 'br-int');
  assert.equal(value?.bridge_mappings, map({ physnet1: 'br-ex', physnet2: 'br-p' }));
  assert.equal(value?.cms_options, ['enable-chassis-as-gw']);
  assert.equal(value?.settings, map({ mode: 'xdp', other: '1' }));
  assert.is(value?.remote_probe_interval_ms, 60000);
  const other = readChassis(vswitch(ids), 'hv2').value;
  assert.is(other?.ovn_remote, 'tcp:2.2.2.2:6642');
  assert.is(other?.integration_bridge, 'br-two');
  assert.is(other?.settings.get('mode'), 'tc');
});

test('too little or wrong is said, never guessed', () => {
  assert.is(readChassis(vswitch({})).value, undefined);
  assert.match(readChassis(vswitch({})).problems[0]!, 'system-id');
  assert.match(readChassis(vswitch({}, { Open_vSwitch: {} })).problems[0]!, 'no row');
  const { value, problems } = readChassis(vswitch({
    'system-id': 'a', 'ovn-bridge-mappings': 'x,y:,:z,ok:br', 'ovn-remote-probe-interval': 'soon',
  }, { Bridge: { b: { name: 'br-int',
    external_ids: map({ 'ct-zone-p': '70000', 'ct-zone-q': '4' }) } } }));
  assert.equal(value?.bridge_mappings, map({ ok: 'br' }));
  assert.equal(value?.ct_zones, new Map([['q', 4]]));
  assert.is(value?.remote_probe_interval_ms, 5000);
  assert.is(problems.length, 5);
  const short = readChassis(vswitch({ 'system-id': 'a', 'ovn-remote-probe-interval': '10' }));
  assert.is(short.value?.remote_probe_interval_ms, 1000);
  assert.match(short.problems[0]!, 'no integration bridge br-int');
});

test('interfaces of the integration bridge, bridges, BFD by chassis', () => {
  const { value, problems } = readChassis(vswitch({ 'system-id': 'a' }, {
    Bridge: {
      b: { name: 'br-int', ports: ['own', 'p1', 'p2', 'p3', 'p4', 'tun'], datapath_type: 'netdev' },
      x: { name: 'br-ex', ports: ['eth'], datapath_type: 'system' },
      unlisted: { name: 'br-not-ours' },
    },
    Port: {
      own: { name: 'br-int', interfaces: ['iown'] }, p1: { name: 'p1', interfaces: ['i1'] },
      p2: { name: 'p2', interfaces: ['i2'] }, p3: { name: 'p3', interfaces: ['i3'] },
      p4: { name: 'p4', interfaces: ['i4'] }, eth: { name: 'eth', interfaces: ['ieth'] },
      tun: { name: 'tun', interfaces: ['itun'],
        external_ids: map({ 'ovn-chassis-id': 'hv2@10.0.0.2' }) },
    },
    Interface: {
      iown: { name: 'br-int', ofport: 65534, external_ids: map({ 'iface-id': 'own' }) },
      i1: { name: 'p1', ofport: -1, external_ids: map({ 'iface-id': 'vif' }) },
      i2: { name: 'p2', ofport: 2, external_ids: map({ 'iface-id': 'vif' }) },
      i3: { name: 'p3', ofport: 3, external_ids: map({ 'iface-id': 'vif' }) },
      i4: { name: 'p4', external_ids: map({ 'iface-id': 'new' }) },
      ieth: { name: 'eth', ofport: 1, external_ids: map({ 'iface-id': 'elsewhere' }) },
      itun: { name: 'tun', ofport: 9, type: 'geneve', options: map({ remote_ip: '10.0.0.2' }),
        bfd: map({ enable: 'true' }),
        bfd_status: map({ state: 'up', forwarding: 'true' }) },
    },
  }));
  assert.equal([...value!.interfaces].map(([key, i]) => [key, i.name, i.ofport]),
    [['vif', 'p2', 2], ['new', 'p4', undefined]]);
  assert.equal([...value!.bridges.keys()], ['br-int', 'br-ex']);
  assert.equal(value!.bridges.get('br-int')!.ports, ['p1', 'p2', 'p3', 'p4', 'tun']);
  assert.equal(value!.bfd, new Map([['hv2', { up: true, forwarding: true }]]));
  assert.equal(problems, ['iface-id vif is on p2 and on p3']);
});

test('limits, odd ports and patch ports of bridges; localnet ports that have one', () => {
  const { value } = readChassis(vswitch({ 'system-id': 'a' }, {
    Bridge: {
      b: { name: 'br-int', ports: ['p1', 'p2', 'p3', 'pi', 'po'] },
      x: { name: 'br-ex', ports: ['eth', 'bond', 'tag', 'pe'] },
    },
    Port: {
      p1: { name: 'p1', interfaces: ['i1'] }, p2: { name: 'p2', interfaces: ['i2'] },
      p3: { name: 'p3', interfaces: ['i3'], qos: 'q' },
      pi: { name: 'pi', interfaces: ['ipi'], external_ids: map({ 'ovn-localnet-port': 'ln' }) },
      po: { name: 'po', interfaces: ['ipo'], external_ids: map({ 'ovn-localnet-port': 'gone' }) },
      eth: { name: 'eth', interfaces: ['ieth'] }, bond: { name: 'bond', interfaces: ['a', 'b'] },
      tag: { name: 'tag', interfaces: ['itag'], tag: 4 }, pe: { name: 'pe', interfaces: ['ipe'] },
    },
    Interface: {
      i1: { name: 'p1', ofport: 1, external_ids: map({ 'iface-id': 'v1' }),
        ingress_policing_rate: 1000 },
      i2: { name: 'p2', ofport: 2, external_ids: map({ 'iface-id': 'v2' }),
        ingress_policing_kpkts_rate: 5 },
      i3: { name: 'p3', ofport: 3, external_ids: map({ 'iface-id': 'v3' }) },
      ipi: { name: 'pi', type: 'patch', ofport: 4, options: map({ peer: 'pe' }) },
      ipo: { name: 'po', type: 'patch', ofport: -1 },
      ieth: { name: 'eth', type: 'system' }, a: { name: 'a' }, b: { name: 'b' },
      itag: { name: 'tag' }, ipe: { name: 'pe', type: 'patch', options: map({ peer: 'pi' }) },
    },
  }));
  assert.equal([...value!.interfaces.values()].map(({ iface_id, shaped }) => [iface_id, shaped]),
    [['v1', 'ingress policing'], ['v2', 'ingress policing'], ['v3', 'QoS']]);
  assert.equal(value!.localnets, map({ ln: 'pi' }));
  assert.equal(value!.bridges.get('br-ex')!.links, [
    { name: 'bond', type: '', odd: 'a bond' }, { name: 'eth', type: '' },
    { name: 'pe', type: 'patch', peer: 'pi' },
    { name: 'tag', type: '', odd: 'VLAN settings' }]);
});

test('BFD: enabled and up makes a chassis active; without BFD OVS sends all the same', () => {
  const tunnel = (bfd: Ids, bfd_status: Ids) => ({ name: 't', type: 'geneve',
    options: map({ remote_ip: '10.0.0.2' }), bfd: map(bfd), bfd_status: map(bfd_status) });
  const on = { enable: 'true' };
  const cases: readonly (readonly [object[], { up: boolean;
    forwarding: boolean | undefined }])[] = [
    [[tunnel({}, {})], { up: false, forwarding: true }],
    [[tunnel(on, { state: 'up', forwarding: 'true' })], { up: true, forwarding: true }],
    [[tunnel(on, { state: 'down', forwarding: 'false' })], { up: false, forwarding: false }],
    [[tunnel(on, {})], { up: false, forwarding: false }],
    [[tunnel({ enable: 'false' }, { state: 'up' })], { up: false, forwarding: true }],
    [[tunnel(on, { state: 'up', forwarding: 'true' }), tunnel(on, { state: 'down' })],
      { up: true, forwarding: undefined }],
  ];
  for (const [tunnels, expected] of cases) {
    const { value } = readChassis(vswitch({ 'system-id': 'a' }, {
      Bridge: { b: { name: 'br-int', ports: tunnels.map((_, i) => `t${i}`) } },
      Port: Object.fromEntries(tunnels.map((_, i) => [`t${i}`, { name: `t${i}`,
        interfaces: [`i${i}`], external_ids: map({ 'ovn-chassis-id': `hv2@10.0.0.${i}` }) }])),
      Interface: Object.fromEntries(tunnels.map((row, i) => [`i${i}`, row])),
    }));
    assert.equal([...value!.bfd], [['hv2', expected]]);
  }
});

test.run();
