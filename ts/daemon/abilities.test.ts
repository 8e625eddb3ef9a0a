import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkKernel, LeftDevices, type Ability } from './abilities.js';
import { planDevice, planReceive, type NetDevice } from './devices.js';

const having: Ability = { has: () => true, lacks: 'never said' };
const lacking = (lacks: string): Ability => ({ has: () => false, lacks });

test('a kernel that lacks what is needed is refused, with all reasons', () => {
  checkKernel([having], [lacking('no tcx')]);
  assert.throws(() => { checkKernel([having, lacking('no types'), lacking('no loops')], []); },
    /^this kernel \(Linux .*\) cannot run ovn-xdp: no types; no loops$/);
});

const device = (name: string, features: readonly ('basic' | 'redirect' | 'ndoXmit')[]): NetDevice =>
  ({ name, ifindex: 1, mtu: 1500, mac: '', up: true, kind: 'veth', xdp: new Set(features) });

test('a device that is left to OVS is named once, and again when the reason is another', () => {
  const left = new LeftDevices();
  const plans = (...features: ('basic' | 'redirect' | 'ndoXmit')[]) =>
    [planDevice('vif', device('tap1', features), 'netdev', true)];
  assert.equal(left.tell(plans('basic', 'redirect', 'ndoXmit')), []);
  assert.equal(left.tell(plans()), ['tap1 is left to OVS: the driver has no native XDP']);
  assert.equal(left.tell(plans()), []);
  assert.match(left.tell(plans('basic', 'redirect')).join(), /^tap1: .*gro on/);
  assert.equal(left.tell([]), []);
  assert.equal(left.tell(plans()).length, 1, 'it was well in between');
});

test('a NIC that XDP is not on is not left to OVS, and one that it is on needs no words', () => {
  const receive = (...features: ('basic' | 'redirect')[]) =>
    [planReceive(device('nic', features), [])];
  assert.equal(new LeftDevices().tell(receive('basic', 'redirect')), []);
  assert.equal(new LeftDevices().tell(receive()),
    ['nic: geneve is received at genev_sys_6081 only: the driver has no native XDP']);
});

test.run();
