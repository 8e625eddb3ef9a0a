/** Provider networks of the lab itself, under plain OVN. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { activeGateway, gatewayLab } from './gateway_shape.js';

for (const vlan of [undefined, 42]) {
  test(`plain OVN carries traffic to outside, ${vlan ? 'tagged' : 'untagged'}`, async () => {
    const built = await gatewayLab({ computes: ['c1'], gateways: ['g1', 'g2'],
      direct: { d1: 'g1' }, ...vlan === undefined ? {} : { vlan } });
    const { lab, outside } = built;
    try {
      assert.is(activeGateway(built), 'g1');
      for (const family of [4, 6] as const) {
        for (const port of ['v1', 'd1']) {
          const vm = lab.vm(port);
          assert.ok(await vm.ping(outside.ip(family)), `${port} to outside, IPv${family}`);
          assert.ok(await outside.exchange(vm, family, 'tcp', 100_000), `outside to ${port}`);
        }
      }
      assert.not(await outside.ping('172.24.4.99', 1), 'an address nobody has');
    } finally {
      lab.close();
    }
  });
}

test.run();
