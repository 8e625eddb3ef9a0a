import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { localDatapaths } from './local_datapaths.js';
import type { Chassis, RowChange, Southbound, TableName } from './rows.js';
import { tables } from './tables.js';
import { View } from './view.js';

const test = suite('view');

/** A Southbound that can be changed, with rows filled up from defaults by shape. */
class Rows {
  readonly maps = new Map<string, Map<string, object>>(
    Object.keys(tables).map((name) => [name, new Map<string, object>()]));
  get southbound(): Southbound { return Object.fromEntries(this.maps) as unknown as Southbound; }

  set(table: TableName, uuid: string, columns: object | undefined): RowChange {
    const map = this.maps.get(table)!;
    const old = map.get(uuid);
    const row = columns === undefined ? undefined : { ...blank(table), ...columns, _uuid: uuid };
    if (row === undefined) map.delete(uuid);
    else map.set(uuid, row);
    return { table, uuid, old, new: row } as unknown as RowChange;
  }
}

function blank(table: TableName): object {
  const value = (shape: string): unknown => shape === 'map' ? new Map()
    : shape.endsWith('*') ? [] : shape.endsWith('?') ? undefined
    : shape === 'integer' ? 0 : shape === 'boolean' ? false : '';
  return Object.fromEntries(Object.entries(tables[table]).map(([c, shape]) => [c, value(shape)]));
}

const id = fc.constantFrom('a', 'b', 'c');
const optionalId = fc.option(id, { nil: undefined });
const ids = fc.uniqueArray(id);
const arbitraries = {
  Datapath_Binding: fc.record({ tunnel_key: fc.nat(2) }),
  Port_Binding: fc.record({
    logical_port: id, datapath: id, tunnel_key: fc.nat(2), chassis: optionalId,
    additional_chassis: ids, type: fc.constantFrom('', 'patch', 'l3gateway'),
  }),
  Logical_Flow: fc.record({ logical_datapath: optionalId, logical_dp_group: optionalId }),
  Logical_DP_Group: fc.record({ datapaths: ids }),
  Chassis: fc.record({ name: id }),
  Address_Set: fc.record({ name: id }),
  MAC_Binding: fc.record({ datapath: id }),
  FDB: fc.record({ dp_key: fc.nat(2) }),
} as const;
const oneChange = fc.oneof(...Object.entries(arbitraries).map(([table, columns]) =>
  fc.record({ table: fc.constant(table as TableName), uuid: id,
    columns: fc.option(columns as fc.Arbitrary<object>, { nil: undefined, freq: 3 }) })));

test('a view that followed is equal to one built anew', () => {
  fc.assert(fc.property(fc.array(fc.array(oneChange, { maxLength: 6 }), { maxLength: 10 }),
    (batches) => {
      const rows = new Rows();
      const view = new View(rows.southbound);
      for (const batch of batches) {
        // One change a row and batch, in an order of its own, as a transaction gives them.
        const last = new Map(batch.map((c) => [`${c.table}/${c.uuid}`, c]));
        view.apply([...last.values()].map((c) => rows.set(c.table, c.uuid, c.columns)));
        assert.equal(view.snapshot(), new View(rows.southbound).snapshot());
      }
    }), { numRuns: 200, verbose: 1 });
});

test('joins: keys, names, peers, and flows by datapath and group', () => {
  const rows = new Rows();
  rows.set('Datapath_Binding', 'sw', { tunnel_key: 1,
    external_ids: new Map([['logical-switch', 'x']]) });
  rows.set('Datapath_Binding', 'lr', { tunnel_key: 2,
    external_ids: new Map([['logical-router', 'y']]) });
  rows.set('Port_Binding', 'p1', { logical_port: 'sw-lr', type: 'patch', datapath: 'sw',
    tunnel_key: 1, options: new Map([['peer', 'lr-sw']]) });
  rows.set('Port_Binding', 'p2', { logical_port: 'lr-sw', type: 'patch', datapath: 'lr',
    tunnel_key: 1, options: new Map([['peer', 'sw-lr']]) });
  const view = new View(rows.southbound);
  assert.is(view.datapathByKey(2)?._uuid, 'lr');
  assert.is(view.datapathByKey(3), undefined);
  assert.ok(view.isRouter(view.datapathByKey(2)!));
  assert.not(view.isRouter(view.datapathByKey(1)!));
  assert.is(view.peerOf(view.portByName('sw-lr')!)?._uuid, 'p2');
  assert.is(view.portByKey('lr', 1)?._uuid, 'p2');
});

/** sw1 - lr - sw2, sw1 - gateway router gw - ext; and lone. */
function topology(): Rows {
  const rows = new Rows();
  rows.set('Chassis', 'hv1', { name: 'hv1' });
  rows.set('Chassis', 'hv2', { name: 'hv2' });
  for (const dp of ['sw1', 'sw2', 'lr', 'gw', 'ext', 'lone']) rows.set('Datapath_Binding', dp, {});
  const link = (a: string, b: string, type: string, more: object = {}): void => {
    rows.set('Port_Binding', `${a}-${b}`, { logical_port: `${a}-${b}`, type, datapath: a, ...more,
      options: new Map([['peer', `${b}-${a}`],
        ...((more as { options?: [string, string][] }).options ?? [])]) });
  };
  for (const [a, b] of [['sw1', 'lr'], ['lr', 'sw2']] as const) {
    link(a, b, 'patch');
    link(b, a, 'patch');
  }
  link('sw1', 'gw', 'patch');
  for (const other of ['sw1', 'ext']) {
    link('gw', other, 'l3gateway', { chassis: 'hv2', options: [['l3gateway-chassis', 'hv2']] });
  }
  link('ext', 'gw', 'l3gateway', { chassis: 'hv2', options: [['l3gateway-chassis', 'hv2']] });
  return rows;
}
function locals(rows: Rows, chassis = 'hv1'): string[] {
  const row = { _uuid: chassis, name: chassis } as Chassis;
  return [...localDatapaths(new View(rows.southbound), row)]
    .sort();
}

test('local datapaths: a VIF and what patch ports reach', () => {
  const rows = topology();
  assert.equal(locals(rows), []);
  rows.set('Port_Binding', 'vif', { logical_port: 'vif', datapath: 'sw2', chassis: 'hv1' });
  // gw is reached by sw1's patch port; its l3gateway ports are hv2's, so ext is not.
  assert.equal(locals(rows), ['gw', 'lr', 'sw1', 'sw2']);
  assert.equal(locals(rows, 'hv2'), ['ext', 'gw', 'lr', 'sw1', 'sw2'], 'its own gateway router');
  rows.set('Port_Binding', 'vif', { logical_port: 'vif', datapath: 'lone',
    chassis: 'hv2', additional_chassis: ['hv1'] });
  assert.equal(locals(rows), ['lone']);
});

test('local datapaths: kinds of ports that do and do not count', () => {
  const port = (columns: object): string[] => {
    const rows = topology();
    rows.set('HA_Chassis', 'ha', { chassis: 'hv1', priority: 1 });
    rows.set('HA_Chassis_Group', 'group', { ha_chassis: ['ha'] });
    rows.set('Port_Binding', 'p', { logical_port: 'p', datapath: 'lone', ...columns });
    return locals(rows);
  };
  const mine = { chassis: 'hv1' };
  assert.equal(port({ type: 'virtual', ...mine }), ['lone']);
  assert.equal(port({ type: 'chassisredirect', ha_chassis_group: 'group' }), ['lone']);
  assert.equal(port({ type: 'external', ha_chassis_group: 'group' }), ['lone']);
  assert.equal(port({ type: 'l2gateway', options: new Map([['l2gateway-chassis', 'hv1']]) }),
    ['lone']);
  for (const type of ['localport', 'localnet', 'patch', 'remote', 'vtep', 'chassisredirect',
    'external', 'l2gateway', 'unheard-of']) {
    assert.equal(port({ type, ...mine }), [], type);
  }
  assert.equal(port({ type: '', chassis: 'hv2' }), []);
});

test('local datapaths: a distributed gateway port whose traffic is always redirected', () => {
  for (const [always, member, expected] of [
    ['true', 'hv2', ['lr', 'sw1', 'gw']], ['true', 'hv1', ['lr', 'sw1', 'sw2', 'gw']],
    ['false', 'hv2', ['lr', 'sw1', 'sw2', 'gw']],
  ] as const) {
    const rows = topology();
    rows.set('Port_Binding', 'vif', { logical_port: 'vif', datapath: 'sw1', chassis: 'hv1' });
    rows.set('HA_Chassis', 'ha', { chassis: member });
    rows.set('HA_Chassis_Group', 'group', { ha_chassis: ['ha'] });
    rows.set('Port_Binding', 'lr-sw2', { logical_port: 'lr-sw2', type: 'patch', datapath: 'lr',
      options: new Map([['peer', 'sw2-lr'], ['chassis-redirect-port', 'cr-lr-sw2']]) });
    // On a datapath without a row, so that the port itself makes nothing local.
    rows.set('Port_Binding', 'cr', { logical_port: 'cr-lr-sw2', type: 'chassisredirect',
      datapath: 'nowhere', ha_chassis_group: 'group',
      options: new Map([['always-redirect', always]]) });
    assert.equal(locals(rows), [...expected].sort(), `${always} ${member}`);
    rows.set('Port_Binding', 'cr', undefined);
    assert.equal(locals(rows), ['gw', 'lr', 'sw1'], 'without its chassisredirect port');
  }
});

test.run();
