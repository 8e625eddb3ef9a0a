/** Which backends have their connections ended when they go. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LoadBalancer } from '../southbound/rows.js';
import type { View } from '../southbound/view.js';
import { flushedBackends } from './ct_flush.js';

const row = (vips: Readonly<Record<string, string>>, more: Partial<LoadBalancer> = {}):
LoadBalancer => ({ _uuid: 'lb', name: '', vips: new Map(Object.entries(vips)), protocol: 'udp',
  datapaths: ['ls1'], datapath_group: undefined, ls_datapath_group: undefined,
  options: new Map([['ct_flush', 'true']]), ...more });
const names = (one: LoadBalancer, local = ['ls1']): string[] => [...flushedBackends({ southbound: {
  Load_Balancer: new Map([['lb', one]]),
  Logical_DP_Group: new Map([['g', { _uuid: 'g', datapaths: ['ls2'] }]]),
} } as unknown as View, new Set(local))];

const vips = { '10.0.0.1:53': '10.0.0.2:5353,10.0.0.3:5353', '[fd00::1]:53': '[fd00::2]:5353' };
test('each virtual address with each backend', () => {
  assert.equal(names(row(vips)), [
    '17 0.0.0.167772161:53 0.0.0.167772162:5353', '17 0.0.0.167772161:53 0.0.0.167772163:5353',
    '17 4244635648.0.0.1:53 4244635648.0.0.2:5353']);
});
test('without ports of any protocol', () => {
  assert.equal(names(row({ '10.0.0.1': '10.0.0.2' })),
    ['0 0.0.0.167772161:0 0.0.0.167772162:0']);
});
test('none without the option, or on other datapaths', () => {
  assert.equal(names(row(vips, { options: new Map([['ct_flush', 'false']]) })), []);
  assert.equal(names(row(vips, { options: new Map() })), []);
  assert.equal(names(row(vips), ['ls2']), []);
  assert.is(names(row(vips, { datapaths: [], ls_datapath_group: 'g' }), ['ls2']).length, 3);
});
test.run();
