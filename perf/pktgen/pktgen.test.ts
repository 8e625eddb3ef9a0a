import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { imixMean, lineRate, parseSent, setUp, threadsIn, trialWrites, type Traffic }
  from './pktgen.js';

const traffic: Traffic = { device: 'eth1', dstMac: '02:00:00:00:00:01', src: '10.0.0.1',
  dst: '10.0.0.2', size: 64, flows: 1 };
const linesOf = (t: Traffic): string[] => setUp(t, ['kpktgend_0', 'kpktgend_1'])
  .map(({ file, line }) => `${file.slice('/proc/net/pktgen/'.length)}: ${line}`);

test('set up: threads emptied, one device, the frame without its check sequence', () => {
  const lines = linesOf(traffic);
  assert.equal(lines.slice(0, 3), ['kpktgend_0: rem_device_all', 'kpktgend_1: rem_device_all',
    'kpktgend_0: add_device eth1']);
  assert.ok(lines.includes('eth1: pkt_size 60'));
  assert.ok(lines.includes('eth1: udp_src_max 1024'));
  assert.not(lines.some((line) => /flag|flows/.test(line)));
  assert.throws(() => setUp(traffic, []), /no thread/);
});

test('flows: random source ports; IPv6 has names of its own', () => {
  const many = linesOf({ ...traffic, flows: 100_000 });
  assert.ok(many.includes('eth1: flag UDPSRC_RND'));
  assert.ok(many.includes('eth1: flows 100000'));
  assert.ok(many.includes('eth1: udp_src_max 65023'));
  const six = linesOf({ ...traffic, src: 'fd00::1', dst: 'fd00::2' });
  assert.ok(six.includes('eth1: dst6 fd00::2'));
  assert.not(six.some((line) => line.includes(': dst_min')));
});

test('a trial: how many and how fast', () => {
  assert.equal(trialWrites('eth1', 1e6, 10).map(({ line }) => line),
    ['count 10000000', 'ratep 1000000']);
  assert.is(trialWrites('eth1', 0.1, 1)[0]?.line, 'count 1');
});

test('what pktgen says after a run', () => {
  // Shape of net/core/pktgen.c's output, Linux 6.1.
  const text = 'Params: count 1000  min_pkt_size: 60  max_pkt_size: 60\n'
    + 'Current:\n     pkts-sofar: 1000  errors: 2\n     started: 1us  stopped: 9us idle: 1us\n'
    + 'Result: OK: 2000000(c1999000+d1000) usec, 1000 (60byte,0frags)\n  500pps 0Mb/sec\n';
  assert.equal(parseSent(text), { packets: 1000, errors: 2, seconds: 2 });
  assert.is(parseSent('Result: Idle\n'), undefined);
  assert.is(parseSent(''), undefined);
});

test('threads in their order, and nothing else', () => {
  assert.equal(threadsIn(['pgctrl', 'kpktgend_10', 'kpktgend_2', 'eth1']),
    ['kpktgend_2', 'kpktgend_10']);
});

test('arithmetic of links: 10 Gb/s of 64 bytes, and the mean of the mix', () => {
  assert.is(Math.round(lineRate(10, 64)), 14_880_952);
  assert.is(Math.round(imixMean), 354);
});

test.run();
