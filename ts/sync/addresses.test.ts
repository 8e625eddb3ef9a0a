import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { addressWords, formatMac, parseAddress, parseMac } from './addresses.js';

const hex = (text: string) => parseAddress(text)?.bytes.toString('hex');

test('addresses become bytes in network order', () => {
  assert.is(hex('10.0.0.255'), '0a0000ff' + '0'.repeat(24));
  assert.is(hex('fe80::1'), 'fe80' + '0'.repeat(27) + '1');
  assert.is(hex('::'), '0'.repeat(32));
  assert.is(hex('::ffff:1.2.3.4'), '0'.repeat(20) + 'ffff01020304');
  assert.is(hex('1:2:3:4:5:6:7:8'), '00010002000300040005000600070008');
  for (const bad of ['', '10.0.0', '10.0.0.256', 'fe80::1%eth0', 'x']) {
    assert.is(parseAddress(bad), undefined, bad);
  }
});

test('words are those of the flow vector', () => {
  assert.equal(addressWords(parseAddress('10.0.0.1')!), [0, 0, 0, 0x0a000001]);
  assert.equal(addressWords(parseAddress('fe80::1')!), [0xfe800000, 0, 0, 1]);
});

test('MAC addresses', () => {
  assert.is(formatMac(parseMac('0A:00:00:00:00:01')!), '0a:00:00:00:00:01');
  assert.is(parseMac('0a:00:00:00:00'), undefined);
});

test.run();
