/** Against a real ovsdb-server with the Open_vSwitch schema; ended by pid. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { setLogLevel, setLogSink } from '../base/log.js';
import { parseRemotes } from '../ovsdb/remote.js';
import type { LocalChassis } from './local.js';
import { openVswitch } from './vswitch.js';

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';
const test = suite('vswitch (real ovsdb-server)');

async function until(what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
}

test('follows what ovs-vsctl writes, with every column of the schema understood', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ovn-xdp-vswitch-'));
  const lines: string[] = [];
  setLogLevel('INFO');
  setLogSink((line) => { lines.push(line); });
  let server: ChildProcess | undefined;
  try {
    execFileSync('ovsdb-tool', ['create', 'conf.db', SCHEMA], { cwd: dir });
    server = spawn('ovsdb-server', [`--remote=punix:${dir}/db.sock`, `--unixctl=${dir}/ctl`,
      `--log-file=${dir}/log`, 'conf.db'], { cwd: dir, stdio: 'ignore' });
    await until('server', () => existsSync(join(dir, 'ctl')));
    const vsctl = (...args: string[]): string => execFileSync('ovs-vsctl',
      [`--db=unix:${dir}/db.sock`, '--no-wait', ...args], { encoding: 'utf8' });
    let latest: LocalChassis | undefined;
    const { client } = openVswitch({
      remotes: parseRemotes(`unix:${dir}/db.sock`).value,
      onChassis: ({ value }) => { latest = value; },
    });
    vsctl('init', '--', 'set', 'Open_vSwitch', '.', 'external_ids:system-id=hv1',
      'external_ids:ovn-remote=tcp:1.2.3.4:6642', 'external_ids:ovn-encap-ip=10.0.0.1');
    await until('chassis', () => latest?.ovn_remote === 'tcp:1.2.3.4:6642');
    vsctl('add-br', 'br-int', '--', 'set', 'Bridge', 'br-int', 'datapath_type=netdev',
      'external_ids:ct-zone-lp1=5', '--', 'add-port', 'br-int', 'vif1', '--', 'set', 'Interface',
      'vif1', 'external_ids:iface-id=lp1', 'ofport=3');
    await until('interface', () => latest?.interfaces.has('lp1') === true);
    assert.equal(latest?.interfaces.get('lp1'),
      { name: 'vif1', iface_id: 'lp1', bridge: 'br-int', ofport: 3, type: '' });
    assert.is(latest?.bridges.get('br-int')?.datapath_type, 'netdev');
    assert.equal(latest?.ct_zones, new Map([['lp1', 5]]));
    assert.equal(latest?.ssl, undefined);
    vsctl('set-ssl', '/k.pem', '/c.pem', '/ca.pem');
    await until('SSL', () => latest?.ssl?.caCertificate === '/ca.pem');
    vsctl('del-port', 'vif1');
    await until('gone', () => latest?.interfaces.size === 0);
    assert.equal(lines.filter((line) => line.includes('schema:')), []);
    client.close();
  } finally {
    if (server !== undefined) {
      const gone = new Promise((resolve) => { server!.once('exit', resolve); });
      server.kill('SIGKILL');
      await gone;
    }
    rmSync(dir, { recursive: true, force: true });
  }
});

if (existsSync(SCHEMA)) test.run();
else console.log(`SKIPPED: vswitch.lab.test: no ${SCHEMA} (package openvswitch-common)`);
