import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mismatch, parseVersion } from './northd.js';

test('the version that ovn-controller says', () => {
  assert.is(parseVersion('ovn-controller 23.03.1\nOpen vSwitch Library 3.1.0\n'), '23.03.1');
  assert.is(parseVersion('ovn-controller 24.09.90\n'), '24.09.90');
  assert.is(parseVersion('ovn-northd 23.03.1\n'), undefined);
  assert.is(parseVersion(''), undefined);
});

test('northd\'s internal version begins with its package\'s; what is unknown matches', () => {
  assert.not(mismatch('23.03.1-20.27.2-70.6', '23.03.1'));
  assert.not(mismatch('23.03.1', '23.03.1'));
  assert.ok(mismatch('23.03.10-20.27.2-70.6', '23.03.1'));
  assert.ok(mismatch('24.03.1-20.33.0-76.8', '23.03.1'));
  assert.not(mismatch(undefined, '23.03.1'));
  assert.not(mismatch('', '23.03.1'));
  assert.not(mismatch('24.03.1-20.33.0-76.8', undefined));
});

test.run();
