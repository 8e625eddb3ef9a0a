import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LoadBalancer, SbGlobal } from '../southbound/rows.js';
import { View } from '../southbound/view.js';
import { compileHairpins, movesHairpins } from './hairpins.js';
import { emptySouthbound } from './testing.js';

const empty = new Map<string, string>();
function world(lbs: readonly Partial<LoadBalancer>[], options = empty) {
  const rows = emptySouthbound();
  const datapath = (uuid: string, tunnel_key: number, kind: string) =>
    rows.Datapath_Binding.set(uuid, { _uuid: uuid, tunnel_key, load_balancers: [],
      external_ids: new Map([[kind, uuid]]), type: undefined });
  datapath('s1', 1, 'logical-switch');
  datapath('s2', 2, 'logical-switch');
  datapath('far', 3, 'logical-switch');
  datapath('r', 4, 'logical-router');
  rows.Logical_DP_Group.set('g', { _uuid: 'g', datapaths: ['s1', 's2', 'far', 'r'] });
  rows.SB_Global.set('global', { _uuid: 'global', nb_cfg: 0, options, external_ids: empty,
    ipsec: undefined });
  lbs.forEach((lb, i) => {
    const { options: own = empty, ...more } = lb;
    rows.Load_Balancer.set(`lb${i}`, { _uuid: `lb${i}`, name: '', vips: empty,
      protocol: undefined, datapaths: [], datapath_group: undefined,
      ls_datapath_group: undefined, ...more,
      options: own.has('none') ? empty : new Map([['hairpin_orig_tuple', 'true'], ...own]) });
  });
  const local = new Map(['s1', 's2', 'r'].map((uuid) =>
    [uuid, rows.Datapath_Binding.get(uuid)!] as const));
  return { view: new View(rows), chassis: undefined, local };
}
const text = (lbs: readonly Partial<LoadBalancer>[], release = '23.03', options = empty) =>
  [...compileHairpins(world(lbs, options), release).values()].map(({ key, snat }) => {
    const [datapath, family = 0, ports = 0, ...ips] = key;
    const ip = (words: readonly number[]) => words.map((n) => n.toString(16)).join(':');
    return `${datapath} ${family >> 8}/${family & 255} ${ports >>> 16}>${ports & 0xffff} `
      + `${ip(ips.slice(0, 4))} ${ip(ips.slice(4))} from ${ip(snat)}`;
  });
const vips = (...pairs: readonly (readonly [string, string])[]) => new Map(pairs);

test('every backend of every address, on local switches', () => {
  const lb = { datapath_group: 'g', protocol: 'udp',
    vips: vips(['10.0.0.10:53', '10.1.0.1:5353,10.1.0.2:53']) };
  assert.equal(text([lb]), [
    '1 17/4 5353>53 0:0:0:a00000a 0:0:0:a010001 from 0:0:0:a00000a',
    '1 17/4 53>53 0:0:0:a00000a 0:0:0:a010002 from 0:0:0:a00000a',
    '2 17/4 5353>53 0:0:0:a00000a 0:0:0:a010001 from 0:0:0:a00000a',
    '2 17/4 53>53 0:0:0:a00000a 0:0:0:a010002 from 0:0:0:a00000a',
  ]);
});

test('IPv6, addresses without ports, hairpin_snat_ip', () => {
  const lb = { datapaths: ['s1'], vips: vips(['fd00::a', 'fd01::1'], ['10.0.0.10', '10.1.0.1'],
    ['[fd00::b]:80', '[fd01::2]:8080']),
  options: new Map([['hairpin_snat_ip', '192.0.2.1 192.0.2.2']]) };
  assert.equal(text([lb]), [
    '1 0/6 0>0 fd000000:0:0:a fd010000:0:0:1 from fd000000:0:0:a',
    '1 0/4 0>0 0:0:0:a00000a 0:0:0:a010001 from 0:0:0:c0000201',
    '1 6/6 8080>80 fd000000:0:0:b fd010000:0:0:2 from fd000000:0:0:b',
  ]);
});

test('what OVN does not take is not there', () => {
  const bad: readonly (readonly [string, string])[] = [
    ['10.0.0.10:80', '10.1.0.1'], ['10.0.0.11', '10.1.0.1:80'], ['10.0.0.12:80', '[fd00::1]:80'],
    ['10.0.0.13:80', 'name:80,,10.1.0.1:99999'], ['no address', '10.1.0.1'], ['10.0.0.14:80', ''],
  ];
  assert.equal(text([{ datapaths: ['s1'], vips: vips(...bad) }]), []);
  const good = { datapaths: ['s1'], vips: vips(['10.0.0.10', '10.1.0.1']) };
  assert.is(text([good]).length, 1);
  assert.match(text([{ ...good, options: new Map([['hairpin_snat_ip', 'nonsense']]) }])[0]!,
    'from 0:0:0:a00000a');
});

test('nothing where OVN keeps no notes that are known', () => {
  const lb = { datapaths: ['s1'], vips: vips(['10.0.0.10', '10.1.0.1']) };
  for (const release of ['22.03', '24.09', '26.03']) assert.is(text([lb], release).length, 1);
  assert.equal(text([lb], 'all'), []);
  assert.equal(text([lb], '23.03', new Map([['lb_hairpin_use_ct_mark', 'false']])), []);
  const with_ = (...more: readonly (readonly [string, string])[]) =>
    text([{ ...lb, options: new Map(more) }]);
  assert.equal(with_(['hairpin_orig_tuple', 'false']), []);
  const silent = { ...lb, options: new Map([['none', '']]) };
  assert.equal(['25.03', '25.09'].map((release) => text([silent], release).length), [0, 1],
    'since then always kept, and not said');
  assert.equal(with_(['template', 'true']), []);
});

test('of two rows with one address and backend the first by UUID counts', () => {
  const lb = { datapaths: ['s1'], vips: vips(['10.0.0.10', '10.1.0.1']) };
  const other = { ...lb, options: new Map([['hairpin_snat_ip', '192.0.2.1']]) };
  assert.match(text([lb, other]).join(), 'from 0:0:0:a00000a');
  assert.match(text([other, lb]).join(), 'from 0:0:0:c0000201');
});

test('which changes matter', () => {
  const { view } = world([{ datapath_group: 'g' }]);
  const change = (table: 'Load_Balancer' | 'Logical_DP_Group' | 'Port_Binding' | 'SB_Global',
    uuid: string, old?: unknown, to?: unknown) =>
    movesHairpins({ table, uuid, old: old as SbGlobal, new: to as SbGlobal }, view);
  assert.ok(change('Load_Balancer', 'x'));
  assert.ok(change('Logical_DP_Group', 'g'));
  assert.not(change('Logical_DP_Group', 'other'));
  assert.not(change('Port_Binding', 'x'));
  const on = { options: empty }, off = { options: vips(['lb_hairpin_use_ct_mark', 'false']) };
  assert.ok(change('SB_Global', 'global', on, off));
  assert.not(change('SB_Global', 'global', on, on));
});

test.run();
