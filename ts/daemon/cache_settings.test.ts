import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readCacheSets } from './cache_settings.js';

test('sets of the cache: a number, or a problem that names the setting', () => {
  const read = (text?: string): ReturnType<typeof readCacheSets> =>
    readCacheSets(new Map(text === undefined ? [] : [['cache-sets', text]]));
  assert.equal(read(), { value: undefined, problem: undefined });
  for (const [text, value] of [['0', 0], ['65536', 65536], ['67108864', 2 ** 26]] as const) {
    assert.equal(read(text), { value, problem: undefined });
  }
  for (const text of ['', '-1', 'many', '67108865', '999999999', '1.5']) {
    assert.equal(read(text), { value: undefined,
      problem: `ovn-xdp-cache-sets="${text}" is not a number of sets` });
  }
});

test.run();
