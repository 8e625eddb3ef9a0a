import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LocalLink } from '../vswitch/local.js';
import { judgeBridge, remembering, type Probed } from './provider_bridge.js';

/** As ovs-vswitchd 3.1 says of a bridge that nobody has touched. */
const normal = 'duration=3s, n_packets=16, n_bytes=1404, priority=0,actions=NORMAL';
const inner = 'table_id=254, duration=3s, n_packets=0, n_bytes=0, priority=0,reg0=0x2,actions=drop';
const own = '02:00:00:00:00:01';
const nic: LocalLink = { name: 'eth1', type: '' };
const patch: LocalLink = { name: 'p1', type: 'patch', peer: 'i1' };
const plain: Probed = { flows: [normal, inner], fdb: [' port  VLAN  MAC                Age',
  '    1     0  02:00:00:00:00:99    3', `LOCAL     0  ${own}    3`].map((line) => line.trim()) };

const judge = (links: readonly LocalLink[], probed: Probed = plain): string => {
  const bridge = { name: 'br-ex', datapath_type: 'netdev', ports: [], links };
  const { nic: found, problem } = judgeBridge(bridge, own, ['i1', 'i2'], probed);
  return [found ?? '-', ...problem === undefined ? [] : [problem]].join(': ');
};

test('one NIC, patch ports to the integration bridge and NORMAL are understood', () => {
  assert.is(judge([nic, patch]), 'eth1');
  assert.is(judge([nic, patch, { name: 'p2', type: 'patch', peer: 'i2' }]), 'eth1');
  assert.is(judge([patch]), '-', 'no NIC, nothing to sit at');
});

test('whatever else there is leaves the bridge to OVS, by name', () => {
  const cases: readonly (readonly [readonly LocalLink[], Probed, string])[] = [
    [[nic, patch, { name: 'eth2', type: '' }], plain, 'eth1: several devices: eth1,eth2'],
    [[{ ...nic, odd: 'a bond' }, patch], plain, 'eth1: eth1: a bond'],
    [[nic, { ...patch, odd: 'VLAN settings' }], plain, 'eth1: p1: VLAN settings'],
    [[nic, patch, { name: 'i', type: 'internal' }], plain, 'eth1: a port of type internal: i'],
    [[nic, patch, { name: 'p2', type: 'patch', peer: 'elsewhere' }], plain,
      'eth1: a patch port to another bridge: p2'],
    [[nic, patch], { problem: 'no answer' }, 'eth1: no answer'],
    [[nic, patch], { flows: [], fdb: [] }, 'eth1: flows beside NORMAL'],
    [[nic, patch], { flows: [normal, normal], fdb: [] }, 'eth1: flows beside NORMAL'],
    [[nic, patch], { flows: [normal.replace('priority=0', 'priority=0,dl_vlan=3')], fdb: [] },
      'eth1: flows beside NORMAL'],
    [[nic, patch], { flows: [normal.replace('NORMAL', 'NORMAL,output:3')], fdb: [] },
      'eth1: flows beside NORMAL'],
    [[nic, patch], { flows: [`table_id=1, ${normal}`], fdb: [] }, 'eth1: flows beside NORMAL'],
    [[nic, patch], { flows: [normal], fdb: ['LOCAL     0  02:00:00:00:00:77    3'] },
      "eth1: 02:00:00:00:00:77 lives behind the bridge's own port"],
  ];
  for (const [links, probed, expected] of cases) assert.is(judge(links, probed), expected);
});

test('while ovs-vswitchd does not answer, its last answer holds', async () => {
  const silence: Probed = { problem: 'no answer' };
  const answers: Probed[] = [silence, plain, silence, { flows: [], fdb: [] }, silence];
  const probe = remembering(() => Promise.resolve(answers.shift()!));
  const found: Probed[] = [];
  for (let i = 0; i < 5; i += 1) found.push(await probe('br-ex'));
  assert.equal(found, [silence, plain, plain, { flows: [], fdb: [] }, { flows: [], fdb: [] }]);
  const other = remembering(() => Promise.resolve(silence));
  assert.equal(await other('br-other'), silence);
});

test.run();
