/**
 * Two chassis on OVS's kernel datapath: without ovn-xdp, with it, and with it on one of them.
 * argv: `4` or `6`, the underlay's family; `csum` or `zero`, outer checksums.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startAgents, type Agent } from '../agent.js';
import { run } from '../exec.js';
import { Lab } from '../lab.js';
import { applyTopology, twoSubnets } from '../topology.js';

const encap = { family: process.argv[2] === '6' ? 6 : 4,
  csum: process.argv[3] !== 'zero' } as const;
let lab: Lab;
let agents: Agent[] = [];

test.before(async () => {
  lab = await Lab.start({ chassis: ['c1', 'c2'], datapath: 'system', encap });
  applyTopology(lab, twoSubnets);
});
test.after(async () => {
  for (const agent of agents) await agent.stop('SIGKILL');
  lab?.close();
});

const peers = ['a2', 'a3', 'b1', 'b2'] as const;

/** What does not work, of a sample: emulated, each program takes a second to start. */
async function traffic(): Promise<string[]> {
  const failed: string[] = [];
  const from = lab.vm('a1');
  for (const name of peers) {
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

test('kernel OVS alone', async () => {
  const devices = run(['ip', '-n', lab.netns('c1'), '-o', 'link']);
  assert.match(devices, /genev_sys_6081/);
  assert.equal(await traffic(), []);
});

test('ovn-xdp at TC carries it', async () => {
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
});

test('one chassis with ovn-xdp, one with kernel OVS alone', async () => {
  await agents[1]!.remove();
  const before = (await agents[0]!.ask()).counters.forwarded;
  assert.equal(await traffic(), []);
  const gained = (await agents[0]!.ask()).counters.forwarded - before;
  assert.ok(gained > 100, `${gained} forwarded`);
});

test.run();
