import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { RowChange, TableName, Tables, Uuid } from '../southbound/rows.js';
import { View } from '../southbound/view.js';
import type { LocalChassis } from '../vswitch/local.js';
import { Compiler } from './compiler.js';
import type { Desired, View as StageView } from './model.js';
import { netMacsText } from './net_macs.js';
import { shapeText } from './program.js';
import { corpusFile, emptySouthbound, localChassis, readDatabase, type MutableSouthbound }
  from './testing.js';

const corpus = (): MutableSouthbound => readDatabase(corpusFile);
const count = <T>(list: Iterable<T>, key: (item: T) => string): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const item of list) counts[key(item)] = (counts[key(item)] ?? 0) + 1;
  return counts;
};

test('every logical flow of the corpus compiles or abstains for a known reason', () => {
  const rows = corpus();
  const desired = new Compiler().compile(new View(rows), localChassis(rows, 'hv1'));
  assert.is(rows.Logical_Flow.size, 626);
  assert.equal(count(desired.unsupported, (u) => `${u.reason}: ${u.detail}`), {
    'CONTROLLER: arp': 1, 'CONTROLLER: bind_vport': 1,
    'CONTROLLER: dns_lookup': 1, 'CONTROLLER: handle_dhcpv6_reply': 9,
    'CONTROLLER: handle_svc_check': 1, 'CONTROLLER: log': 16, 'CONTROLLER: nd_ns': 1,
    'CONTROLLER: put_arp': 1, 'CONTROLLER: put_dhcp_opts': 14, 'CONTROLLER: put_dhcpv6_opts': 2,
    'CONTROLLER: put_fdb': 1, 'CONTROLLER: put_nd': 3, 'CONTROLLER: put_nd_ra_opts': 2,
    'UNSUPPORTED_ACTION: clone of a packet that goes on': 25, 'UNSUPPORTED_ACTION: set_meter': 2,
  });
  assert.equal(count(desired.ports.values(), (p) => p.reason ?? p.kind), {
    local: 6, remote: 5, patch: 14, redirect: 1, UNSUPPORTED_PORT: 3, UNKNOWN_PORT: 7,
  });
});

/** Everything a Desired says, in an order that does not tell how it came about. */
const viewText = ({ stage, nodes }: StageView): string => [stage.digest, ...nodes.map((node) =>
  [node.order, node.words, node.masks, node.values, node.rule?.priority, node.rule?.flow,
    node.shape && shapeText(node.shape)].join())].join(' ');
function canonical(desired: Desired): unknown {
  const sorted = <V>(map: ReadonlyMap<string | number, V>, f: (v: V) => unknown = (v) => v) =>
    [...map].map(([k, v]) => [String(k), f(v)]).sort();
  return {
    dispatch: sorted(desired.dispatch, (stage) => stage.digest),
    views: sorted(desired.views!, (views) => sorted(views, viewText)),
    datapaths: sorted(desired.datapaths), ports: sorted(desired.ports),
    tunnels: sorted(desired.tunnels), macBindings: sorted(desired.macBindings),
    hairpins: sorted(desired.hairpins), netMacs: netMacsText(desired.netMacs),
    sets: sorted(desired.sets!, ({ content, datapaths }) => [content.bits,
      [...content.members].sort(), [...datapaths].sort()]),
    unsupported: desired.unsupported.map((u) => Object.values(u).join(' ')).sort(),
  };
}

/** Columns that take another row's value, or values of their own, without breaking an index. */
const columns: { readonly [T in TableName]?: readonly (keyof Tables[T] & string)[] } = {
  Logical_Flow: ['priority', 'match', 'actions', 'table_id', 'pipeline', 'logical_dp_group'],
  Port_Binding: ['chassis', 'port_security', 'type', 'options', 'encap', 'parent_port', 'tag',
    'mac'],
  Address_Set: ['addresses', 'name'], Port_Group: ['ports', 'name'],
  Multicast_Group: ['tunnel_key', 'name', 'datapath'], Logical_DP_Group: ['datapaths'],
  MAC_Binding: ['ip', 'mac', 'logical_port', 'datapath'], Chassis: ['encaps', 'other_config'],
  Static_MAC_Binding: ['ip', 'mac', 'logical_port', 'override_dynamic_mac', 'datapath'],
  FDB: ['mac', 'port_key', 'dp_key'], Encap: ['ip', 'type', 'options'],
  SB_Global: ['ipsec', 'options'],
  Datapath_Binding: ['external_ids'], HA_Chassis: ['priority'], HA_Chassis_Group: ['ha_chassis'],
  Chassis_Template_Var: ['variables', 'chassis'],
  Load_Balancer: ['vips', 'protocol', 'datapaths', 'datapath_group', 'options'],
};
const mutableTables = Object.keys(columns) as TableName[];

const mutation = fc.record({
  table: fc.constantFrom(...mutableTables, 'Logical_Flow' as const, 'Port_Binding' as const),
  kind: fc.constantFrom('delete', 'restore', 'cross', 'cross', 'cross', 'key'),
  row: fc.nat(), from: fc.nat(), column: fc.nat(),
});
type Mutation = typeof mutation extends fc.Arbitrary<infer M> ? M : never;
type AnyRow = Tables[TableName];

/** What one mutation changes, applied to `rows`. */
function mutate(rows: MutableSouthbound, original: MutableSouthbound, m: Mutation): RowChange[] {
  const table = rows[m.table] as Map<Uuid, AnyRow>;
  const all = [...(original[m.table] as Map<Uuid, AnyRow>).values()];
  const pick = all[m.row % all.length], other = all[m.from % all.length];
  if (!pick || !other) return [];
  const uuid = pick._uuid, old = table.get(uuid);
  const changed = (row: AnyRow | undefined): RowChange[] => {
    if (row) table.set(uuid, row); else table.delete(uuid);
    return [{ table: m.table, uuid, old, new: row } as RowChange];
  };
  if (m.kind === 'delete') return old ? changed(undefined) : [];
  if (m.kind === 'restore' || !old) return changed(pick);
  if (m.kind === 'key') {
    const keyed = m.table === 'Datapath_Binding' || m.table === 'Port_Binding';
    return keyed ? changed({ ...old, tunnel_key: 1000 + m.from % 20000 } as AnyRow) : [];
  }
  const names = columns[m.table]!;
  const column = names[m.column % names.length]!;
  return changed({ ...old, [column]: (other as never)[column] } as AnyRow);
}

/** Rows that the corpus has none of, so that every table is exercised. */
function enriched(): MutableSouthbound {
  const rows = corpus();
  const [port] = [...rows.Port_Binding.values()].filter((p) => p.type === 'patch');
  const { datapath, logical_port } = port!;
  const chassis = [...rows.Chassis.values()].find((row) => row.name === 'hv1')!;
  for (const [i, mac] of ['0a:00:00:00:00:01', '0a:00:00:00:00:02', 'no mac'].entries()) {
    const row = { _uuid: `mac-${i}`, logical_port, datapath, ip: `10.9.0.${i >> 1}`, mac };
    rows.MAC_Binding.set(row._uuid, row);
    rows.Static_MAC_Binding.set(row._uuid, { ...row, override_dynamic_mac: i === 0 });
  }
  const switches = [...rows.Datapath_Binding.values()]
    .filter((row) => row.external_ids.has('logical-switch')).map(({ _uuid }) => _uuid);
  for (const [i, vip] of ['10.9.0.1:80', '10.9.0.2', '10.9.0.1:80'].entries()) {
    const uuid = `balancer-${i}`;
    rows.Load_Balancer.set(uuid, { _uuid: uuid, name: uuid, protocol: i ? 'udp' : undefined,
      vips: new Map([[vip, i === 1 ? '10.9.1.1,10.9.1.2' : '10.9.1.1:80']]),
      datapaths: i ? [] : switches, datapath_group: i ? `balanced-${i}` : undefined,
      ls_datapath_group: undefined, options: new Map([['hairpin_orig_tuple', 'true'],
        ['hairpin_snat_ip', `192.0.2.${i}`]]) });
    rows.Logical_DP_Group.set(`balanced-${i}`, { _uuid: `balanced-${i}`,
      datapaths: switches.slice(i) });
  }
  for (const [i, value] of ['10.0.0.1', '10.0.0.2'].entries()) {
    const uuid = `template-${i}`;
    rows.Chassis_Template_Var.set(uuid, { _uuid: uuid, chassis: i ? 'hv2' : 'hv1',
      variables: new Map([['ip', value], [`only${i}`, value]]) });
    const flow = [...rows.Logical_Flow.values()].find((f) => f.match.includes('ip4.dst =='))!;
    rows.Logical_Flow.set(`tpl-${i}`, { ...flow, _uuid: `tpl-${i}`, priority: 3 + i,
      match: `ip4.dst == ^${i ? 'ip' : 'only0'}` });
  }
  const acl = [...rows.Logical_Flow.values()].find((f) => f.match.includes('ip4.dst =='))!;
  for (const [i, first] of ['10.0.0.0/8', '10.1.0.1', 'fd00::1'].entries()) {
    rows.Address_Set.set(`large-${i}`, { _uuid: `large-${i}`, name: `large${i}`, addresses: [first,
      ...Array.from({ length: 140 + i }, (_, n) => `172.16.${i}.${n}`)] });
    rows.Logical_Flow.set(`asks-${i}`, { ...acl, _uuid: `asks-${i}`, priority: 7 + i,
      match: `ip4.src == $large${i} && ip4.dst != $large${i === 0 ? 1 : 0}` });
  }
  const global = [...rows.SB_Global.values()][0]!;
  rows.SB_Global.set('second', { ...global, _uuid: 'second', ipsec: true });
  rows.Encap.set('vxlan', { _uuid: 'vxlan', type: 'vxlan', ip: '172.31.0.9', options: new Map(),
    chassis_name: chassis.name });
  return rows;
}

const maps = ['dispatch', 'views', 'ports', 'macBindings', 'hairpins'] as const;
type Copy = Record<typeof maps[number], Map<string | number, unknown>>
  & Pick<Desired, 'name' | 'datapaths' | 'tunnels' | 'netMacs'>;
/** What one has who follows `since` alone, where there is one. */
function follow(copy: Copy | undefined, desired: Desired): Copy {
  const { since, name, datapaths, tunnels, netMacs } = desired;
  const result = { name, datapaths, tunnels, netMacs } as Copy;
  const now = desired as Record<typeof maps[number], ReadonlyMap<string | number, unknown>>;
  for (const map of maps) result[map] = new Map(copy && since ? copy[map] : now[map]);
  if (!copy || !since) return result;
  assert.is(since.from, copy.name);
  assert.ok(datapaths === copy.datapaths && tunnels === copy.tunnels);
  assert.is(netMacsText(netMacs), netMacsText(copy.netMacs));
  for (const map of maps) {
    for (const key of since[map]) {
      const value = now[map].get(key);
      if (value === undefined) result[map].delete(key); else result[map].set(key, value);
    }
  }
  return result;
}

/** The corpus' provider network has a bridge here. */
const plugged: Partial<LocalChassis> = {
  bridge_mappings: new Map([['provider', 'br-ex']]),
  bridges: new Map([['br-ex', { name: 'br-ex', datapath_type: 'netdev', ports: [] }]]),
  localnets: new Map([['provnet-91a7270e-eeda-4ba9-a56f-da4a24a5ae1c', 'patch-a'],
    ['provnet-ebd17d65-63fc-4ed8-af66-4645aa5d94fd', 'patch-b']]),
};

test('following changes comes to the same as compiling anew', () => {
  const original = enriched();
  const seed = Number(process.env['OVN_XDP_SEED'] ?? Date.now() % 1e9);
  console.log(`seed ${seed} (OVN_XDP_SEED=${seed} repeats it)`);
  const steps = fc.array(fc.array(mutation, { minLength: 1, maxLength: 3 }),
    { minLength: 1, maxLength: 8 });
  fc.assert(fc.property(steps, (batches) => {
    const rows = Object.fromEntries(Object.entries(original).map(([name, table]) =>
      [name, new Map(table as Map<string, never>)])) as unknown as MutableSouthbound;
    rows.SB_Global.delete('second');
    const here = { ...localChassis(rows, 'hv1'), ...plugged };
    const view = new View(rows);
    const compiler = new Compiler();
    let copy = follow(undefined, compiler.compile(view, here));
    for (const batch of batches) {
      const changes = batch.flatMap((m) => mutate(rows, original, m));
      view.apply(changes);
      const followed = compiler.compile(view, here, changes);
      copy = follow(copy, followed);
      for (const map of maps) assert.equal(copy[map], followed[map], `since.${map}`);
      assert.equal(canonical(followed), canonical(new Compiler().compile(new View(rows), here)));
    }
  }), { seed, numRuns: Number(process.env['RUNS'] ?? 15) });
});

test('a first state does not wait for views: they come with later ones, and are the same', () => {
  const rows = corpus(), here = localChassis(rows, 'hv1'), view = new View(rows);
  const compiler = new Compiler(2);
  let desired = compiler.compile(view, here), copy = follow(undefined, desired);
  const datapaths = desired.datapaths.size;
  assert.ok(datapaths > 4);
  assert.equal([desired.views!.size, desired.complete], [0, false]);
  // One that has none yet changes meanwhile, and one that has.
  const changed = (flow: Uuid): RowChange => {
    const { priority } = rows.Logical_Flow.get(flow)!;
    return replaced(rows, 'Logical_Flow', flow, { priority: priority + 1 });
  };
  const [flow] = [...rows.Logical_Flow.values()].filter((row) => row.logical_datapath !== undefined
    && row.match.startsWith('ip4.dst == 10.10.1.0/24'));
  const sizes: number[] = [];
  for (const change of [[], [changed(flow!._uuid)], [], [changed(flow!._uuid)], [], [], []]) {
    view.apply(change);
    desired = compiler.compile(view, here, change);
    copy = follow(copy, desired);
    assert.equal(copy.views, desired.views);
    sizes.push(desired.views!.size);
  }
  assert.equal([sizes[0], sizes.at(-1), desired.complete], [2, datapaths, true]);
  assert.equal(canonical(desired), canonical(new Compiler().compile(view, here)));
  const all = new Compiler(datapaths).compile(view, here);
  assert.equal([all.views!.size, all.complete], [datapaths, true]);
});

test('without changes nothing is new: stages, ports and bindings are the same objects', () => {
  const rows = corpus(), here = localChassis(rows, 'hv1');
  const view = new View(rows), compiler = new Compiler();
  const first = compiler.compile(view, here), second = compiler.compile(view, here, []);
  const { from, refused, ...keys } = second.since!;
  assert.is(from, first.name);
  assert.equal([refused.length, ...Object.values(keys).map(({ size }) => size)],
    [0, 0, 0, 0, 0, 0]);
  for (const name of [...maps, 'tunnels', 'unsupported'] as const) {
    assert.is(second[name], first[name], name);
  }
});

test('a changed flow changes its own stages only', () => {
  const rows = corpus(), here = localChassis(rows, 'hv1');
  const view = new View(rows), compiler = new Compiler();
  const first = { ...compiler.compile(view, here) };
  const before = new Map(first.dispatch);
  const old = [...rows.Logical_Flow.values()].find((f) => f.logical_datapath !== undefined
    && f.match.startsWith('ip4.dst == 10.10.1.0/24'))!;
  const changed = { ...old, match: 'ip4.dst == 10.10.0.0/16' };
  rows.Logical_Flow.set(old._uuid, changed);
  const changes: RowChange[] = [{ table: 'Logical_Flow', uuid: old._uuid, old, new: changed }];
  view.apply(changes);
  const second = compiler.compile(view, here, changes);
  const differing = [...second.dispatch].filter(([key, stage]) => before.get(key) !== stage);
  assert.is(new Set(differing.map(([, stage]) => stage)).size, 1);
  assert.equal([...second.since!.dispatch].sort(), differing.map(([key]) => key).sort());
});

/** Counts how often a row is looked at. */
class Counted<V> extends Map<string, V> {
  looks = 0;
  override get(key: string): V | undefined {
    this.looks += 1;
    return super.get(key);
  }
  override *values(): MapIterator<V> {
    for (const value of super.values()) {
      this.looks += 1;
      yield value;
    }
  }
}

const hosts = (n: number): string[] =>
  Array.from({ length: n }, (_, i) => `10.${i >> 16}.${i >> 8 & 255}.${i & 255}`);

/** So many switches alike on chassis hv1, each with a VIF and ten flows. */
function addSwitches(rows: MutableSouthbound, switches: number): void {
  const map = new Map<string, string>();
  rows.Chassis.set('hv1', { _uuid: 'hv1', name: 'hv1', hostname: '', encaps: [], external_ids: map,
    other_config: map, transport_zones: [] });
  const port = [...corpus().Port_Binding.values()].find((row) => row.type === '')!;
  const flow = [...corpus().Logical_Flow.values()][0]!;
  rows.SB_Global.set('global', { _uuid: 'global', nb_cfg: 1, options: map, external_ids: map });
  rows.Address_Set.set('as', { _uuid: 'as', name: 'as', addresses: ['10.0.0.1'] });
  rows.Address_Set.set('large', { _uuid: 'large', name: 'large', addresses: hosts(5000) });
  for (let n = 1; n <= switches; n++) {
    rows.Datapath_Binding.set(`dp${n}`, { _uuid: `dp${n}`, tunnel_key: n, load_balancers: [],
      external_ids: new Map([['logical-switch', '']]) });
    rows.Port_Binding.set(`port${n}`, { ...port, _uuid: `port${n}`, logical_port: `vm${n}`,
      datapath: `dp${n}`, tunnel_key: 1, chassis: 'hv1', parent_port: undefined });
    for (let i = 0; i < 10; i++) {
      const uuid = `flow${n}-${i}`;
      rows.Logical_Flow.set(uuid, { ...flow, _uuid: uuid, logical_datapath: `dp${n}`,
        logical_dp_group: undefined, pipeline: 'ingress', table_id: i >> 1, priority: i,
        match: n === 2 && i === 4 ? 'ip4.src == $as' : n === 2 && i === 6 ? 'ip4.src == $large'
          : `inport == "vm${n}" && ip4.src == 10.${i}.0.0/16`, actions: 'next;' });
    }
  }
}

test('of a VIF that is not here no rule is made, on another chassis or on none yet', () => {
  for (const [chassis, rules] of [['hv1', 2], ['hv2', 0], [undefined, 0]] as const) {
    const rows = emptySouthbound();
    addSwitches(rows, 1);
    const view = new View(rows), here = localChassis(rows, 'hv1'), compiler = new Compiler();
    // Another VIF keeps the switch local.
    rows.Port_Binding.set('two', { ...rows.Port_Binding.get('port1')!, _uuid: 'two',
      logical_port: 'vm', tunnel_key: 2 });
    view.apply([{ table: 'Port_Binding', uuid: 'two', old: undefined,
      new: rows.Port_Binding.get('two') }]);
    const first = compiler.compile(view, here);
    assert.is(first.dispatch.get('1/0')?.rules.length, 2);
    const change = replaced(rows, 'Port_Binding', 'port1', { chassis });
    view.apply([change]);
    assert.is(compiler.compile(view, here, [change]).dispatch.get('1/0')?.rules.length ?? 0, rules);
  }
});

/** The work of one change of an ACL, when there are so many switches like it. */
function oneChange(switches: number, edit: (rows: MutableSouthbound) => RowChange): number[] {
  const rows = emptySouthbound();
  const counted = Object.entries(rows).map(([name]) => {
    const table = new Counted<never>();
    (rows as unknown as Record<string, Map<string, never>>)[name] = table;
    return table;
  });
  addSwitches(rows, switches);
  const view = new View(rows), compiler = new Compiler(), here = localChassis(rows, 'hv1');
  assert.is(compiler.compile(view, here).datapaths.size, switches);
  const before = { ...compiler.work };
  const change = edit(rows);
  for (const table of counted) table.looks = 0;
  view.apply([change]);
  const { since } = compiler.compile(view, here, [change]);
  const looks = counted.reduce((sum, table) => sum + table.looks, 0);
  return [compiler.work.flows - before.flows, compiler.work.stages - before.stages,
    since!.dispatch.size, compiler.work.classes - before.classes, looks];
}

function replaced<T extends TableName>(rows: MutableSouthbound, table: T, uuid: string,
  columns: Partial<Tables[T]>): RowChange {
  const old = rows[table].get(uuid)!, row = { ...old, ...columns };
  (rows[table] as Map<string, Tables[T]>).set(uuid, row);
  return { table, uuid, old, new: row };
}

test('the work of one change of policy does not depend on how much else there is', () => {
  const edits: ((rows: MutableSouthbound) => RowChange)[] = [
    (rows) => replaced(rows, 'Logical_Flow', 'flow2-5', { priority: 9 }),
    (rows) => replaced(rows, 'Address_Set', 'as', { addresses: ['10.0.0.2'] }),
    (rows) => replaced(rows, 'SB_Global', 'global', { nb_cfg: 5 }),
    (rows) => replaced(rows, 'Address_Set', 'large', { addresses: hosts(5001) }),
  ];
  for (const [i, edit] of edits.entries()) {
    const [few, many] = [5, 200].map((switches) => oneChange(switches, edit));
    assert.equal(many, few);
    // Packets leave the stage the same ways: what is known behind it stays so.
    assert.equal(few!.slice(0, 4), i < 2 ? [1, 1, 1, 0] : [0, 0, 0, 0]);
    assert.ok(few![4]! < 20, `${few![4]} rows were looked at`);
  }
});

test('flows alike but for names and addresses are not parsed one by one', () => {
  const workOf = (rows: MutableSouthbound): Compiler['work'] => {
    const compiler = new Compiler();
    compiler.compile(new View(rows), localChassis(rows, 'hv1'));
    return compiler.work;
  };
  const [few, many] = [5, 200].map((switches) => {
    const rows = emptySouthbound();
    addSwitches(rows, switches);
    // Ten shapes, learned when they are seen again; and the two flows with address sets.
    workOf(rows);
    const { flows, parsed } = workOf(rows);
    assert.is(flows, 10 * switches);
    return parsed;
  });
  assert.equal([few, many], [2, 2]);
  const rows = corpus();
  const [, , work] = [1, 2, 3].map(() => workOf(rows));
  assert.equal(work, { flows: 664, parsed: 41, stages: 271, classes: 49 });
});

test('a node that is no chassis yet has nothing', () => {
  const rows = corpus();
  const desired = new Compiler().compile(new View(rows), localChassis(rows, 'nobody'));
  assert.is(desired.dispatch.size + desired.ports.size + desired.datapaths.size, 0);
});

test.run();
