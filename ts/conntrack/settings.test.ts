import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ctTimeout } from '../abi/generated.js';
import { readCtSettings, tableCapacity, timeouts } from './settings.js';

const read = (settings: Readonly<Record<string, string>>) =>
  readCtSettings(new Map(Object.entries(settings)), 1000);

test('without settings: the whole table, nine tenths of it, the kernel\'s time-outs', () => {
  const { value, problems } = read({});
  assert.equal(problems, []);
  assert.is(value.capacity, 1000);
  assert.is(value.watermark, 900);
  assert.equal(value.timeouts, [120, 60, 432_000, 120, 120, 10, 30, 120, 30, 600]);
  assert.is(timeouts.length, ctTimeout.CT_TM_COUNT);
});

test('what is set holds', () => {
  const { value, problems } = read({ 'ct-capacity': '200', 'ct-watermark': '0.5',
    'ct-timeout-udp': '7', 'ct-timeout-tcp-established': '86400' });
  assert.equal(problems, []);
  assert.equal([value.capacity, value.watermark], [200, 100]);
  assert.is(value.timeouts[ctTimeout.CT_TM_UDP_SINGLE], 7);
  assert.is(value.timeouts[ctTimeout.CT_TM_TCP_ESTABLISHED], 86400);
  assert.equal(read({ 'nat-ports': '2000-65535' }).value.ports, { low: 2000, high: 65535 });
  assert.is(read({ 'ct-capacity': '1', 'ct-watermark': '.1' }).value.watermark, 1);
});

test('what cannot be is said, and the default holds', () => {
  for (const [name, bad] of [['ct-timeout-udp', '0'], ['ct-timeout-udp', '1.5'],
    ['ct-timeout-udp', '-1'], ['ct-timeout-udp', '4294967296'], ['ct-watermark', '0'],
    ['ct-watermark', '1.1'], ['ct-watermark', 'x'], ['ct-capacity', ''],
    ['ct-timeout-upd', '5'], ['ct-capacity', '1001'], ['nat-ports', '80-2000'],
    ['nat-ports', '3000-2000'], ['nat-ports', '1024-65536'], ['nat-ports', '1024']] as const) {
    const { value, problems } = read({ [name]: bad });
    assert.is(problems.length, 1, `${name}=${bad}`);
    assert.match(problems[0]!, `ovn-xdp-${name}`);
    assert.equal(value, read({}).value);
  }
});

test('the size of a table that has to be made', () => {
  const size = (text: string): number | undefined =>
    tableCapacity(new Map([['ct-capacity', text]]));
  assert.equal([size('1024'), size('2000000'), size('5'), size('x'), tableCapacity(new Map())],
    [1024, 2_000_000, undefined, undefined, undefined]);
});

test.run();
