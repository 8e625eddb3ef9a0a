import { spawnSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { until } from './exec.js';
import { Lab } from './lab.js';
import { TraceOracle } from './oracle.js';
import { removeLab, runDirOf, sweepStaleLabs } from './run_dir.js';
import { applyTopology, twoSubnets } from './topology.js';

for (const encap of [{ family: 4, csum: true }, { family: 6, csum: false }] as const) {
  test(`plain OVN carries traffic over IPv${encap.family}, csum ${encap.csum}`, async () => {
    const lab = await Lab.start({ chassis: ['c1', 'c2'], encap });
    try {
      applyTopology(lab, twoSubnets);
      const from = lab.vm('a1');
      for (const name of ['a2', 'a3', 'b1', 'b2']) {
        const to = lab.vm(name);
        for (const family of [4, 6] as const) {
          const what = `${name} over IPv${family}`;
          assert.ok(await from.ping(to.ip(family)), `ping ${what}`);
          assert.ok(await from.ping(to.ip(family), 1, 1400), `large ping ${what}`);
          assert.ok(await from.exchange(to, family, 'tcp', 200_000), `TCP ${what}`);
          assert.ok(await from.exchange(to, family, 'udp', 1200), `UDP ${what}`);
        }
      }
      assert.not(await from.ping('10.0.1.99', 1), 'an address nobody has');
    } finally {
      lab.close();
    }
  });
}

test('the oracles know where a packet goes', async () => {
  const lab = await Lab.start({ chassis: ['c1'] });
  try {
    applyTopology(lab, {
      ...twoSubnets, vms: twoSubnets.vms.map((vm) => ({ ...vm, chassis: 'c1' })),
    });
    const oracle = new TraceOracle(lab);
    const [a1, b2] = [lab.vm('a1'), lab.vm('b2')];
    const packet = `inport == "a1" && eth.src == ${a1.spec.mac} && ip.ttl == 64 `
      + `&& eth.dst == 00:00:00:00:ff:01 && ip4.src == ${a1.ip(4)} `
      + `&& ip4.dst == ${b2.ip(4)} && udp`;
    assert.equal(oracle.outputs('s1', packet), ['b2']);
    assert.equal(oracle.outputs('s1', packet.replace(a1.ip(4), '10.0.1.200')), [],
      'port security stops a foreign source');
    const trace = a1.chassis.ofprotoTrace('a1', `udp,dl_src=${a1.spec.mac},`
      + `dl_dst=00:00:00:00:ff:01,nw_src=${a1.ip(4)},nw_dst=${b2.ip(4)},nw_ttl=64`);
    assert.match(trace, /Datapath actions: .*set\(ipv4\(ttl=63\)/);
  } finally {
    lab.close();
  }
});

const leftovers = (id: string): string[] => [
  ...readdirSync('/run/netns').filter((name) => name.startsWith(`ox-${id}-`)),
  ...existsSync(runDirOf(id)) ? [runDirOf(id)] : [],
];

const victim = `const { Lab } = await import(process.argv[1]);
const lab = await Lab.start({ chassis: ['c1'] });
console.log(lab.id);
setInterval(() => {}, 1000);`;

/** Another process with a lab of its own; resolves to it and the lab's id. */
async function elsewhere() {
  const module = join(dirname(fileURLToPath(import.meta.url)), 'lab.js');
  const child = spawn(process.execPath, ['--input-type=module', '-e', victim, module],
    { stdio: ['ignore', 'pipe', 'inherit'] });
  let id = '';
  child.stdout.on('data', (chunk: Buffer) => { id += chunk.toString(); });
  await until('the other lab', 20_000, () => id.endsWith('\n'));
  const ended = new Promise((resolve) => { child.once('exit', resolve); });
  return { child, id: id.trim(), ended };
}

test('close() leaves nothing, twice is harmless', async () => {
  const lab = await Lab.start({ chassis: ['c1'] });
  assert.ok(leftovers(lab.id).length > 0);
  lab.close();
  lab.close();
  assert.equal(leftovers(lab.id), []);
  assert.is(spawnSync('pgrep', ['-f', runDirOf(lab.id)]).status, 1, 'no process of it lives');
});

test('a signal takes the lab with it', async () => {
  const { child, id, ended } = await elsewhere();
  child.kill('SIGTERM');
  await ended;
  assert.equal(leftovers(id), []);
});

test('a lab whose owner was killed is swept, one whose owner lives is not', async () => {
  const dead = await elsewhere();
  const alive = await elsewhere();
  const kept = await Lab.start({ chassis: [] });
  kept.keep();
  try {
    dead.child.kill('SIGKILL');
    await dead.ended;
    assert.ok(leftovers(dead.id).length > 0);
    assert.ok(sweepStaleLabs().includes(dead.id));
    assert.equal(leftovers(dead.id), []);
    assert.ok(leftovers(alive.id).length > 0);
    assert.ok(leftovers(kept.id).length > 0);
  } finally {
    alive.child.kill('SIGTERM');
    await alive.ended;
    removeLab(kept.id);
    removeLab(dead.id);
  }
});

test('a run directory without an owner is left alone', () => {
  const id = `test${process.pid}`;
  mkdirSync(runDirOf(id));
  try {
    assert.not(sweepStaleLabs().includes(id));
  } finally {
    rmSync(runDirOf(id), { recursive: true });
  }
});

test('a start that fails leaves nothing', async () => {
  const before = readdirSync('/run').filter((name) => name.startsWith('ovn-xdp-lab-'));
  try {
    await Lab.start({ chassis: ['a-name-too-long-for-a-device'] });
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /a-name-too-long/);
  }
  const after = readdirSync('/run').filter((name) => name.startsWith('ovn-xdp-lab-'));
  assert.equal(after.filter((name) => !before.includes(name)
    && name.includes(`lab-${process.pid.toString(36)}`)), []);
});

test.run();
