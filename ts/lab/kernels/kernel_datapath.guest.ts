/**
 * Two chassis on OVS's kernel datapath: without ovn-xdp, with it, and with it on one of them.
 * argv: `4` or `6`, the underlay's family; `csum` or `zero`, outer checksums; `nic`: what comes
 * from the other chassis is received by XDP.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startAgents, type Agent } from '../agent.js';
import { uplink } from '../chassis.js';
import { run } from '../exec.js';
import { Lab } from '../lab.js';
import { applyTopology, twoSubnets } from '../topology.js';

const encap = { family: process.argv[2] === '6' ? 6 : 4,
  csum: process.argv[3] !== 'zero' } as const;
const byNic = process.argv[4] === 'nic';
let lab: Lab;
let agents: Agent[] = [];

test.before(async () => {
  lab = await Lab.start({ chassis: ['c1', 'c2'], datapath: 'system', encap });
  applyTopology(lab, twoSubnets);
  if (!byNic) return;
  lab.makeXdpReady();
  receiveAt('nic');
});
test.after(async () => {
  for (const agent of agents) await agent.stop('SIGKILL');
  lab?.close();
});

const receiveAt = (place: 'tunnel' | 'nic'): void => {
  for (const chassis of lab.chassis.values()) chassis.receiveAt(place);
};

/** Frames that XDP on each chassis' NIC has carried. */
const byXdp = (): number[] => agents.map((agent) => agent.forwardedAt(uplink));

/** Of the other chassis, and of the same. */
const others = ['a3', 'b2'] as const, peers = byNic ? others : ['a2', 'b1', ...others] as const;

/** What does not work, of a sample: emulated, each program takes a second to start. */
async function traffic(names: readonly string[] = peers): Promise<string[]> {
  const failed: string[] = [];
  const from = lab.vm('a1');
  for (const name of names) {
    const to = lab.vm(name);
    for (const family of [4, 6] as const) {
      // The first packet of all waits for OVS, and for neighbours.
      if (!await from.ping(to.ip(family), 1)) await from.ping(to.ip(family), 1);
      const results = {
        ping: await from.ping(to.ip(family), 3, 1400),
        [family === 4 ? 'tcp' : 'udp']: await from.exchange(to, family,
          family === 4 ? 'tcp' : 'udp', family === 4 ? 200_000 : 1200),
      };
      for (const [what, ok] of Object.entries(results)) {
        if (!ok) failed.push(`${what} to ${name} over IPv${family}`);
      }
    }
  }
  return failed;
}

if (!byNic) test('kernel OVS alone', async () => {
  const devices = run(['ip', '-n', lab.netns('c1'), '-o', 'link']);
  assert.match(devices, /genev_sys_6081/);
  assert.equal(await traffic(), []);
});

test('ovn-xdp carries it', async () => {
  agents = await startAgents(lab);
  const statuses = () => Promise.all(agents.map((agent) => agent.ask()));
  console.log(agents[0]!.cli('ports').replace(/^/gm, '# '));
  const before = await statuses();
  assert.equal(await traffic(), []);
  for (const [i, { counters, punted_by_reason }] of (await statuses()).entries()) {
    const gained = counters.forwarded - before[i]!.counters.forwarded;
    console.log(`# chassis ${i + 1}: forwarded ${gained}, punts ${
      JSON.stringify(punted_by_reason)}`);
    assert.ok(gained > 100, `${gained} forwarded`);
  }
  if (!byNic) {
    assert.match(agents[0]!.cli('trace', 'inport == "a1" && eth.src == 02:00:00:00:01:11 && '
      + 'eth.dst == 00:00:00:00:ff:01 && ip4.src == 10.0.1.11 && ip4.dst == 10.0.2.12 && '
      + 'ip.ttl == 64 && udp.dst == 80'), /tunnel to \S+\n$/);
    return;
  }
  console.log(`# by XDP on NICs: ${byXdp().join(' and ')}`);
  assert.ok(byXdp().every((n) => n > 50), byXdp().join());
});

if (byNic) test('back to the tunnel while it runs', async () => {
  const move = async (place: 'tunnel' | 'nic'): Promise<void> => {
    receiveAt(place);
    for (const agent of agents) {
      await agent.ready(({ ports }) => (place === 'nic') === ports.some(({ role, mode }) =>
        role === 'receive' && mode === 'native'));
    }
  };
  await move('tunnel');
  const before = byXdp();
  assert.equal(await traffic(['a3']), []);
  assert.equal(byXdp(), before);
  await move('nic');
});

test('one chassis with ovn-xdp, one with kernel OVS alone', async () => {
  await agents[1]!.remove();
  const forwarded = async (): Promise<number> => byNic ? agents[0]!.forwardedAt(uplink)
    : (await agents[0]!.ask()).counters.forwarded;
  const before = await forwarded();
  assert.equal(await traffic(byNic ? ['b2'] : peers), []);
  const gained = await forwarded() - before;
  assert.ok(gained > (byNic ? 50 : 100), `${gained} forwarded`);
});

test.run();
