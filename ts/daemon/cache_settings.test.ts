import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readCacheSets } from './cache_settings.js';
import { readReceive } from './receive_setting.js';

test('sets of the cache: a number, or a problem that names the setting', () => {
  const read = (text?: string): ReturnType<typeof readCacheSets> =>
    readCacheSets(new Map(text === undefined ? [] : [['cache-sets', text]]));
  assert.equal(read(), { value: undefined, problem: undefined });
  for (const [text, value] of [['0', 0], ['65536', 65536], ['33554432', 2 ** 25]] as const) {
    assert.equal(read(text), { value, problem: undefined });
  }
  for (const text of ['', '-1', 'many', '33554433', '999999999', '1.5']) {
    assert.equal(read(text), { value: undefined,
      problem: `ovn-xdp-cache-sets="${text}" is not a number of sets` });
  }
});

test('where geneve is received: the tunnel, or the NIC; else the tunnel and a problem', () => {
  const read = (text?: string): ReturnType<typeof readReceive> =>
    readReceive(new Map(text === undefined ? [] : [['receive', text]]));
  assert.equal(read(), { value: 'tunnel', problem: undefined });
  assert.equal(read('tunnel'), { value: 'tunnel', problem: undefined });
  assert.equal(read('nic'), { value: 'nic', problem: undefined });
  assert.equal(read('xdp'), { value: 'tunnel',
    problem: 'ovn-xdp-receive="xdp" is neither tunnel nor nic' });
});

test.run();
