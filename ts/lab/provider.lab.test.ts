/** Provider networks: under plain OVN, and what only ovn-xdp has to do with. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startAgents, type Agent } from './agent.js';
import { run, until } from './exec.js';
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

/** Frames that each agent forwarded of this traffic. */
async function served(agents: readonly Agent[], traffic: () => Promise<void>):
  Promise<readonly number[]> {
  const count = () => agents.map((agent) => agent.status()!.counters.forwarded);
  const before = count();
  await traffic();
  return count().map((n, i) => n - before[i]!);
}

test('a NIC that is uplink and provider at once serves both', async () => {
  const built = await gatewayLab({ computes: ['c1'], gateways: ['g1'], direct: { d1: 'g1' },
    shared: true });
  const { lab, outside } = built;
  try {
    const agents = await startAgents(lab);
    const roles = agents[1]!.status()!.ports.map(({ name, role }) => `${name} ${role}`).sort();
    assert.equal(roles, ['d1 vif', 'eth0 provider', 'eth0 uplink']);
    const [c1, g1] = await served(agents, async () => {
      for (const family of [4, 6] as const) {
        for (const port of ['v1', 'd1']) {
          assert.ok(await lab.vm(port).ping(outside.ip(family), 20), `${port} to outside`);
          assert.ok(await outside.exchange(lab.vm(port), family, 'tcp', 100_000));
        }
        assert.ok(await lab.vm('v1').ping(lab.vm('d1').ip(family), 20), 'v1 to d1');
      }
    });
    assert.ok(c1! > 150 && g1! > 400, `forwarded by c1 ${c1}, g1 ${g1}`);
  } finally {
    lab.close();
  }
});

test('security groups of a VM on the provider network hold', async () => {
  const built = await gatewayLab({ computes: [], gateways: ['g1'], direct: { d1: 'g1' } });
  const { lab, outside } = built, d1 = lab.vm('d1');
  try {
    lab.nb([['pg-add', 'sg', 'd1'],
      ['acl-add', 'sg', 'from-lport', '1001', 'inport == @sg && ip', 'allow-related'],
      ['acl-add', 'sg', 'to-lport', '1001', 'outport == @sg && icmp4', 'allow-related'],
      ['acl-add', 'sg', 'to-lport', '1000', 'outport == @sg && ip', 'drop'],
      ['acl-add', 'sg', 'from-lport', '1000', 'inport == @sg && ip', 'drop']]);
    lab.sync();
    const check = async (): Promise<void> => {
      assert.ok(await outside.ping(d1.ip(4), 20), 'ping in');
      assert.ok(await d1.exchange(outside, 4, 'tcp', 200_000), 'TCP out');
      assert.ok(await d1.exchange(outside, 6, 'udp', 1000), 'UDP out');
      assert.is(await outside.connect(d1.ip(4), 22), 'silent', 'TCP in');
      assert.not(await outside.ping(d1.ip(6), 1), 'IPv6 in');
    };
    await check();
    const agents = await startAgents(lab);
    const [g1] = await served(agents, check);
    assert.ok(g1! > 100, `forwarded ${g1}`);
    assert.ok(agents[0]!.status()!.dropped_by_reason['flow']! > 0, 'dropped by an ACL');
  } finally {
    lab.close();
  }
});

test('a provider bridge that is no plain cable is left to OVS, and says so', async () => {
  const built = await gatewayLab({ computes: [], gateways: ['g1'], direct: { d1: 'g1' } });
  const { lab, provider, outside } = built;
  try {
    const [agent] = await startAgents(lab);
    const why = (): string => {
      const nic = agent!.status()!.ports.find(({ role }) => role === 'provider');
      return `${nic?.hook}: ${nic?.reason}`;
    };
    assert.match(why(), /^xdp: userspace OVS/);
    const { chassis } = agent!;
    const flow = (command: string, text: string): void => {
      run(['ovs-ofctl', command, provider.ovsBridge, text], { netns: chassis.netns,
        env: { OVS_RUNDIR: chassis.dir } });
    };
    flow('add-flow', 'priority=5,dl_dst=02:00:00:00:99:99,actions=drop');
    await until('the flow is seen', 20_000, () => why() === 'none: br-ext: flows beside NORMAL');
    assert.ok(await lab.vm('d1').ping(outside.ip(4)), 'by OVS');
    flow('del-flows', 'dl_dst=02:00:00:00:99:99');
    await until('the bridge is plain again', 20_000, () => why().startsWith('xdp: '));
    assert.ok(await lab.vm('d1').ping(outside.ip(4)), 'by the fast path');
  } finally {
    lab.close();
  }
});

test.run();
